"""The extended attributes of an attachment."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.models import parse_info
from attachfs.tree.xattrs import attachment_xattrs
from tests.support.archives import sha256

_INFO: dict[str, Any] = {
    "identity": "attachments/33333333-3333-4333-8333-333333333333",
    "hash": {"alg": "SHA256", "value": sha256(b"x")},
    "issuer": "",
    "mime_type": "image/jpeg",
    "size": 81254,
    "subject": "user@archive.example",
    "tenantid": "tenant/x",
    "timestamp_accepted": "2023-02-06T16:04:31Z",
    "scanned_status": "SCANNED_OK",
    "scanned_bad_reason": "",
    "scanned_timestamp": "2023-02-07T02:00:00Z",
}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)  # fmt: skip


def _xattrs(fields: dict[str, Any], last_error: str | None = None) -> dict[str, bytes]:
    info = parse_info(json.dumps(fields).encode())
    return dict(
        attachment_xattrs(
            info,
            verified_by="record+info",
            origin_url="https://host/archivist/v2/attachments/assets/a/b",
            last_error=last_error,
        )
    )


def test_every_field_of_info_is_an_attribute() -> None:
    """With `hash` in its two parts, the JSON as served and the freedesktop names."""
    raw = json.dumps(_INFO).encode()
    expected = {
        f"user.archivist.{name}": value.encode() if isinstance(value, str) else b"81254"
        for name, value in _INFO.items()
        if name != "hash"
    }
    assert _xattrs(_INFO) == {
        **expected,
        "user.archivist.hash_alg": b"SHA256",
        "user.archivist.hash_value": sha256(b"x").encode(),
        "user.archivist.info": raw,
        "user.archivist.verified_by": b"record+info",
        "user.mime_type": b"image/jpeg",
        "user.xdg.origin.url": b"https://host/archivist/v2/attachments/assets/a/b",
    }


def test_the_last_error_is_there_when_there_was_one() -> None:
    """And only then."""
    assert "user.archivist.last_error" not in _xattrs(_INFO)
    assert _xattrs(_INFO, "it broke: é")["user.archivist.last_error"] == "it broke: é".encode()


def test_fields_of_other_types_are_json() -> None:
    """Whatever a later version of the service adds."""
    found = _xattrs({**_INFO, "a": None, "b": [1, {"c": True}], "hash": "x", "big": 10**30})
    assert found["user.archivist.a"] == b"null"
    assert found["user.archivist.b"] == b'[1,{"c":true}]'
    assert found["user.archivist.hash"] == b"x"
    assert found["user.archivist.big"] == b"1" + b"0" * 30


def test_a_field_never_hides_what_we_say() -> None:
    """The names that are ours cannot be taken by the server."""
    hostile = {"verified_by": "trust me", "info": "x", "last_error": "none"}
    found = _xattrs({**_INFO, **hostile}, "it broke")
    assert found["user.archivist.verified_by"] == b"record+info"
    assert found["user.archivist.last_error"] == b"it broke"
    assert found["user.archivist.info"].startswith(b"{")


def test_a_missing_error_cannot_be_made_up_by_the_server() -> None:
    """`last_error` is ours also where there is none."""
    assert "user.archivist.last_error" not in _xattrs({**_INFO, "last_error": "made up"})


def test_what_the_kernel_cannot_hold_is_left_out() -> None:
    """Names beyond 255 bytes or with control characters, values beyond 64 KiB."""
    long, huge = "n" * 300, "v" * 70_000
    found = _xattrs({**_INFO, long: "x", "a\nb": "x", "nul\0": "x", "huge": huge, "é" * 130: "x"})
    assert found.keys() == _xattrs(_INFO).keys() - {"user.archivist.info"}


@given(fields=st.dictionaries(st.text(max_size=8), _JSON, max_size=6))
def test_whatever_info_holds_can_be_told_to_the_kernel(fields: dict[str, Any]) -> None:
    """No field raises, and every name is one that the kernel takes."""
    found = _xattrs({**fields, "size": 1})
    assert {"user.archivist.info", "user.archivist.verified_by"} <= found.keys()
    for name, value in found.items():
        assert name.startswith("user.")
        assert len(name.encode()) <= 255
        assert "\0" not in name
        assert isinstance(value, bytes)


def test_deeply_nested_fields_do_not_fail() -> None:
    """What could be parsed can be told, or is left out."""
    for depth in (10, 500, 800, 900):
        raw = b'{"size":1,"x":' + b"[" * depth + b"]" * depth + b"}"
        info = parse_info(raw)
        found = attachment_xattrs(info, verified_by="info", origin_url="x", last_error=None)
        assert found["user.archivist.verified_by"] == b"info"
