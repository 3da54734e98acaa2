"""Events of assets, private and public (contract §5.1, 5.3, 7)."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachfs.demo import filters
from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.api.assets import public_url
from attachfs.demo.api.records import (
    check_query,
    event_out,
    list_answer,
    visible_asset,
    visible_event,
)
from attachfs.demo.archive import ACTOR
from attachfs.demo.errors import ApiError
from attachfs.demo.wire import checked_uuid, decode_object, is_uuid4

_ALL = "-"


async def _list(request: Request, *, public: bool) -> Response:
    archive = archive_of(request)
    asset = request.path_params["uuid"].lower()
    if archive.switches.deny_records and not public:
        raise ApiError.forbidden()
    if asset == _ALL:
        if public and not archive.switches.public_wildcard:
            raise ApiError.rpc(401, "events of all public assets cannot be listed")
    elif not is_uuid4(asset):
        raise ApiError.invalid(
            "invalid ListEventsRequest.AssetUuid: value does not match regex pattern"
        )
    else:
        visible_asset(archive, asset, public=public)
    return await list_answer(
        request,
        filters.EVENTS,
        partial(event_out, archive, public=public),
        asset=None if asset == _ALL else asset,
        only=(lambda _, owner: bool(owner["public"])) if public and asset == _ALL else None,
    )


async def _create(request: Request) -> Response:
    archive = archive_of(request)
    check_query(request)
    asset = checked_uuid(request.path_params["uuid"], "CreateEventRequest")
    visible_asset(archive, asset, public=False)
    event = archive.ledger.create_event(asset, decode_object(await request.body()), ACTOR)
    return json_answer(archive, event)


async def _get(request: Request, *, public: bool) -> Response:
    archive = archive_of(request)
    asset = checked_uuid(request.path_params["asset"], "GetEventRequest", "AssetUuid")
    uuid = checked_uuid(request.path_params["uuid"], "GetEventRequest")
    check_query(request)
    row = visible_event(archive, visible_asset(archive, asset, public=public), uuid, public=public)
    return json_answer(archive, event_out(archive, row.record, public=public))


async def _public_url(request: Request) -> Response:
    archive = archive_of(request)
    asset_uuid = checked_uuid(request.path_params["asset"], "GetPublicEventURLRequest", "AssetUuid")
    uuid = checked_uuid(request.path_params["uuid"], "GetPublicEventURLRequest")
    check_query(request)
    asset = visible_asset(archive, asset_uuid, public=False)
    event = visible_event(archive, asset, uuid, public=False)
    return json_answer(archive, {"publicurl": f"{public_url(request, asset)}/events/{event.uuid}"})


async def _list_private(request: Request) -> Response:
    return await _list(request, public=False)


async def _list_public(request: Request) -> Response:
    return await _list(request, public=True)


async def _get_private(request: Request) -> Response:
    return await _get(request, public=False)


async def _get_public(request: Request) -> Response:
    return await _get(request, public=True)


_PRIVATE = "/archivist/v2/assets"
_PUBLIC = "/archivist/v2/publicassets"
ROUTES = [
    Route(f"{_PRIVATE}/{{uuid}}/events", _list_private, methods=["GET"]),
    Route(f"{_PRIVATE}/{{uuid}}/events", _create, methods=["POST"]),
    Route(f"{_PRIVATE}/{{asset}}/events/{{uuid}}:publicurl", _public_url, methods=["GET"]),
    Route(f"{_PRIVATE}/{{asset}}/events/{{uuid}}", _get_private, methods=["GET"]),
    Route(f"{_PUBLIC}/{{uuid}}/events", _list_public, methods=["GET"]),
    Route(f"{_PUBLIC}/{{asset}}/events/{{uuid}}", _get_public, methods=["GET"]),
]
