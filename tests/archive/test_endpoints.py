"""The requests attachfs makes, as values."""

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


def test_a_listing_of_events_knows_its_asset() -> None:
    """Events are listed below their asset."""
    assert endpoints.events(ASSET).path == f"{_V2}/assets/{ASSET}/events"


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
