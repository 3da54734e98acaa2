"""What bytes must be before a reader may see them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.digests import EMPTY_SHA256
from attachfs.content.verification import Expected
from attachfs.errors import Mismatch
from tests.support.archives import sha256

_GOOD, _OTHER = sha256(b"evidence"), sha256(b"other")


@pytest.mark.parametrize(
    ("record", "info", "verified_by"),
    [
        ((_GOOD,), _GOOD, "record+info"),
        ((_GOOD, _GOOD), _GOOD, "record+info"),
        ((), _GOOD, "info"),
        ((_GOOD,), None, "record"),
    ],
)
def test_declarations_that_agree_give_one_digest(
    record: tuple[str, ...], info: str | None, verified_by: str
) -> None:
    """All sources that declare anything must declare the same, and are named."""
    expected = Expected(8, record, info)
    assert expected.digest() == _GOOD
    assert expected.verified_by == verified_by
    expected.check(8, _GOOD)


@pytest.mark.parametrize(
    ("size", "record", "info", "reason"),
    [
        (8, (_OTHER,), _GOOD, "different"),
        (8, (_GOOD, _OTHER), _GOOD, "different"),
        (8, (_GOOD, _OTHER), None, "different"),
        (8, ("nonsense",), _GOOD, "different"),
        (8, ("nonsense",), "nonsense", "no SHA-256"),
        (8, (), "abc", "no SHA-256"),
        (8, (), None, "neither"),
        (8, (), "", "neither"),
        (0, (_GOOD,), _GOOD, "empty"),
        (0, (), _GOOD, "empty"),
    ],
)
def test_declarations_that_rule_every_byte_out_are_a_mismatch(
    size: int, record: tuple[str, ...], info: str | None, reason: str
) -> None:
    """Bytes need not be fetched to know; every digest known is named."""
    with pytest.raises(Mismatch, match=reason) as caught:
        Expected(size, record, info).digest()
    for digest in (*record, *([info] if info else [])):
        assert digest in str(caught.value)
    assert caught.value.digests.get("info", "") == (info or "")
    assert caught.value.digests.get("record", "") == ",".join(record)


def test_nothing_declared_is_verified_by_nothing() -> None:
    """The word for the xattr says so."""
    assert Expected(8, (), None).verified_by == "nothing"


def test_an_empty_attachment_with_the_digest_of_nothing_is_fine() -> None:
    """The only digest that no bytes can have."""
    expected = Expected(0, (EMPTY_SHA256,), EMPTY_SHA256)
    assert expected.digest() == EMPTY_SHA256
    expected.check(0, EMPTY_SHA256)


@pytest.mark.parametrize(("size", "digest"), [(7, _GOOD), (9, _GOOD), (0, _GOOD), (8, _OTHER)])
def test_bytes_of_another_length_or_digest_are_a_mismatch(size: int, digest: str) -> None:
    """The error names what record, /info and the body have."""
    with pytest.raises(Mismatch) as caught:
        Expected(8, (_GOOD,), _GOOD).check(size, digest)
    assert caught.value.digests == {"record": _GOOD, "info": _GOOD, "body": digest}
    for source in ("record=", "info=", "body="):
        assert source in str(caught.value)


@given(content=st.binary(), damage=st.binary(), position=st.integers(0, 1000))
def test_only_the_bytes_recorded_pass(content: bytes, damage: bytes, position: int) -> None:
    """Whatever is changed in a body, it no longer passes."""
    digest = hashlib.sha256(content).hexdigest()
    expected = Expected(len(content), (digest,), digest)
    body = content[:position] + damage + content[position + len(damage) :]
    if body == content:
        expected.check(len(body), sha256(body))
    else:
        with pytest.raises(Mismatch):
            expected.check(len(body), sha256(body))
