"""The extended attributes of an attachment: `/info`, what verified it, what went wrong."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from attachfs.archive.models import Info

_PREFIX: Final = "user.archivist."
# What we say ourselves, whatever fields a server may have; `last_error` is not always there.
_OURS: Final = frozenset({"info", "verified_by", "last_error"})
_MAX_NAME_BYTES: Final = 255  # XATTR_NAME_MAX
_MAX_VALUE_BYTES: Final = 65536  # XATTR_SIZE_MAX


def attachment_xattrs(
    info: Info, *, verified_by: str, origin_url: str, last_error: str | None
) -> Mapping[str, bytes]:
    """Return all extended attributes, by name (design section 2).

    Names and values that the kernel could not hold are left out; `user.archivist.info` has them.
    """
    texts: dict[str, str | bytes] = {
        _PREFIX + name: value for name, value in _fields(info.fields) if name not in _OURS
    }
    texts[f"{_PREFIX}info"] = info.raw
    texts[f"{_PREFIX}verified_by"] = verified_by
    if last_error is not None:
        texts[f"{_PREFIX}last_error"] = last_error
    texts["user.mime_type"] = info.mime_type
    texts["user.xdg.origin.url"] = origin_url
    encoded = {
        name: value if isinstance(value, bytes) else value.encode() for name, value in texts.items()
    }
    return {
        name: value
        for name, value in encoded.items()
        if len(value) <= _MAX_VALUE_BYTES
        and len(name.encode()) <= _MAX_NAME_BYTES
        and name.isprintable()
    }


def _fields(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    flat: list[tuple[str, str]] = []
    for name, value in fields.items():
        if name == "hash" and isinstance(value, Mapping):
            flat += [(f"hash_{part}", _text(entry)) for part, entry in value.items()]
        else:
            flat.append((name, _text(value)))
    return flat


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
