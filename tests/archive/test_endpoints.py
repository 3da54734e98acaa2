"""The requests attachfs makes, as values."""

from functools import partial

import pytest

from attachfs.archive import endpoints
from attachfs.archive.endpoints import PagingStyle, ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.errors import BadReply
from tests.support.archives import ASSET, ATTACHMENT, EVENT, OTHER, PATH

_V2 = "/archivist/v2"


def test_records_and_attachments_have_the_paths_of_the_contract() -> None:
    """Each path is spelled as contract sections 3.1 and 5.1 have it, without a query."""
    on_event = AttachmentPath(Holder(ASSET, EVENT), ATTACHMENT)
    assert endpoints.record(Holder(ASSET)).path == f"{_V2}/assets/{ASSET}"
    assert endpoints.record(Holder(ASSET, EVENT)).path == f"{_V2}/assets/{ASSET}/events/{EVENT}"
    assert endpoints.info(PATH).path == f"{_V2}/attachments/assets/{ASSET}/{ATTACHMENT}/info"
    assert (
        endpoints.info(on_event).path
        == f"{_V2}/attachments/assets/{ASSET}/events/{EVENT}/{ATTACHMENT}/info"
    )
    assert endpoints.record(Holder(ASSET)).query == ()
    assert endpoints.info(PATH).query == ()


@pytest.mark.parametrize(
    ("policy", "query"),
    [
        (ScanPolicy.BLOCK_BAD, ()),
        (ScanPolicy.ALLOW, (("allow_insecure", "true"),)),
        (ScanPolicy.REQUIRE_OK, (("strict", "true"),)),
    ],
)
def test_a_download_asks_for_what_the_scan_policy_allows(
    policy: ScanPolicy, query: endpoints.Query
) -> None:
    """The server enforces the policy as well (contract section 3.3)."""
    call = endpoints.download(PATH, policy)
    assert call.path == f"{_V2}/attachments/assets/{ASSET}/{ATTACHMENT}"
    assert call.query == query


@pytest.mark.parametrize("style", PagingStyle)
def test_the_first_page_is_asked_for_in_one_way(style: PagingStyle) -> None:
    """Without a token there is only a page size, and the filters."""
    assert endpoints.assets().page("", style).query == (("page_size", "500"),)
    assert endpoints.assets(untracked=True).page("", style).query == (
        ("page_size", "500"),
        ("tracked", "ANY"),
    )


@pytest.mark.parametrize(
    ("style", "query"),
    [
        (PagingStyle.SIZE, (("page_size", "500"), ("page_token", "t"))),
        (PagingStyle.QUERY, (("page_size", "500"), ("tracked", "ANY"), ("page_token", "t"))),
        (PagingStyle.TOKEN, (("page_token", "t"),)),
    ],
)
def test_further_pages_are_asked_for_in_three_ways(
    style: PagingStyle, query: endpoints.Query
) -> None:
    """The three client styles of contract section 5.5."""
    assert endpoints.assets(untracked=True).page("t", style).query == query


def test_public_assets_have_paths_of_their_own() -> None:
    """Contract section 7: `public` comes before the collection, everywhere."""
    for event, rest in ((None, ""), (EVENT, f"/events/{EVENT}")):
        holder = Holder(ASSET, event, public=True)
        path = AttachmentPath(holder, ATTACHMENT)
        assert endpoints.record(holder).path == f"{_V2}/publicassets/{ASSET}{rest}"
        assert (
            endpoints.attachment_url(path)
            == f"{_V2}/attachments/publicassets/{ASSET}{rest}/{ATTACHMENT}"
        )
    assert endpoints.events(Holder(ASSET, public=True)).path == f"{_V2}/publicassets/{ASSET}/events"


def test_only_what_is_public_is_asked_for_without_a_token() -> None:
    """Contract section 1.4; nothing that merely looks like it."""
    public, private = Holder(ASSET, EVENT, public=True), Holder(ASSET, EVENT)
    for holder, expected in ((public, True), (private, False)):
        attachment = AttachmentPath(holder, ATTACHMENT)
        for path in (
            endpoints.record(holder).path,
            endpoints.record(holder.owner).path,
            endpoints.events(holder.owner).path,
            endpoints.info(attachment).path,
            endpoints.download(attachment, ScanPolicy.ALLOW).path,
        ):
            assert endpoints.is_public(path) is expected
    assert endpoints.is_public(endpoints.public_probe().path)
    for path in (
        endpoints.probe().path,
        endpoints.all_events().path,
        endpoints.blob_url(ATTACHMENT),
        f"{_V2}/publicassetsx/{ASSET}",
        f"/x{_V2}/publicassets/{ASSET}",
        f"{_V2}/assets/publicassets/{ASSET}",
    ):
        assert not endpoints.is_public(path)


def test_an_asset_is_asked_for_as_it_stood_at_a_time() -> None:
    """Contract section 5.7; its identity is checked as ever."""
    call = endpoints.record(Holder(ASSET), at_time="2024-06-01T12:00:00Z")
    assert call.path == f"{_V2}/assets/{ASSET}"
    assert call.query == (("at_time", "2024-06-01T12:00:00Z"),)
    with pytest.raises(BadReply):
        call.parse(b'{"identity": "assets/%s"}' % OTHER.encode())


_BELOW = f"{_V2}/attachments/assets/{ASSET}"


@pytest.mark.parametrize(
    ("event", "source", "url"),
    [
        (None, "", f"{_BELOW}/{ATTACHMENT}"),
        (EVENT, "", f"{_BELOW}/events/{EVENT}/{ATTACHMENT}"),
        (EVENT, endpoints.ASSET, f"{_BELOW}/{ATTACHMENT}"),
        (EVENT, endpoints.BLOB, f"/archivist/v1/blobs/{ATTACHMENT}"),
        (None, endpoints.BLOB, f"/archivist/v1/blobs/{ATTACHMENT}"),
        (None, EVENT, f"{_BELOW}/events/{EVENT}/{ATTACHMENT}"),
    ],
)
def test_an_attachment_is_asked_for_at_its_source(event: str | None, source: str, url: str) -> None:
    """The Blobs API has the same bytes below its own version (contract section 4)."""
    path = AttachmentPath(Holder(ASSET, event), ATTACHMENT)
    info = endpoints.info(path, source)
    assert info.path == f"{url}/info"
    assert info.parse(b'{"size": 1}').source == source
    assert endpoints.download(path, ScanPolicy.BLOCK_BAD, source).path == url


@pytest.mark.parametrize(
    ("holder", "source"),
    [
        (Holder(ASSET), endpoints.ASSET),
        (Holder(ASSET, EVENT), OTHER),
        (Holder(ASSET, public=True), endpoints.BLOB),
        (Holder(ASSET), "@127.0.0.1:8080/x"),
        (Holder(ASSET), "http://127.0.0.1:8080/x"),
        (Holder(ASSET), "//127.0.0.1/x"),
        (Holder(ASSET), f"/archivist/v1/blobs/{ATTACHMENT}"),
        (Holder(ASSET), f"../{EVENT}"),
        (Holder(ASSET), f"{EVENT}\r\nX: y"),
        (Holder(ASSET), EVENT.upper()),
    ],
)
def test_nothing_is_asked_for_at_other_sources(holder: Holder, source: str) -> None:
    """An index that somebody else has written may name any: the token goes there."""
    path = AttachmentPath(holder, ATTACHMENT)
    for ask in (endpoints.info, partial(endpoints.download, policy=ScanPolicy.BLOCK_BAD)):
        with pytest.raises(BadReply, match="no such source"):
            ask(path, source=source)


def test_all_events_are_listed_by_a_wildcard_and_unfiltered() -> None:
    """Contract section 5.1; servers differ in what filters they take."""
    listing = endpoints.all_events()
    assert listing.path == f"{_V2}/assets/-/events"
    assert listing.page("", PagingStyle.SIZE).query == (("page_size", "500"),)


def test_a_listing_of_events_knows_its_asset() -> None:
    """Events are listed below their asset."""
    assert endpoints.events(Holder(ASSET)).path == f"{_V2}/assets/{ASSET}/events"


def test_the_probe_asks_for_one_asset() -> None:
    """The first request of a mount is as small as can be."""
    assert endpoints.probe().path == f"{_V2}/assets"
    assert endpoints.probe().query == (("page_size", "1"),)


def test_a_record_of_another_holder_is_refused() -> None:
    """The parser that comes with a request knows what was asked for."""
    other = b'{"identity": "assets/%s"}' % OTHER.encode()
    with pytest.raises(BadReply):
        endpoints.record(Holder(ASSET)).parse(other)
    with pytest.raises(BadReply):
        endpoints.record(Holder(OTHER, EVENT)).parse(other)
    assert endpoints.record(Holder(OTHER)).parse(other).id == OTHER


@pytest.mark.parametrize(
    ("style", "most"),
    [(PagingStyle.SIZE, 500), (PagingStyle.QUERY, 500), (PagingStyle.TOKEN, 10_000)],
)
def test_a_page_is_bounded_by_what_was_asked_for(style: PagingStyle, most: int) -> None:
    """Where no size is sent with the token, the server's own preference has a wider bound."""
    call = endpoints.assets().page("token", style)
    entry = f'{{"identity":"assets/{ASSET}"}}'
    raw = ",".join([entry] * most)
    assert len(call.parse(f'{{"assets":[{raw}]}}'.encode()).entries) == most
    with pytest.raises(BadReply):
        call.parse(f'{{"assets":[{raw},{entry}]}}'.encode())
