"""Blobs and attachments on their way out: `/info` and bytes (contract §3, 4)."""

import re

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from attachfs.demo import attributes, ledger, scanning
from attachfs.demo.api.answers import FileAnswer, archive_of, json_answer
from attachfs.demo.api.records import visible_asset, visible_event
from attachfs.demo.archive import Archive
from attachfs.demo.errors import ApiError
from attachfs.demo.storage import Row, Selection
from attachfs.demo.wire import Record, checked_uuid

ALIAS = "/_moved"
"""Where attachments are moved to by the switch `redirect` (contract §1.1)."""

_ROOT = "/archivist/v2/attachments"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)", re.ASCII)


def _body(request: Request, uuid: str, record: Record) -> Response:
    """Answer with the bytes of a blob."""
    archive = archive_of(request)
    switches, fault = archive.switches, archive.blobs.fault(uuid)
    scanning.check_download(record["scanned_status"], request.query_params)
    size_bytes: int = record["size"]
    etag = f'"{record["hash"]["value"]}"'
    headers = {"content-type": record["mime_type"]}
    if switches.etag:
        headers["etag"] = etag
        if request.headers.get("if-none-match") == etag:
            return Response(None, 304, headers={"etag": etag})
    if switches.content_disposition:
        # The true name is in attributes only; SDK uploads are called this (contract §3.4).
        headers["content-disposition"] = 'attachment; filename="filename"'
    status, offset, length_bytes = 200, 0, size_bytes
    if switches.honour_range:
        headers["accept-ranges"] = "bytes"
        part = _part(request, size_bytes, etag if switches.etag else None)
        if part is not None:
            offset, length_bytes = part
            if length_bytes == 0:
                return Response(None, 416, headers={"content-range": f"bytes */{size_bytes}"})
            status = 206
            last = offset + length_bytes - 1
            headers["content-range"] = f"bytes {offset}-{last}/{size_bytes}"
    sent_bytes = length_bytes
    if fault.truncate_body is not None:
        sent_bytes = max(0, min(length_bytes, fault.truncate_body - offset))
    return FileAnswer(
        archive.blobs.path(uuid),
        headers,
        status=status,
        span=(offset, sent_bytes),
        full_bytes=length_bytes if switches.content_length else None,
        flipped=fault.flip_body_byte,
    )


def _part(request: Request, size_bytes: int, etag: str | None) -> tuple[int, int] | None:
    """Return offset and length of the part asked for; None is all of it, length 0 too far."""
    match = _RANGE.fullmatch(request.headers.get("range", ""))
    if match is None or request.headers.get("if-range", etag) != etag:
        return None
    first = int(match[1])
    last = min(int(match[2] or size_bytes), size_bytes - 1)
    if first >= size_bytes:
        return (0, 0)
    return None if last < first else (first, last - first + 1)


async def _blob(request: Request) -> Response:
    archive = archive_of(request)
    uuid = checked_uuid(request.path_params["uuid"], "GetBlobRequest")
    return _body(request, uuid, archive.blobs.record(uuid, as_blob=True))


async def _blob_info(request: Request) -> Response:
    archive = archive_of(request)
    uuid = checked_uuid(request.path_params["uuid"], "GetBlobRequest")
    archive.blobs.record(uuid, as_blob=True)
    return _info(archive, uuid, "blobs")


def _info(archive: Archive, uuid: str, prefix: str) -> Response:
    minimal = archive.switches.minimal_info
    return json_answer(archive, archive.blobs.info(uuid, prefix=prefix, minimal=minimal))


async def _attachment(request: Request) -> Response:
    redirected = _redirection(request)
    if redirected is not None:
        return redirected
    uuid = _attached(request)
    return _body(request, uuid, archive_of(request).blobs.record(uuid))


async def _attachment_info(request: Request) -> Response:
    uuid = _attached(request)
    archive = archive_of(request)
    return _info(archive, uuid, archive.switches.info_identity_prefix)


def _redirection(request: Request) -> Response | None:
    target = archive_of(request).switches.redirect
    if not target or request.url.path.startswith(ALIAS):
        return None
    base = ALIAS if target == "same-origin" else target
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{base}{request.url.path}{query}", 307)


def _attached(request: Request) -> str:
    """Return the UUID of the attachment asked for, if asset or event refers to it.

    Raises:
        ApiError: 403 or 404 (contract §6.4).
    """
    archive = archive_of(request)
    params = request.path_params
    asset_uuid = checked_uuid(params["asset"], "GetAttachmentRequest", "AssetUuid")
    uuid = checked_uuid(params["uuid"], "GetAttachmentRequest")
    public = f"{_ROOT}/publicassets/" in request.url.path
    asset = visible_asset(archive, asset_uuid, public=public, content=True)
    if "event" in params:
        event_uuid = checked_uuid(params["event"], "GetAttachmentRequest", "EventUuid")
        event = visible_event(archive, asset, event_uuid, public=public, content=True)
        served = ledger.served_blobs(
            event.record,
            with_asset_attributes=archive.switches.event_url_serves_asset_attributes,
        )
    else:
        served = set(attributes.blob_uuids(asset.record["attributes"]))
        if archive.switches.asset_url_serves_superseded:
            served |= _ever_attached(archive, asset)
    if uuid not in served:
        raise ApiError.missing("attachment")
    return uuid


def _ever_attached(archive: Archive, asset: Row) -> set[str]:
    events = archive.storage.select(Selection(kind="event", asset=asset.uuid))
    return {
        uuid for row, _ in events for uuid in attributes.blob_uuids(row.record["asset_attributes"])
    }


def _attachment_routes(interface: str) -> list[Route]:
    asset = f"{interface}/{{asset}}"
    event = f"{asset}/events/{{event}}"
    return [
        # Before the rest: `events` is no UUID, but would pass for one in the asset's route.
        Route(f"{event}/{{uuid}}/info", _attachment_info, methods=["GET"]),
        Route(f"{event}/{{uuid}}", _attachment, methods=["GET"]),
        Route(f"{asset}/{{uuid}}/info", _attachment_info, methods=["GET"]),
        Route(f"{asset}/{{uuid}}", _attachment, methods=["GET"]),
    ]


ROUTES = [
    Route("/archivist/v1/blobs/{uuid}", _blob, methods=["GET"]),
    Route("/archivist/v1/blobs/{uuid}/info", _blob_info, methods=["GET"]),
    *(
        route
        for place in ("", ALIAS)
        for interface in ("assets", "publicassets")
        for route in _attachment_routes(f"{place}{_ROOT}/{interface}")
    ),
]
