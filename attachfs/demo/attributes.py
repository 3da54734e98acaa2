"""Attributes: what the service accepts, how events change them, which blobs they name."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from attachfs.demo.errors import ApiError
from attachfs.demo.wire import Record, is_uuid, last_segment

MAX_TOTAL_BYTES = 51_200
"""Keys and values of all attributes of one request (contract §5.4)."""

_MAX_KEY_CHARS = 1024
_MAX_VALUE_CHARS = 4096


def checked(value: Any, field: str) -> Record:
    """Return the attributes of a request if the service would take them.

    Args:
        value: What the body holds; a missing one counts as empty.
        field: Its name in the body, for the message.

    Raises:
        ApiError: 400, against a rule of contract §5.4.
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ApiError.invalid(f"{field}: unexpected field in nested struct")
    for key, item in value.items():
        _check_key(key, field)
        if isinstance(item, dict):
            _check_inner(item, field)
        elif isinstance(item, list):
            for entry in item:
                _check_inner(entry, field)
        else:
            _check_text(item, field)
    return value


def check_total(*maps: Mapping[str, Any]) -> None:
    """Refuse a request whose attributes are too long altogether.

    Raises:
        ApiError: 400, more than `MAX_TOTAL_BYTES` (contract §5.4).
    """
    total_bytes = sum(_size(item) for item in maps)
    if total_bytes > MAX_TOTAL_BYTES:
        raise ApiError.invalid(
            f"attributes are too large: {total_bytes} bytes exceed {MAX_TOTAL_BYTES}"
        )


def appended(current: Record, event_attributes: Record) -> list[Record]:
    """Return the asset's old attachment list with those of an `Attach` event (contract §6.2)."""
    old = current.get("arc_attachments")
    new = event_attributes.get("arc_append_attachments")
    return [*(old if isinstance(old, list) else []), *(new if isinstance(new, list) else [])]


def blob_uuids(attributes: Mapping[str, Any]) -> Iterator[str]:
    """Yield the UUID of every blob attached by some attributes, in any of the known forms.

    Plain strings, external content and unmarked dicts attach nothing (contract §6.1-6.3).
    """
    for value in attributes.values():
        for entry in value if isinstance(value, list) else [value]:
            if isinstance(entry, dict):
                identity = _attached_identity(entry)
                uuid = last_segment(identity) if isinstance(identity, str) else ""
                if is_uuid(uuid):
                    yield uuid.lower()


def _attached_identity(entry: Record) -> Any:
    if entry.get("arc_attribute_type") == "arc_attachment":
        return entry.get("arc_blob_identity")
    return entry.get("arc_attachment_identity")


def _check_key(key: str, field: str) -> None:
    if not 1 <= len(key) <= _MAX_KEY_CHARS:
        raise ApiError.invalid(f"{field}: a key must have 1 to {_MAX_KEY_CHARS} characters")
    if "." in key or key.endswith("[]"):
        raise ApiError.invalid(f"{field}: a key must not contain '.' or end in '[]'")
    if any(unicodedata.category(char) == "Cc" for char in key):
        raise ApiError.invalid(f"{field}: a key must not contain control characters")


def _check_inner(item: Any, field: str) -> None:
    if not isinstance(item, dict):
        raise ApiError.invalid(f"{field}: unexpected field in nested struct")
    for key, value in item.items():
        if len(key) > _MAX_KEY_CHARS or "." in key:
            raise ApiError.invalid(f"{field}: bad key in nested struct")
        _check_text(value, field)


def _check_text(value: Any, field: str) -> None:
    if not isinstance(value, str):
        raise ApiError.invalid(f"{field}: unexpected field in nested struct")
    if len(value) > _MAX_VALUE_CHARS:
        raise ApiError.invalid(f"{field}: a value must have at most {_MAX_VALUE_CHARS} characters")


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value.encode("utf-8", "surrogatepass"))
    if isinstance(value, Mapping):
        return sum(_size(key) + _size(item) for key, item in value.items())
    return sum(_size(item) for item in value)
