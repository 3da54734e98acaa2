"""Digests as records and /info declare them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.digests import EMPTY_SHA256, declared_sha256, is_sha256

_HEX = "75debbfc7a4d988f2321dfb158fe65c62dabe50d4d7b6efb961e83be43a8aa77"
_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize("alg", ["SHA256", "sha256", "SHA-256", "sha-256", "Sha_256", "", None])
def test_every_spelling_of_sha256_is_understood(alg: str | None) -> None:
    """All spellings in the wild, and none at all, mean SHA-256."""
    assert declared_sha256(alg, _HEX) == _HEX


@pytest.mark.parametrize("value", [_HEX.upper(), f" {_HEX}\n", _HEX.title()])
def test_case_and_surrounding_space_do_not_count(value: str) -> None:
    """A digest is compared in lower case, without the space around it."""
    assert declared_sha256("SHA256", value) == _HEX


@pytest.mark.parametrize("alg", ["SHA512", "MD5", "ALGORITHM_UNSPECIFIED", "SHA3-256", "sha2-56x"])
def test_other_algorithms_declare_nothing_usable(alg: str) -> None:
    """A digest by another algorithm is no SHA-256, whatever it looks like."""
    assert declared_sha256(alg, _HEX) is None


@pytest.mark.parametrize("value", [None, "", "  ", "\n", 7, [_HEX], {"value": _HEX}, True])
def test_a_missing_value_declares_nothing(value: object) -> None:
    """What is no text, or blank, is not a declaration."""
    assert declared_sha256("SHA256", value) is None


@pytest.mark.parametrize("value", ["abc", _HEX[:-1], _HEX + "0", "g" * 64, "sha256:" + _HEX])
def test_a_malformed_value_is_kept_and_is_no_sha256(value: str) -> None:
    """A damaged digest still counts as declared, and will agree with no bytes."""
    found = declared_sha256("SHA256", value)
    assert found == value.lower()
    assert not is_sha256(found)


@given(alg=_ANYTHING, value=_ANYTHING)
def test_whatever_is_declared_never_raises_and_is_never_blank(alg: object, value: object) -> None:
    """Any pair of JSON values gives None or a stripped text in lower case."""
    found = declared_sha256(alg, value)
    assert found is None or (found and found == found.strip().lower())


@given(content=st.binary(max_size=64))
def test_real_digests_pass_through(content: bytes) -> None:
    """What hashlib writes, in any case, comes out as hashlib writes it."""
    digest = hashlib.sha256(content).hexdigest()
    assert declared_sha256("SHA256", digest.upper()) == digest
    assert is_sha256(digest)


def test_the_digest_of_nothing_is_right() -> None:
    """The constant is what hashlib says of no bytes."""
    assert hashlib.sha256(b"").hexdigest() == EMPTY_SHA256


@pytest.mark.parametrize("text", ["", _HEX.upper(), _HEX + "\n", "\n" + _HEX, "\u0661" * 64])
def test_only_64_lower_case_hexadecimal_digits_are_a_sha256(text: str) -> None:
    """No newline, no upper case and no foreign digits are let through."""
    assert not is_sha256(text)
