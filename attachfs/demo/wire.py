"""Scalars as the service writes them: times, UUIDs, JSON."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from attachfs.demo.errors import ApiError

Record = dict[str, Any]
"""A JSON object."""

EPOCH = "1970-01-01T00:00:00Z"
"""How a time that has not come yet is written (contract §5.3)."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_UUID4 = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.IGNORECASE
)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)


def seconds(moment: datetime) -> str:
    """Write a UTC time to the second, as `2023-02-06T16:04:31Z` (contract §3.2)."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def milliseconds(moment: datetime) -> str:
    """Write a UTC time with three fractional digits (contract §5.3)."""
    moment = moment.astimezone(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time with up to nine fractional digits (contract §5.3).

    Raises:
        ValueError: The text is not such a time.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    day, clock, fraction, zone = match.groups()
    zone = "+00:00" if zone in "Zz" else zone
    moment = datetime.fromisoformat(f"{day}T{clock}{zone}")
    try:
        moment = moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"out of range: {text!r}") from error
    return moment + timedelta(microseconds=int((fraction or "0").ljust(6, "0")[:6]))


def is_uuid(text: str) -> bool:
    """Tell whether a text is a UUID of any version."""
    return _UUID.fullmatch(text) is not None


def is_uuid4(text: str) -> bool:
    """Tell whether a text is a random UUID, as listing events insists on (contract §2)."""
    return _UUID4.fullmatch(text) is not None


def checked_uuid(text: str, request: str, field: str = "Uuid") -> str:
    """Return a UUID from a path in lower case.

    Args:
        text: What stands in the path.
        request: Name of the request message, as in `GetAssetRequest`.
        field: Name of its field.

    Raises:
        ApiError: 400, it is no UUID (contract §10).
    """
    if not is_uuid(text):
        raise ApiError.invalid(
            f"invalid {request}.{field}: value must be a valid UUID | "
            "caused by: invalid uuid format"
        )
    return text.lower()


def last_segment(identity: str) -> str:
    """Return the UUID of an identity: `blobs/<uuid>` and `attachments/<uuid>` name one thing."""
    return identity.rsplit("/", 1)[-1]


def decode_object(body: bytes) -> Record:
    """Read a JSON object from a request body.

    Raises:
        ApiError: 400, it is not JSON or not an object (contract §5.8).
    """
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ApiError.invalid("invalid json") from error
    if not isinstance(value, dict):
        raise ApiError.invalid("invalid json: an object is expected")
    return value
