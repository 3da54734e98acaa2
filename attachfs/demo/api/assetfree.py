"""Asset-free events over HTTP (contract §9)."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.api.records import check_query
from attachfs.demo.archive import CLIENT_ID
from attachfs.demo.assetfree import MAX_BODY_BYTES
from attachfs.demo.errors import ApiError
from attachfs.demo.wire import checked_uuid, decode_object

_DEFAULT_TOP = 20


async def _create(request: Request) -> Response:
    archive = archive_of(request)
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        raise ApiError.invalid(f"the event exceeds {MAX_BODY_BYTES} bytes")
    return json_answer(archive, archive.free_events.create(decode_object(body), CLIENT_ID))


async def _get(request: Request) -> Response:
    archive = archive_of(request)
    check_query(request)
    uuid = checked_uuid(request.path_params["uuid"], "GetEventRequest")
    return json_answer(archive, archive.free_events.get(uuid))


async def _search(request: Request) -> Response:
    archive = archive_of(request)
    body = decode_object(await request.body())
    text = body.get("filter", "")
    if not isinstance(text, str):
        raise ApiError.invalid("filter: a string is expected")
    top, skip = _number(body.get("top", _DEFAULT_TOP)), _number(body.get("skip", 0))
    found, total = archive.free_events.search(text, top, skip)
    return json_answer(archive, {"events": found}, headers={"x-total-count": str(total)})


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ApiError.invalid("top and skip: integers are expected")
    return value


ROUTES = [
    Route("/archivist/v1/events", _create, methods=["POST"]),
    Route("/archivist/v1/events/search", _search, methods=["POST"]),
    Route("/archivist/v1/events/{uuid}", _get, methods=["GET"]),
]
