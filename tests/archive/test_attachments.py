"""Attachments in attributes, in every form of contract section 6."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.attachments import Attachment, find_attachments
from attachfs.archive.identities import is_uuid
from tests.support.archives import ATTACHMENT, OTHER, sha256

_DIGEST = sha256(b"evidence")
_GOOD = {
    "arc_attribute_type": "arc_attachment",
    "arc_blob_identity": f"blobs/{ATTACHMENT}",
    "arc_blob_hash_alg": "SHA256",
    "arc_blob_hash_value": _DIGEST,
    "arc_file_name": "proof.pdf",
    "arc_display_name": "Proof",
}
_OLD = {
    "arc_attachment_identity": f"blobs/{ATTACHMENT}",
    "arc_hash_alg": "SHA-256",
    "arc_hash_value": _DIGEST,
    "arc_display_name": "Proof",
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*_GOOD, *_OLD, "arc_attachments", "x"]) | st.text(max_size=4),
            inner | st.sampled_from(["arc_attachment", f"blobs/{OTHER}", _DIGEST]),
            max_size=5,
        )
    ),
    max_leaves=12,
)


def _one(attributes: object) -> Attachment:
    (attachment,) = find_attachments(attributes)
    return attachment


def test_the_current_form_is_read_whole() -> None:
    """A marked dict gives id, key, names and digest."""
    expected = Attachment(ATTACHMENT, "any key", "proof.pdf", "Proof", (_DIGEST,))
    assert _one({"any key": _GOOD}) == expected


@pytest.mark.parametrize("key", ["arc_attachments", "arc_append_attachments"])
def test_the_older_list_form_is_read(key: str) -> None:
    """A list without markers counts under its reserved keys."""
    assert _one({key: [_OLD]}) == Attachment(ATTACHMENT, key, "", "Proof", (_DIGEST,))


@pytest.mark.parametrize("key", ["sheets", "arc_attachments", "a/b c"])
def test_a_list_of_marked_dicts_is_read_under_any_key(key: str) -> None:
    """The marker is enough, wherever the list stands."""
    found = find_attachments({key: [_GOOD, {**_GOOD, "arc_blob_identity": f"blobs/{OTHER}"}]})
    assert [(a.id, a.key) for a in found] == [(ATTACHMENT, key), (OTHER, key)]


@pytest.mark.parametrize(
    "key", ["", "/", "../..", "functests/x/door_jpg", "a\nb", "é\u202e", "k" * 1024]
)
def test_any_key_is_kept_as_it_is(key: str) -> None:
    """Keys with slashes are normal; none is changed here."""
    assert _one({key: _GOOD}).key == key


@pytest.mark.parametrize("name", ["../x", "a/b", "a\nb", "\0", "", "n" * 4096])
def test_any_file_name_is_kept_as_it_is(name: str) -> None:
    """What becomes of hostile names is the tree's business."""
    assert _one({"k": {**_GOOD, "arc_file_name": name}}).file_name == name


@pytest.mark.parametrize("name", [None, 5, ["x"], {}])
def test_a_name_that_is_no_text_is_none(name: object) -> None:
    """Names of other types count as missing."""
    found = _one({"k": {**_GOOD, "arc_file_name": name, "arc_display_name": name}})
    assert (found.file_name, found.display_name) == ("", "")


@pytest.mark.parametrize(
    "value",
    [
        f"blobs/{ATTACHMENT}",
        [f"blobs/{ATTACHMENT}"],
        _OLD,
        {key: value for key, value in _GOOD.items() if key != "arc_attribute_type"},
        [{key: value for key, value in _GOOD.items() if key != "arc_attribute_type"}],
        {**_GOOD, "arc_attribute_type": "arc_location"},
        {**_GOOD, "arc_attribute_type": ["arc_attachment"]},
        {**_GOOD, "arc_blob_identity": None},
        {**_GOOD, "arc_blob_identity": "blobs/"},
        {**_GOOD, "arc_blob_identity": f"blobs/{ATTACHMENT}/x"},
        [[_GOOD]],
        {"inner": _GOOD},
        None, 5, True, "", [], {},
    ],
)  # fmt: skip
def test_what_is_no_attachment_is_passed_over_and_hides_nothing(value: object) -> None:
    """Strings, unmarked dicts and broken ones are left out, those around them are not."""
    other = {**_GOOD, "arc_blob_identity": f"blobs/{OTHER}"}
    assert [a.id for a in find_attachments({"bad": value, "good": other})] == [OTHER]
    assert [a.id for a in find_attachments({"good": other, "bad": value})] == [OTHER]


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, {"arc_attachment_identity": 5}, [_OLD]])
def test_a_bad_entry_of_a_list_does_not_hide_the_others(bad: object) -> None:
    """Each entry of a list stands for itself."""
    assert _one({"arc_attachments": [bad, _OLD, bad]}).id == ATTACHMENT


def test_external_content_is_no_attachment() -> None:
    """Digest and name at the top level describe something that is kept elsewhere."""
    outside = {"arc_blob_hash_value": _DIGEST, "arc_blob_hash_alg": "SHA256", "arc_file_name": "x"}
    assert find_attachments(outside) == ()


@pytest.mark.parametrize("attributes", [None, 5, "x", [_GOOD], True, [("k", _GOOD)]])
def test_attributes_that_are_no_object_declare_nothing(attributes: object) -> None:
    """A record without usable attributes has no attachments."""
    assert find_attachments(attributes) == ()


@pytest.mark.parametrize(
    ("alg", "value", "expected"),
    [
        ("sha256", _DIGEST, (_DIGEST,)),
        ("SHA-256", _DIGEST.upper(), (_DIGEST,)),
        (None, _DIGEST, (_DIGEST,)),
        ("SHA256", None, ()),
        ("SHA256", "", ()),
        ("SHA256", 5, ()),
        ("SHA512", _DIGEST, ()),
        ("SHA256", "nonsense", ("nonsense",)),
    ],
)
def test_a_digest_may_be_spelled_missing_or_malformed(
    alg: object, value: object, expected: tuple[str, ...]
) -> None:
    """The attachment is found in any case; only a usable digest is kept, a damaged one shown."""
    changed = {**_GOOD, "arc_blob_hash_alg": alg, "arc_blob_hash_value": value}
    assert _one({"k": changed}).record_digests == expected


def test_a_uuid_is_listed_once_with_every_digest_declared() -> None:
    """The first mention gives key and names, later ones add what was missing."""
    nameless = {**_GOOD, "arc_file_name": "", "arc_blob_hash_value": "0" * 64}
    again = {**_GOOD, "arc_display_name": "Other"}
    (found,) = find_attachments({"a": nameless, "b": again}, {"c": [_GOOD]})
    assert found == Attachment(ATTACHMENT, "a", "proof.pdf", "Proof", ("0" * 64, _DIGEST))


def test_the_maps_are_read_in_order() -> None:
    """What an event says of itself comes before what it says of its asset."""
    second = {**_GOOD, "arc_blob_identity": f"attachments/{OTHER.upper()}"}
    assert [a.id for a in find_attachments({"b": second}, None, {"a": _GOOD})] == [
        OTHER,
        ATTACHMENT,
    ]


def test_what_an_event_only_set_on_its_asset_is_told_apart() -> None:
    """It may not be the event's own to serve (contract section 6.4)."""
    second = {**_GOOD, "arc_blob_identity": f"blobs/{OTHER}"}
    found = find_attachments({"own": _GOOD}, {"again": _GOOD, "latest": second})
    assert [(a.id, a.key, a.on_asset) for a in found] == [
        (ATTACHMENT, "own", False),
        (OTHER, "latest", True),
    ]
    assert [a.on_asset for a in find_attachments(None, {"latest": _GOOD})] == [True]
    assert [a.on_asset for a in find_attachments({"arc_attachments": [_OLD]})] == [False]


@given(noise=st.dictionaries(st.text(max_size=6), _JSON, max_size=6))
def test_no_other_attribute_ever_hides_a_good_one(noise: dict[str, Any]) -> None:
    """Whatever else a record holds, each good attachment is found, and all found have UUIDs."""
    found = find_attachments({**noise, "\0good": _GOOD})
    assert ATTACHMENT in [a.id for a in found]
    assert all(is_uuid(a.id) for a in found)
    assert len({a.id for a in found}) == len(found)


def test_find_attachments_keeps_few_of_many_digests_of_one_uuid() -> None:
    """A record of 4 MB that names one UUID 40,000 times costs linear time, and is unreadable."""
    marked = {f"{n}": _GOOD | {"arc_blob_hash_value": f"{n:064x}"} for n in range(2_000)}
    (attachment,) = find_attachments(marked)
    assert attachment.record_digests == tuple(f"{n:064x}" for n in range(256))
    (attachment,) = find_attachments({"arc_attachments": list(marked.values())})
    assert len(attachment.record_digests) == 256
