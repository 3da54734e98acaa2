"""Where `/info` is to be had, what is remembered of that, and of what is bad."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import trio

from attachfs.archive import endpoints
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import attachment_url, blob_url, source_url
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.index import Index
from attachfs.catalog.keys import BAD, info_key
from attachfs.errors import AttachfsError, Denied, NotFound, ServerFault, Unauthenticated
from tests.support.archives import client, declared, index_in_memory, sha256, token_of, uuid_in
from tests.support.canned import reply, start_canned
from tests.support.estates import INFO_PATHS, Estate

OnAsset = tuple[Holder, Holder, str]
_CREATED = datetime(2024, 1, 1, tzinfo=UTC)
_THEN = ("2024-06-01T12:00:30Z", 1_717_243_230 * 10**9)


@pytest.fixture
def on_asset(estate: Estate) -> OnAsset:
    """An asset, an event that set an attachment on it, and the attachment."""
    holder = Holder(uuid_in(estate.demo.create_asset({}, at=_CREATED)))
    blob = estate.blob(b"one")
    event, _ = estate.event(holder, on_asset={"latest": declared(blob)})
    return holder, event, uuid_in(blob)


@pytest.fixture
def superseded(estate: Estate, on_asset: OnAsset) -> OnAsset:
    """The same after another event has replaced it."""
    holder, _, _ = on_asset
    estate.event(
        holder, on_asset={"latest": declared(estate.blob(b"two"))}, at="2024-07-01T00:00:00Z"
    )
    return on_asset


@asynccontextmanager
async def _catalog(estate: Estate, index: Index | None = None) -> AsyncIterator[Catalog]:
    credentials = GivenToken(Secret(token_of(estate.running)))
    async with (
        client(estate.running.url, credentials=credentials) as archive,
        trio.open_nursery() as nursery,
    ):
        if index is not None:
            index.start(nursery)
        yield Catalog(archive, nursery, index or index_in_memory(nursery))
        if index is not None:
            await index.settle()
        nursery.cancel_scope.cancel()


async def _asked(estate: Estate) -> list[str]:
    """Return for which URLs `/info` has been asked, and forget them."""
    asked = [entry.path.removesuffix("/info") for entry in await estate.requests(INFO_PATHS)]
    await estate.reset()
    return asked


def _urls(superseded: OnAsset) -> dict[str, str]:
    asset, event, attachment = superseded
    return {
        "event": attachment_url(AttachmentPath(event, attachment)),
        "asset": attachment_url(AttachmentPath(asset, attachment)),
        "blob": blob_url(attachment),
    }


@pytest.mark.parametrize(
    ("event_serves", "asset_serves", "tried"),
    [
        (True, False, ["event"]),
        (True, True, ["event"]),
        (False, True, ["event", "asset"]),
        (False, False, ["event", "asset", "blob"]),
    ],
)
async def test_what_an_event_set_on_its_asset_is_found_where_the_server_has_it(
    estate: Estate,
    superseded: OnAsset,
    *,
    event_serves: bool,
    asset_serves: bool,
    tried: list[str],
) -> None:
    """Its event's URL is tried, the asset's, then the blob; the bytes are where `/info` was."""
    estate.demo.set_switches(
        event_url_serves_asset_attributes=event_serves, asset_url_serves_superseded=asset_serves
    )
    _, event, attachment = superseded
    urls = _urls(superseded)
    path = AttachmentPath(event, attachment)
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        info = await catalog.info(path)
        assert (info.size_bytes, source_url(path, info.source)) == (3, urls[tried[-1]])
        assert (await catalog.confirmed_info(path)) is info
        assert await _asked(estate) == [urls[kind] for kind in tried]


@pytest.mark.parametrize(
    ("event_serves", "asset_serves", "tried"),
    [
        (True, True, ["asset"]),
        (False, True, ["asset"]),
        (True, False, ["asset", "event"]),
        (False, False, ["asset", "event", "blob"]),
    ],
)
async def test_what_an_asset_had_once_is_found_where_the_server_has_it(
    estate: Estate,
    superseded: OnAsset,
    *,
    event_serves: bool,
    asset_serves: bool,
    tried: list[str],
) -> None:
    """Seen through its record of that time: its own URL, the event's that set it, the blob."""
    estate.demo.set_switches(
        event_url_serves_asset_attributes=event_serves, asset_url_serves_superseded=asset_serves
    )
    asset, _, attachment = superseded
    urls = _urls(superseded)
    path = AttachmentPath(asset, attachment)
    async with _catalog(estate) as catalog:
        await catalog.record(asset)
        past = await catalog.record_at(asset, *_THEN)
        assert past.attachment(attachment) is not None
        found = catalog.declared(path)
        assert found is not None
        assert (found.on_asset, found.record_digests) == (True, (sha256(b"one"),))
        assert source_url(path, (await catalog.confirmed_info(path)).source) == urls[tried[-1]]
        assert await _asked(estate) == [urls[kind] for kind in tried]


@pytest.mark.parametrize(("asset_serves", "honoured"), [(True, "asset"), (False, "blob")])
async def test_what_this_server_honours_is_tried_first_from_then_on(
    estate: Estate, *, asset_serves: bool, honoured: str
) -> None:
    """So that a thousand attachments cost a thousand requests, and a few."""
    estate.demo.set_switches(
        event_url_serves_asset_attributes=False, asset_url_serves_superseded=asset_serves
    )
    holder, _ = estate.asset()
    async with _catalog(estate) as catalog:
        for number in range(3):
            blob = estate.blob(bytes([number]))
            event, _ = estate.event(holder, on_asset={"latest": declared(blob)})
            estate.event(holder, on_asset={"latest": declared(estate.blob(b"x"))})
            await catalog.record(event)
            path = AttachmentPath(event, uuid_in(blob))
            url = _urls((holder, event, uuid_in(blob)))[honoured]
            assert source_url(path, (await catalog.info(path)).source) == url
            asked = await _asked(estate)
            assert (asked == [url]) is (number > 0)


async def test_what_is_the_events_own_is_asked_for_at_the_event_alone(
    estate: Estate, superseded: OnAsset
) -> None:
    """Whatever was honoured for others, and although nobody has it: nothing else is tried."""
    estate.demo.set_switches(event_url_serves_asset_attributes=False)
    asset, event, attachment = superseded
    other, (own,) = estate.event(asset, b"own")
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        await catalog.info(AttachmentPath(event, attachment))
        await catalog.record(other)
        await _asked(estate)
        path = AttachmentPath(other, own)
        assert source_url(path, (await catalog.info(path)).source) == attachment_url(path)
        estate.demo.edit_blob(own, delete=True)
        assert await _asked(estate) == [attachment_url(path)]
    async with _catalog(estate) as catalog:
        await catalog.record(other)
        with pytest.raises(NotFound):
            await catalog.info(path)
        assert await _asked(estate) == [attachment_url(path)]


async def test_an_attachment_that_is_nowhere_is_the_first_refusal(
    estate: Estate, superseded: OnAsset
) -> None:
    """It names the path that somebody asked for, and is remembered as a whole."""
    _, event, attachment = superseded
    estate.demo.edit_blob(attachment, delete=True)
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        for _ in range(3):
            with pytest.raises(NotFound, match=f"events/{event.event}/{attachment}"):
                await catalog.info(AttachmentPath(event, attachment))
        assert await _asked(estate) == list(_urls(superseded).values())


async def test_a_refused_token_is_not_tried_elsewhere(estate: Estate, superseded: OnAsset) -> None:
    """No other URL takes it, either."""
    _, event, attachment = superseded
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        estate.demo.fail_next(path_regex=INFO_PATHS, status=401)
        with pytest.raises(Unauthenticated):
            await catalog.info(AttachmentPath(event, attachment))
        assert len(await _asked(estate)) == 1


@pytest.mark.usefixtures("quick_retries")
async def test_trouble_is_not_taken_for_a_refusal(estate: Estate, superseded: OnAsset) -> None:
    """Nothing else is tried, and nothing learnt."""
    _, event, attachment = superseded
    path = AttachmentPath(event, attachment)
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        estate.demo.fail_next(path_regex=INFO_PATHS, status=500, times=4)
        with pytest.raises(ServerFault):
            await catalog.info(path)
        assert set(await _asked(estate)) == {_urls(superseded)["event"]}
        assert source_url(path, (await catalog.info(path)).source) == _urls(superseded)["event"]


async def test_a_token_that_may_not_list_events_is_given_the_blob(
    estate: Estate, superseded: OnAsset
) -> None:
    """Who set an attachment is not to be found out, which says nothing of the attachment."""
    estate.demo.set_switches(event_url_serves_asset_attributes=False)
    asset, _, attachment = superseded
    async with _catalog(estate) as catalog:
        await catalog.record(asset)
        await catalog.record_at(asset, *_THEN)
        estate.demo.fail_next(path_regex="/events$", status=403, times=99)
        info = await catalog.confirmed_info(AttachmentPath(asset, attachment))
        assert info.source == endpoints.BLOB


async def test_the_right_url_outlives_a_restart(
    estate: Estate, superseded: OnAsset, tmp_path: Path
) -> None:
    """Bytes are asked for there, and `/info` not again."""
    estate.demo.set_switches(event_url_serves_asset_attributes=False)
    _, event, attachment = superseded
    for asked in (3, 0):
        index = Index.open(tmp_path / "index")
        async with _catalog(estate, index) as catalog:
            await catalog.record(event)
            info = await catalog.info(AttachmentPath(event, attachment))
            assert info.source == endpoints.BLOB
            assert len(await _asked(estate)) == asked
        index.close()


@pytest.mark.parametrize(
    "line", ["@127.0.0.1:{port}/x", "http://127.0.0.1:{port}/x", "//127.0.0.1:{port}", "asset", "x"]
)
async def test_what_an_index_says_of_a_url_is_not_asked(
    estate: Estate, nursery: trio.Nursery, line: str
) -> None:
    """Somebody else may have written it: the token goes to the archive alone."""
    path = estate.one()
    other = await start_canned(nursery, lambda _: reply(200, {"size": 1}))
    index = Index.open(None)
    with closing(index):
        index.start(nursery)
        raw = f'{line.format(port=other.port)}\n{{"size": 1}}'.encode()
        index.put(info_key(path), raw, time.time())
        async with _catalog(estate, index) as catalog:
            assert (await catalog.info(path)).size_bytes == len(b"evidence")
            assert await _asked(estate) == [attachment_url(path)]
    assert other.connections == 0


async def test_a_url_that_is_no_longer_honoured_is_replaced(
    estate: Estate, superseded: OnAsset
) -> None:
    """Even where `/info` says the same at the other."""
    _, event, attachment = superseded
    path = AttachmentPath(event, attachment)
    urls = _urls(superseded)
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        assert source_url(path, (await catalog.info(path)).source) == urls["event"]
        estate.demo.set_switches(
            event_url_serves_asset_attributes=False, asset_url_serves_superseded=True
        )
        catalog.expire(event)
        assert source_url(path, (await catalog.info(path)).source) == urls["asset"]
        known = catalog.known_info(path)
        assert known is not None
        assert source_url(path, known.source) == urls["asset"]


async def test_public_attachments_are_asked_for_without_a_token_and_never_as_blobs(
    estate: Estate,
) -> None:
    """The Blobs API is not open to everybody."""
    blob, other = estate.blob(b"one"), estate.blob(b"two")
    asset = estate.demo.create_asset({"public": True, "attributes": {"latest": declared(blob)}})
    holder = Holder(uuid_in(asset), public=True)
    event, _ = estate.event(holder, on_asset={"latest": declared(other)})
    event = Holder(event.asset, event.event, public=True)
    path = AttachmentPath(event, uuid_in(other))
    async with _catalog(estate) as catalog:
        await catalog.record(event)
        assert source_url(path, (await catalog.info(path)).source) == attachment_url(path)
        estate.demo.set_switches(event_url_serves_asset_attributes=False)
        estate.demo.edit_asset(holder.asset, attributes={"latest": None})
        catalog.expire(event)
        with pytest.raises(NotFound):
            await catalog.info(path)
        requests = await estate.requests()
        assert {entry.has_authorization for entry in requests} == {False}
        assert not [entry for entry in requests if "/blobs/" in entry.path]


async def test_what_the_record_does_not_name_is_asked_for_at_its_own_url(
    estate: Estate, superseded: OnAsset
) -> None:
    """A path that nobody has declared is no reason to try others."""
    asset, _, attachment = superseded
    async with _catalog(estate) as catalog:
        for holder in (asset, Holder(asset.asset, uuid_in(estate.blob(b"")))):
            with pytest.raises(NotFound):
                await catalog.info(AttachmentPath(holder, attachment))
            assert len(await _asked(estate)) == 1


async def test_many_infos_at_once_are_asked_for_once_each(estate: Estate) -> None:
    """However many want them."""
    holder, attachments = estate.asset(*(bytes([number]) for number in range(100)))
    paths = [AttachmentPath(holder, attachment) for attachment in attachments]
    async with _catalog(estate) as catalog:
        await catalog.record(holder)
        async with trio.open_nursery() as nursery:
            for path in paths * 3:
                nursery.start_soon(catalog.info, path)
        assert sorted(await _asked(estate)) == sorted(map(attachment_url, paths))


@pytest.mark.parametrize(
    ("damage", "kind"),
    [
        (lambda estate, path: estate.demo.edit_asset(path.holder.asset, deny=True), Denied),
        (lambda estate, path: estate.demo.edit_blob(path.attachment, delete=True), NotFound),
    ],
)
async def test_an_info_that_may_no_longer_be_seen_is_forgotten(
    estate: Estate,
    damage: Callable[[Estate, AttachmentPath], None],
    kind: type[AttachfsError],
) -> None:
    """At the next question, which a scan's lifetime allows."""
    path = estate.one()
    async with _catalog(estate) as catalog:
        await catalog.record(path.holder)
        await catalog.info(path)
        damage(estate, path)
        catalog.expire(path.holder)
        with pytest.raises(kind):
            await catalog.info(path)
        assert catalog.known_info(path) is None


async def test_what_is_bad_is_known_after_a_restart(estate: Estate, tmp_path: Path) -> None:
    """Before anything is asked, and until the attachment that it was found at is good again."""
    path, same = estate.one(b"evil"), estate.one(b"evil")
    estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_BAD")
    for bad, now_bad in [(False, True), (True, True), (True, False), (False, False)]:
        index = Index.open(tmp_path / "index")
        async with _catalog(estate, index) as catalog:
            assert catalog.is_bad(sha256(b"evil")) is bad
            await catalog.info(same)
            assert catalog.is_bad(sha256(b"evil")) is bad
            if bad and not now_bad:
                estate.demo.edit_blob(path.attachment, scanned_status="SCANNED_OK")
            await catalog.record(path.holder)
            catalog.expire(path.holder)
            await catalog.info(path)
            assert catalog.is_bad(sha256(b"evil")) is now_bad
        index.close()


async def test_damaged_digests_in_the_index_are_no_trouble(estate: Estate) -> None:
    """Whatever stands there."""
    index = Index.open(None)
    index.put(BAD + sha256(b"evil").encode() + b" \xff", b"", 0)
    index.put(BAD, b"", 0)
    async with _catalog(estate, index) as catalog:
        assert catalog.is_bad(sha256(b"evil"))
    index.close()


def test_no_url_of_the_blobs_api_is_public() -> None:
    """Its token is sent."""
    assert not endpoints.is_public(blob_url("x"))
