"""Inodes in a few bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.identities import Holder
from attachfs.tree.names import AS_OF, ASSETS, BY_NAME, PUBLIC_ASSETS
from attachfs.tree.places import Kind, Place, Unpacked, View, pack, unpack
from tests.support.archives import ASSET, ATTACHMENT, EVENT

_UUIDS = st.uuids().map(str)
_TIMES = st.datetimes().map(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}Z")
_VIEWS = st.one_of(
    st.sampled_from([ASSETS, BY_NAME, PUBLIC_ASSETS, AS_OF]).map(View),
    _TIMES.map(lambda time: View(AS_OF, time)),
)
_OF_HOLDERS = [Kind.HOLDER, Kind.EVENTS, Kind.RECORD, Kind.SUMS]
_OF_ATTACHMENTS = [Kind.ATTACHMENT, Kind.SIDECAR]


@st.composite
def _inodes(draw: st.DrawFn) -> Unpacked:
    view = draw(_VIEWS)
    kind = draw(st.sampled_from(Kind))
    if kind in (Kind.VIEW, Kind.MOMENT):
        return Unpacked(kind, Place(view, Holder("", public=view.public)), "")
    holder = Holder(draw(_UUIDS), draw(st.none() | _UUIDS), view.public)
    return Unpacked(kind, Place(view, holder), draw(_UUIDS) if kind in _OF_ATTACHMENTS else "")


def _packed(inode: Unpacked) -> bytes:
    kind, (view, holder), attachment = inode
    return pack(kind, view, holder, attachment)


@given(_inodes())
def test_what_is_packed_is_unpacked(inode: Unpacked) -> None:
    """Kind, view, time, holder and attachment."""
    assert unpack(_packed(inode)) == inode


@given(_inodes(), _inodes())
def test_two_inodes_are_packed_differently(first: Unpacked, second: Unpacked) -> None:
    """Bytes tell them apart: that is how colliding numbers are found."""
    assert (_packed(first) == _packed(second)) == (first == second)


@pytest.mark.parametrize(
    ("holder", "attachment", "size_bytes"),
    [
        (Holder(ASSET), "", 18),
        (Holder(ASSET, EVENT), "", 34),
        (Holder(ASSET), ATTACHMENT, 34),
        (Holder(ASSET, EVENT), ATTACHMENT, 50),
    ],
)
def test_inodes_are_small(holder: Holder, attachment: str, size_bytes: int) -> None:
    """A million of them are in memory."""
    kind = Kind.ATTACHMENT if attachment else Kind.HOLDER
    assert len(pack(kind, View(), holder, attachment)) == size_bytes


def test_an_event_is_not_taken_for_an_attachment() -> None:
    """Both are a second UUID; the kind tells which."""
    event = unpack(pack(Kind.HOLDER, View(), Holder(ASSET, EVENT)))
    attachment = unpack(pack(Kind.ATTACHMENT, View(), Holder(ASSET), EVENT))
    assert (event.place.holder, event.attachment) == (Holder(ASSET, EVENT), "")
    assert (attachment.place.holder, attachment.attachment) == (Holder(ASSET), EVENT)


@given(st.sampled_from(_OF_HOLDERS), _VIEWS, _UUIDS, _UUIDS)
def test_the_place_of_an_event_keeps_view_and_publicity(
    kind: Kind, view: View, asset: str, event: str
) -> None:
    """An event of a public asset is public, an event as-of a time is of that time."""
    place = unpack(pack(kind, view, Holder(asset, public=view.public))).place
    assert place.of_event(event) == Place(view, Holder(asset, event, view.public))
