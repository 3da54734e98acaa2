"""Keys of the index: none for two things, and short ids as ranges."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog import keys
from attachfs.catalog.index import Index
from tests.support.archives import ASSET, ATTACHMENT, EVENT, OTHER

_ASSETS = (ASSET, OTHER)
_HOLDERS = [
    Holder(asset, event, public)
    for asset in _ASSETS
    for event in (None, EVENT, OTHER)
    for public in (False, True)
]
_OWNERS = [holder for holder in _HOLDERS if holder.event is None]
_TIMES = ("2024-01-01T00:00:00Z", "2024-01-01T00:00:00.001Z")


def test_no_two_things_have_one_key() -> None:
    """Whatever their kind, holder and visibility."""
    found = [
        *map(keys.record_key, _HOLDERS),
        *(keys.info_key(AttachmentPath(h, a)) for h in _HOLDERS for a in (ATTACHMENT, OTHER)),
        *(keys.record_at_key(asset, time) for asset in _OWNERS for time in _TIMES),
        *map(keys.events_key, _OWNERS),
        *map(keys.newest_key, _OWNERS),
        *(keys.BAD + digest.encode() for digest in ("0" * 64, "f" * 64)),
        keys.ALL_ASSETS,
        keys.ALL_ASSETS + b"-untracked",
        keys.ALL_EVENTS,
    ]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    "other",
    [
        lambda: keys.record_key(Holder(ASSET, EVENT)),
        lambda: keys.events_key(Holder(ASSET)),
        lambda: keys.newest_key(Holder(ASSET)),
        lambda: keys.info_key(AttachmentPath(Holder(ASSET), ATTACHMENT)),
        lambda: keys.record_at_key(Holder(ASSET), _TIMES[0]),
        lambda: keys.ALL_ASSETS,
        lambda: keys.BAD + b"0" * 64,
    ],
)
def test_a_prefix_is_of_the_records_of_assets_alone(other: Callable[[], bytes]) -> None:
    """Nothing else begins like that."""
    for public in (False, True):
        assert not other().startswith(keys.assets_prefix("", public=public))


@given(assets=st.lists(st.uuids().map(str), max_size=10), digits=st.integers(0, 16))
def test_short_ids_are_ranges(assets: list[str], digits: int) -> None:
    """All assets whose UUIDs begin with them are found, those open to everybody apart."""
    index = Index.open(None)
    for asset in assets:
        index.put(keys.record_key(Holder(asset)), b"", 0)
        index.put(keys.record_key(Holder(asset, EVENT)), b"", 0)
    for asset in assets:
        prefix = asset.replace("-", "")[: 2 * digits]
        found = index.keys(keys.assets_prefix(prefix, public=False), 99)
        assert [keys.asset_of(key) for key in found] == sorted(
            {other for other in assets if other.replace("-", "").startswith(prefix)}
        )
        assert index.keys(keys.assets_prefix(prefix, public=True), 99) == []
    index.close()
