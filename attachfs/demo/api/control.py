"""The control interface `/_embedded/`: what tests in other processes steer the archive with."""

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.errors import ApiError
from attachfs.demo.wire import Record, decode_object

PREFIX = "/_embedded/"
"""Under this nothing fails on purpose, nothing is delayed and nothing is logged."""


async def _requests(request: Request) -> Response:
    archive = archive_of(request)
    return json_answer(archive, archive.traffic.report())


async def _reset_requests(request: Request) -> Response:
    archive = archive_of(request)
    archive.reset_requests()
    return json_answer(archive, {})


async def _switches(request: Request) -> Response:
    archive = archive_of(request)
    return json_answer(archive, msgspec.to_builtins(archive.switches))


async def _throw_switches(request: Request) -> Response:
    archive = archive_of(request)
    switches = archive.set_switches(**decode_object(await request.body()))
    return json_answer(archive, msgspec.to_builtins(switches))


async def _edit_blob(request: Request) -> Response:
    return await _edit(request, archive_of(request).edit_blob)


async def _edit_asset(request: Request) -> Response:
    return await _edit(request, archive_of(request).edit_asset)


async def _edit_event(request: Request) -> Response:
    return await _edit(request, archive_of(request).edit_event)


async def _edit(request: Request, edit: Callable[..., Record]) -> Response:
    changes: dict[str, Any] = decode_object(await request.body())
    if "uuid" in changes:
        raise ApiError.invalid("no such field: uuid")
    return json_answer(archive_of(request), edit(request.path_params["uuid"], **changes))


async def _fail_next(request: Request) -> Response:
    archive = archive_of(request)
    archive.fail_next(**decode_object(await request.body()))
    return json_answer(archive, {})


async def _revoke_tokens(request: Request) -> Response:
    archive = archive_of(request)
    archive.identities.revoke_all()
    return json_answer(archive, {})


ROUTES = [
    Route("/_embedded/requests", _requests, methods=["GET"]),
    Route("/_embedded/requests", _reset_requests, methods=["DELETE"]),
    Route("/_embedded/switches", _switches, methods=["GET"]),
    Route("/_embedded/switches", _throw_switches, methods=["PATCH"]),
    Route("/_embedded/blobs/{uuid}", _edit_blob, methods=["PATCH"]),
    Route("/_embedded/assets/{uuid}", _edit_asset, methods=["PATCH"]),
    Route("/_embedded/events/{uuid}", _edit_event, methods=["PATCH"]),
    Route("/_embedded/fail_next", _fail_next, methods=["POST"]),
    Route("/_embedded/tokens", _revoke_tokens, methods=["DELETE"]),
]
