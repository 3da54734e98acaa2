"""Times as names of directories: which there are, and what the archive is asked."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.tree.moments import parse_moment

_NOON_NS = 1_717_243_200 * 10**9  # 2024-06-01T12:00:00Z
_NS_PER_MS = 10**6
_TIMES = st.datetimes(datetime(1970, 1, 3), datetime(2200, 1, 1))  # noqa: DTZ001 - made aware below
_ZONES = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("name", "at_time", "at_ns"),
    [
        ("2024-06-01T12:00:00Z", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01t12:00:00z", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01 12:00:00Z", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01T12:00:00+00:00", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01T12:00:00-00:00", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01T17:30:00+05:30", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01T12:00:00.5Z", "2024-06-01T12:00:00.500Z", _NOON_NS + 500 * _NS_PER_MS),
        ("2024-06-01T12:00:00.000Z", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01T12:00:00.0009999Z", "2024-06-01T12:00:00Z", _NOON_NS),
        ("2024-06-01T12:00:00.001999999999Z", "2024-06-01T12:00:00.001Z", _NOON_NS + _NS_PER_MS),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", 0),
        ("1970-01-01", "1970-01-01T23:59:59.999Z", 86_399_999 * _NS_PER_MS),
        ("2024-02-29", "2024-02-29T23:59:59.999Z", 1_709_251_199_999 * _NS_PER_MS),
    ],
)
def test_times_are_told_to_the_archive_in_utc(name: str, at_time: str, at_ns: int) -> None:
    """To the millisecond, cut off and not rounded up; a date is its end."""
    assert parse_moment(name) == (at_time, at_ns)


@pytest.mark.parametrize(
    "name",
    [
        "", "now", "yesterday", ".git", "autorun.inf", "2024", "2024-06", "20240601", "2024-6-1",
        "2024-06-01T12:00:00", "2024-06-01T12:00Z", "2024-06-01T12:00:00+0100", "2024-06-01T",
        "2024-13-01", "2023-02-29", "2024-06-31", "2024-06-01T12:60:00Z", "2024-06-01T12:00:60Z",
        "2024-06-01T12:00:00+24:00", "2024-06-01T12:00:00.Z", "2024-06-01T12:00:00,5Z",
        "1969-12-31", "0000-01-01", "9999-12-31", "1970-01-01T00:00:00+00:01", "2024-06-01\n",
        "2024-06-01 ", " 2024-06-01", "2024-06-01Z",
        "2024-05-31T24:00:00Z", "-2024-06-01", "\uff12\uff10\uff12\uff14-06-01",
        "2024-06-01T12:00:00.000000000000000000000Z", "2024-06-01T12:00:00Z\0",
    ],
)  # fmt: skip
def test_what_is_no_time_is_no_name(name: str) -> None:
    """Nor what cannot be: neither days nor offsets are put right."""
    assert parse_moment(name) is None


@given(_TIMES, _ZONES, st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_every_time_of_every_offset_is_its_own(
    naive: datetime, zone: timezone, precision: str
) -> None:
    """What the archive is asked names the same millisecond, and is a name itself."""
    at = naive.replace(tzinfo=UTC)
    moment = parse_moment(at.astimezone(zone).isoformat(timespec=precision))
    assert moment is not None
    said = datetime.fromisoformat(moment.at_time)
    cut = timedelta(seconds=1) if precision == "seconds" else timedelta(milliseconds=1)
    assert timedelta() <= at - said < cut
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert moment.at_ns == (said - epoch) // timedelta(microseconds=1) * 1000
    assert parse_moment(moment.at_time) == moment


@given(st.text())
def test_no_text_is_too_odd(name: str) -> None:
    """Whatever a stranger looks for is a time or is none."""
    moment = parse_moment(name)
    assert moment is None or parse_moment(moment.at_time) == moment
