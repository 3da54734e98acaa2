"""Timestamps of the service."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.timestamps import parse_ns

_S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2023-02-06T16:04:31Z", 1_675_699_471 * _S),
        ("2024-05-07T20:33:28.5Z", 1_715_114_008 * _S + 500_000_000),
        ("2024-05-07T20:33:28.826Z", 1_715_114_008 * _S + 826_000_000),
        ("2024-05-07T20:33:28.826123Z", 1_715_114_008 * _S + 826_123_000),
        ("2024-05-07T20:33:28.738900240Z", 1_715_114_008 * _S + 738_900_240),
        ("2024-05-07T20:33:28.7389002409999Z", 1_715_114_008 * _S + 738_900_240),
        ("2024-05-07t20:33:28z", 1_715_114_008 * _S),
        ("2024-05-07 20:33:28Z", 1_715_114_008 * _S),
        ("2024-05-07T22:33:28+02:00", 1_715_114_008 * _S),
        ("2024-05-07T15:03:28-05:30", 1_715_114_008 * _S),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * _S),
    ],
)
def test_rfc_3339_is_read_to_the_nanosecond(text: str, expected_ns: int) -> None:
    """Every form the contract shows gives its moment, exactly."""
    assert parse_ns(text) == expected_ns


@pytest.mark.parametrize(
    "value",
    [
        None, "", 0, 1.5, True, [], {}, b"2024-05-07T20:33:28Z",
        "2024-05-07", "2024-05-07T20:33:28", "20:33:28Z", "2024-05-07T20:33Z",
        "2023-02-29T00:00:00Z", "2024-13-01T00:00:00Z", "2024-01-01T24:00:01Z",
        "2024-01-01T00:00:60Z", "2024-01-01T00:00:00.Z", "2024-01-01T00:00:00+24:00",
        "2024-01-01T00:00:00+2:00", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59", "1969-12-31T23:59:59Z", "2300-01-01T00:00:00Z",
        "2024-05-07T20:33:28Z\n", " 2024-05-07T20:33:28Z", "٢٠٢٤-05-07T20:33:28Z",
        "2024-05-07T20:33:28.\u0661Z", "-2024-05-07T20:33:28Z", "12024-05-07T20:33:28Z",
    ],
)  # fmt: skip
def test_what_is_no_time_since_1970_is_none(value: object) -> None:
    """Anything else is None, never an exception and never a wrong time."""
    assert parse_ns(value) is None


@given(
    moment=st.datetimes(datetime(1970, 1, 3), datetime(2241, 1, 1)),  # noqa: DTZ001 - zone below
    nanoseconds=st.integers(0, 999_999_999),
    digits=st.integers(1, 9),
    offset_min=st.integers(-1439, 1439),
)
def test_any_moment_in_any_zone_survives(
    moment: datetime, nanoseconds: int, digits: int, offset_min: int
) -> None:
    """A time written with any number of digits, in any zone, is read back as it was."""
    zone = timezone(timedelta(minutes=offset_min))
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    sign = "-" if offset_min < 0 else "+"
    fraction = f"{nanoseconds:09d}"[:digits]
    text = (
        moment.astimezone(zone).strftime("%Y-%m-%dT%H:%M:%S")
        + f".{fraction}{sign}{abs(offset_min) // 60:02d}:{abs(offset_min) % 60:02d}"
    )
    assert parse_ns(text) == int(moment.timestamp()) * _S + int(fraction.ljust(9, "0"))


@given(st.text() | st.from_regex(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"))
def test_no_text_raises(text: str) -> None:
    """Any text gives None or nanoseconds that a file system can hold."""
    found_ns = parse_ns(text)
    assert found_ns is None or 0 <= found_ns < 2**63
