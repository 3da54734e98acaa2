"""Blobs on their way in, and what room is left for them (contract §4)."""

import trio
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from attachfs.demo.api.answers import archive_of, json_answer
from attachfs.demo.api.records import check_query
from attachfs.demo.errors import ApiError


async def _upload(request: Request) -> Response:
    archive = archive_of(request)
    length = request.headers.get("content-length", "")
    if not length.isdigit() or int(length) < 1:
        raise ApiError.plain(400, "no content to be uploaded")
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise ApiError.plain(
            400, "failed to get multipart reader: request Content-Type isn't multipart/form-data"
        )
    try:
        async with request.form() as form:
            files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
            if not files:
                raise ApiError.plain(400, "no content to be uploaded")
            if len(files) > 1:
                raise ApiError.plain(400, "only one file expected")
            source = files[0].file
            limit_bytes = archive.switches.upload_limit_bytes
            # The part's own Content-Type is ignored; this odd header is what overrides sniffing.
            mime_type = files[0].headers.get("content_type")
            staged = await trio.to_thread.run_sync(
                lambda: archive.blobs.stage(source, mime_type=mime_type, limit_bytes=limit_bytes)
            )
    except (HTTPException, MultiPartException, UnicodeDecodeError) as error:
        raise ApiError.plain(400, "failed to get multipart reader: malformed body") from error
    return json_answer(archive, archive.blobs.accept(staged, archive.now()))


async def _caps(request: Request) -> Response:
    archive = archive_of(request)
    check_query(request, "service")
    names = {"blobs": "Blobs", "assets": "Assets", "access_policies": "AccessPolicies"}
    service = request.query_params.get("service", "blobs")
    if service not in names:
        raise ApiError.invalid(f"unknown service: {service}")
    limit_bytes = archive.switches.upload_limit_bytes
    remaining = str(limit_bytes if service == "blobs" else -1)
    return json_answer(
        archive, {"caps": [{"resource_type": names[service], "resource_remaining": remaining}]}
    )


ROUTES = [
    Route("/archivist/v1/blobs", _upload, methods=["POST"]),
    Route("/archivist/v1/blobs:caps", _caps, methods=["GET"]),
    Route("/archivist/v1/caps", _caps, methods=["GET"]),
]
