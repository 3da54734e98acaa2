"""The application: all routes behind the gate, refusals in the service's form."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from attachfs.demo.api import assetfree, assets, control, downloads, events, iam, uploads
from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.api.gate import Gate
from attachfs.demo.archive import Archive
from attachfs.demo.errors import ApiError

_NOT_ALLOWED = 405


def create_app(archive: Archive, latency_s: float = 0.0) -> ASGIApp:
    """Return the ASGI application of an archive.

    Args:
        archive: What it serves.
        latency_s: Waited before every response.
    """
    routes = [
        *iam.ROUTES,
        *uploads.ROUTES,
        *downloads.ROUTES,
        *events.ROUTES,
        *assets.ROUTES,
        *assetfree.ROUTES,
        *control.ROUTES,
    ]
    for route in routes:
        # Starlette adds HEAD to every GET; the service most probably knows no HEAD (§3.4).
        (route.methods or set()).discard("HEAD")
    app = Starlette(
        routes=routes,
        exception_handlers={ApiError: _refuse, HTTPException: _refuse_route},
    )
    app.router.redirect_slashes = False
    app.state.archive = archive
    return Gate(app, archive, latency_s)


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 -- registered for this class only
    return json_answer(archive_of(request), error.body, status=error.status)


async def _refuse_route(request: Request, error: Exception) -> Response:
    """Answer for paths and verbs that no route knows (contract §3.4, 10)."""
    assert isinstance(error, HTTPException)  # noqa: S101 -- registered for this class only
    status = error.status_code
    if status == _NOT_ALLOWED:
        status = archive_of(request).switches.unknown_verb_status
        return await _refuse(request, ApiError.rpc(status, "Method Not Allowed"))
    return await _refuse(request, ApiError.rpc(status, "Not Found"))
