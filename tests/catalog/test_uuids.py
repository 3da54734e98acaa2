"""Many UUIDs in little room, beside a list of their texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.catalog.uuids import UUID_BYTES, Uuids, pack_uuid, unpack_uuid

_UUID = st.uuids().map(str)
# Few bytes, so that many UUIDs hold parts of each other across their borders.
_ALIKE = st.binary(min_size=UUID_BYTES, max_size=UUID_BYTES).map(
    lambda raw: unpack_uuid(bytes(byte % 2 for byte in raw))
)
_UUIDS = st.lists(_UUID | _ALIKE, max_size=8)


@given(_UUID)
def test_a_uuid_is_packed_and_unpacked(uuid: str) -> None:
    """Into sixteen bytes and back."""
    packed = pack_uuid(uuid)
    assert len(packed) == UUID_BYTES
    assert unpack_uuid(packed) == unpack_uuid(bytearray(packed)) == uuid


@given(_UUIDS)
def test_it_is_the_list_it_was_made_of(uuids: list[str]) -> None:
    """By length, order, index, slice and equality."""
    packed = Uuids.of(uuids)
    assert (len(packed), list(packed), packed == uuids) == (len(uuids), uuids, True)
    for at in range(-len(uuids), len(uuids)):
        assert packed[at] == uuids[at]
    for at in (len(uuids), -len(uuids) - 1):
        with pytest.raises(IndexError):
            packed[at]
    assert packed == Uuids(packed.packed)
    assert list(reversed(packed)) == uuids[::-1]


@given(uuids=_UUIDS, cut=st.slices(10))
def test_a_slice_is_that_of_the_list(uuids: list[str], cut: slice) -> None:
    """In whatever steps."""
    assert Uuids.of(uuids)[cut] == uuids[cut]


@given(uuids=_UUIDS, other=_UUID | _ALIKE)
def test_a_uuid_is_found_where_it_stands_first(uuids: list[str], other: str) -> None:
    """And not across the border of two."""
    packed = Uuids.of(uuids)
    for uuid in (*uuids, other):
        place = uuids.index(uuid) if uuid in uuids else None
        assert packed.place(uuid) == place
        assert (uuid in packed) is (place is not None)


@given(uuids=_UUIDS, more=_UUIDS)
def test_it_grows_at_its_end(uuids: list[str], more: list[str]) -> None:
    """One by one, and what was read of it stays as it was."""
    packed = Uuids.of(uuids)
    before = packed.packed
    for uuid in more:
        packed.append(pack_uuid(uuid))
    assert packed == uuids + more
    assert packed.packed.startswith(before)
    for place in range(len(packed) + 2):
        rest = b"".join(packed.packed_from(place))
        assert rest == packed.packed[place * UUID_BYTES :]


def test_what_is_no_uuid_is_not_in_it() -> None:
    """Nor is a part of one."""
    packed = Uuids.of(["a1111111-1111-4111-8111-111111111111"])
    for other in (None, 5, "", "a1", "a1111111", "x", "a1111111-1111-4111-8111-11111111111g"):
        assert other not in packed
    assert packed != "a1111111-1111-4111-8111-111111111111"
    assert packed != 5


def test_those_that_begin_with_some_digits_are_found_in_order() -> None:
    """Not what looks like them in the middle of another."""
    digits = "00112233445566778899aabbccddeeff"
    texts = [f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"]
    texts += ["99aabbcc-0000-0000-0000-000000000000", "00112233-0000-0000-0000-99aabbccddee"]
    uuids = Uuids.of(texts)
    assert uuids.beginning_with("00112233") == [texts[0], texts[2]]
    assert uuids.beginning_with("001122334455") == [texts[0]]
    assert uuids.beginning_with("99aabbcc") == [texts[1]]
    assert uuids.beginning_with("ffff") == []
