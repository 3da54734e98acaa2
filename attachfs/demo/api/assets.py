"""Assets v2, private and public (contract §5.1, 5.7, 7)."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachfs.demo import filters
from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.api.records import asset_out, check_query, list_answer, visible_asset
from attachfs.demo.archive import ACTOR
from attachfs.demo.errors import ApiError
from attachfs.demo.storage import Row
from attachfs.demo.wire import Record, checked_uuid, decode_object, parse_time


async def _list(request: Request) -> Response:
    archive = archive_of(request)
    if archive.switches.deny_listing or archive.switches.deny_records:
        raise ApiError.forbidden()
    return await list_answer(request, filters.ASSETS, partial(asset_out, archive, public=False))


async def _create(request: Request) -> Response:
    archive = archive_of(request)
    check_query(request)
    asset = archive.ledger.create_asset(decode_object(await request.body()), ACTOR)
    return json_answer(archive, asset)


async def _get(request: Request, *, public: bool) -> Response:
    archive = archive_of(request)
    uuid = checked_uuid(request.path_params["uuid"], "GetAssetRequest")
    check_query(request, "at_time")
    row = visible_asset(archive, uuid, public=public)
    asset = _as_of(request, row)
    return json_answer(archive, asset_out(archive, asset, public=public))


def _as_of(request: Request, row: Row) -> Record:
    text = request.query_params.get("at_time")
    if text is None:
        return row.record
    try:
        moment = parse_time(text)
    except ValueError as error:
        raise ApiError.invalid(f"invalid value for at_time: {error}") from error
    return archive_of(request).ledger.asset_at(row, moment)


async def _get_private(request: Request) -> Response:
    return await _get(request, public=False)


async def _get_public(request: Request) -> Response:
    return await _get(request, public=True)


async def _public_url(request: Request) -> Response:
    archive = archive_of(request)
    uuid = checked_uuid(request.path_params["uuid"], "GetPublicAssetURLRequest")
    check_query(request)
    row = visible_asset(archive, uuid, public=False)
    return json_answer(archive, {"publicurl": public_url(request, row)})


def public_url(request: Request, asset: Row) -> str:
    """Return the address of a public asset on this very server (contract §7, 12.8).

    Raises:
        ApiError: 404, the asset is private.
    """
    archive = archive_of(request)
    if not asset.record["public"]:
        raise ApiError.rpc(404, "asset requested is not public")
    version = "" if archive.switches.old_public_url else "v2/"
    return f"{archive.url}/archivist/{version}publicassets/{asset.uuid}"


ROUTES = [
    Route("/archivist/v2/assets", _list, methods=["GET"]),
    Route("/archivist/v2/assets", _create, methods=["POST"]),
    Route("/archivist/v2/assets/{uuid}:publicurl", _public_url, methods=["GET"]),
    Route("/archivist/v2/assets/{uuid}", _get_private, methods=["GET"]),
    Route("/archivist/v2/publicassets/{uuid}", _get_public, methods=["GET"]),
]
