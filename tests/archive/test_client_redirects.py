"""Redirects: followed within the origin, and nowhere else is anything sent."""

import ssl
from pathlib import Path

import pytest
import trio
import trustme

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import RunningArchive
from attachfs.errors import AttachfsError, BadReply
from tests.support.archives import (
    ASSET,
    HOLDER,
    PATH,
    TOKEN,
    client,
    declared,
    received,
    token_of,
    uuid_in,
)
from tests.support.canned import Asked, reply, start_canned

_RECORD = {"identity": f"assets/{ASSET}", "attributes": {}}


async def _body(archive: Archive, path: AttachmentPath) -> bytes:
    return (await received(archive, endpoints.download(path, ScanPolicy.ALLOW)))[1]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("absolute", [False, True])
async def test_a_redirect_within_the_origin_is_followed_with_the_token(
    nursery: trio.Nursery, status: int, *, absolute: bool
) -> None:
    """Path and query are those of the location, the method stays GET."""

    def script(asked: Asked) -> bytes:
        if asked.path == "/moved":
            return reply(200, _RECORD)
        base = canned.url if absolute else ""
        return reply(status, Location=f"{base}/moved?to=here")

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
    assert [asked.target for asked in canned.requests][1:] == ["/moved?to=here"]
    assert all(asked.method == "GET" for asked in canned.requests)
    assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in canned.requests)


async def test_downloads_of_a_real_archive_are_followed(running: RunningArchive) -> None:
    """An archive that moves its attachments elsewhere on itself is read all the same."""
    running.archive.set_switches(redirect="same-origin")
    blob = running.archive.create_blob(b"evidence")
    asset = running.archive.create_asset({"attributes": {"proof": declared(blob)}})
    credentials = GivenToken(Secret(token_of(running)))
    async with client(running.url, credentials=credentials) as archive:
        path = AttachmentPath(Holder(uuid_in(asset)), uuid_in(blob))
        assert await _body(archive, path) == b"evidence"


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{other}/archivist/v2/assets",
        "//127.0.0.1:{other}/",
        "http://localhost:{port}/",
        "http://127.0.0.2:{port}/",
        "https://127.0.0.1:{port}/",
        "http://127.0.0.1:{port}@127.0.0.1:{other}/",
        "ftp://127.0.0.1:{port}/",
        "http://127.0.0.1/",
        "javascript:alert(1)",
    ],
)
async def test_a_redirect_to_another_origin_is_refused(
    nursery: trio.Nursery, location: str
) -> None:
    """Another port, host or scheme gets no request, let alone the token."""
    other = await start_canned(nursery, lambda _: reply(200, _RECORD))

    def script(_: Asked) -> bytes:
        return reply(302, Location=location.format(port=canned.port, other=other.port))

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        with pytest.raises(BadReply, match="redirect"):
            await archive.ask(endpoints.record(HOLDER))
        with pytest.raises(BadReply, match="redirect"):
            await _body(archive, PATH)
    assert other.connections == 0
    assert len(canned.requests) == 2


async def test_a_redirect_from_https_to_http_is_refused(nursery: trio.Nursery) -> None:
    """The token never leaves the encrypted connection."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    plain = await start_canned(nursery, lambda _: reply(200, _RECORD))
    canned = await start_canned(nursery, lambda _: reply(302, Location=plain.url), tls=context)
    with authority.cert_pem.tempfile() as bundle:
        async with client(canned.url, ca_bundle=Path(bundle)) as archive:
            with pytest.raises(BadReply, match="another server"):
                await archive.ask(endpoints.record(HOLDER))
    assert plain.connections == 0


async def test_a_loop_of_redirects_ends(nursery: trio.Nursery) -> None:
    """Five are followed, a sixth is not."""
    canned = await start_canned(nursery, lambda asked: reply(307, Location=asked.target + "x"))
    async with client(canned.url) as archive:
        with pytest.raises(BadReply, match="redirects"):
            await archive.ask(endpoints.record(HOLDER))
    assert len(canned.requests) == 6


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    "location",
    ["", "http://", "http://[::1", "http://[::ffff]:port/", "http://h:99999999/", "\xff\xfe",
     "http://xn--\xff/", "http://a\u2100b/", "//", "http:///x", "http://\u2488.example/",
     "?\udcff", "javascript:x", "h:1"],
)  # fmt: skip
async def test_a_redirect_to_nowhere_is_an_error_of_ours(
    nursery: trio.Nursery, location: str
) -> None:
    """Whatever a location holds, nothing else than our errors comes out."""
    raw = location.encode("utf-8", "surrogateescape").decode("latin-1")
    first = trio.Event()

    def script(_: Asked) -> bytes:
        if first.is_set():
            return reply(404)
        first.set()
        head = reply(302, Location="@").split(b"@")
        return head[0] + raw.encode("latin-1") + head[1]

    canned = await start_canned(nursery, script)
    async with client(canned.url) as archive:
        with pytest.raises(AttachfsError):
            await archive.ask(endpoints.record(HOLDER))


async def test_a_redirect_without_location_is_a_bad_reply(nursery: trio.Nursery) -> None:
    """There is nothing to follow."""
    canned = await start_canned(nursery, lambda _: reply(302))
    async with client(canned.url) as archive:
        with pytest.raises(BadReply, match="302"):
            await archive.ask(endpoints.record(HOLDER))
