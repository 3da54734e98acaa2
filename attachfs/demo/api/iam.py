"""Tokens, applications and tenancies (contract §1.3, 1.4)."""

from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.api.records import check_query
from attachfs.demo.errors import ApiError
from attachfs.demo.ledger import TENANT_UUID
from attachfs.demo.wire import checked_uuid, decode_object

TOKEN_PATH = "/archivist/iam/v1/appidp/token"  # noqa: S105 -- a path
"""Where a client gets its token; needs none itself."""


async def _token(request: Request) -> Response:
    archive = archive_of(request)
    form = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
    return json_answer(archive, archive.identities.grant(form, archive.switches.token_lifetime_s))


async def _create(request: Request) -> Response:
    archive = archive_of(request)
    body = decode_object(await request.body())
    return json_answer(archive, archive.identities.create_application(body))


async def _list(request: Request) -> Response:
    archive = archive_of(request)
    check_query(request, "display_name", "page_size", "page_token")
    found = archive.identities.applications(request.query_params.get("display_name"))
    return json_answer(archive, {"applications": found, "next_page_token": ""})


async def _read(request: Request) -> Response:
    archive = archive_of(request)
    return json_answer(archive, archive.identities.application(_uuid(request)))


async def _update(request: Request) -> Response:
    archive = archive_of(request)
    body = decode_object(await request.body())
    return json_answer(archive, archive.identities.update_application(_uuid(request), body))


async def _delete(request: Request) -> Response:
    archive = archive_of(request)
    archive.identities.delete_application(_uuid(request))
    return json_answer(archive, {})


async def _regenerate(request: Request) -> Response:
    archive = archive_of(request)
    return json_answer(archive, archive.identities.regenerate_secret(_uuid(request)))


async def _public_info(request: Request) -> Response:
    uuid = checked_uuid(request.path_params["uuid"], "GetPublicInfoRequest")
    if uuid != TENANT_UUID:
        raise ApiError.missing("tenancy")
    return json_answer(
        archive_of(request), {"identity": f"tenant/{uuid}", "verified_domain": "archive.example"}
    )


def _uuid(request: Request) -> str:
    return checked_uuid(request.path_params["uuid"], "ApplicationRequest")


_APPLICATIONS = "/archivist/iam/v1/applications"
ROUTES = [
    Route(TOKEN_PATH, _token, methods=["POST"]),
    Route(_APPLICATIONS, _create, methods=["POST"]),
    Route(_APPLICATIONS, _list, methods=["GET"]),
    Route(f"{_APPLICATIONS}/{{uuid}}:regenerate-secret", _regenerate, methods=["POST"]),
    Route(f"{_APPLICATIONS}/{{uuid}}", _read, methods=["GET"]),
    Route(f"{_APPLICATIONS}/{{uuid}}", _update, methods=["PATCH"]),
    Route(f"{_APPLICATIONS}/{{uuid}}", _delete, methods=["DELETE"]),
    Route("/archivist/v1/tenancies/{uuid}:publicinfo", _public_info, methods=["GET"]),
]
