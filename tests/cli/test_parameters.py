"""Sizes and durations as people write them."""

from pathlib import Path

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.cli.parameters import (
    EVERYTHING_BYTES,
    Duration,
    Percentage,
    Size,
    SizeOrAll,
    UrlOrPath,
    parse_duration,
    parse_percentage,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1", 1),
        ("4096b", 4096),
        ("1k", 1024),
        ("1K", 1024),
        ("1KiB", 1024),
        ("1ki", 1024),
        ("1kB", 1000),
        ("512MiB", 512 * 1024**2),
        ("1.5M", 3 * 1024**2 // 2),
        ("10GiB", 10 * 1024**3),
        ("10 GB", 10 * 1000**3),
        (" 2t ", 2 * 1024**4),
        ("0.5TiB", 1024**4 // 2),
        ("9007199254740993", 9007199254740993),
        ("0.1GB", 100_000_000),
        ("1.9999b", 1),
    ],
)
def test_sizes_are_read(text: str, expected: int) -> None:
    """Powers of 1024, but for `kB` and its like; exactly, however large."""
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1", "+1", "1.", ".5", "1e3", "MiB", "1 2", "1 PiB",
     "1x", "1bb", "1 mib mib", "0x10",
     "1_000", "1,5G", "\u0661", "1\u212a", "inf", "nan", "9" * 5000],
)  # fmt: skip
def test_what_is_no_size_is_refused(text: str) -> None:
    """With a message that shows how to write one."""
    with pytest.raises(ValueError):  # noqa: PT011 - its message is shown to the user as it is
        parse_size(text)


@given(number=st.integers(0, 10**16 - 1), unit=st.sampled_from(["", "k", "M", "GiB", "TB"]))
def test_whole_sizes_are_exact(number: int, unit: str) -> None:
    """Nothing is lost to floating point."""
    factor = {"": 1, "k": 1024, "M": 1024**2, "GiB": 1024**3, "TB": 1000**4}[unit]
    assert parse_size(f"{number}{unit}") == number * factor


@given(st.text() | st.from_regex(r"\d{1,400}(\.\d{1,400})?\s*[a-zA-Z]{0,3}", fullmatch=True))
def test_no_text_but_a_size_is_read(text: str) -> None:
    """Any text gives a number of bytes or `ValueError`."""
    try:
        assert parse_size(text) >= 0
    except ValueError:
        return


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("30", 30),
        ("30s", 30),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("10m", 600),
        ("10M", 600),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1h 30m 5s", 5405),
        (" 1.5 h ", 5400),
        ("1m500ms", 60.5),
    ],
)
def test_durations_are_read(text: str, expected: float) -> None:
    """One unit or several; a bare number is seconds."""
    assert parse_duration(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", " ", "-1s", "+1", "s", "1x", "1.", ".5", "1e3", "10 minutes", "1h-5m", "inf", "nan", "1w",
     "1h30", "5 5", "30 10s", "\u0661s", "9" * 400, "9" * 400 + "d", "1,5h"],
)  # fmt: skip
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Ambiguous ones too: a bare number stands alone."""
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


@given(st.text() | st.from_regex(r"(\d{1,400}(\.\d{1,9})? ?(ms|s|m|h|d)? ?){1,3}", fullmatch=True))
def test_no_text_but_a_duration_is_read(text: str) -> None:
    """Any text gives a finite number of seconds or `ValueError`."""
    try:
        assert 0 <= parse_duration(text) < float("inf")
    except ValueError:
        return


@given(
    hours=st.integers(0, 99), minutes=st.integers(0, 59), seconds=st.integers(0, 59),
)  # fmt: skip
def test_parts_add_up(hours: int, minutes: int, seconds: int) -> None:
    """In whatever combination."""
    text = f"{hours}h{minutes}m{seconds}s"
    assert parse_duration(text) == hours * 3600 + minutes * 60 + seconds


def test_click_takes_them_as_types() -> None:
    """Numbers pass, texts are read, and errors name what is wrong."""
    assert Size().convert(5, None, None) == 5
    assert Size().convert("1k", None, None) == 1024
    assert Duration().convert(5, None, None) == 5.0
    assert Duration().convert(1.5, None, None) == 1.5
    assert Duration().convert("1m", None, None) == 60.0
    with pytest.raises(click.BadParameter, match="512MiB"):
        Size().convert("lots", None, None)
    with pytest.raises(click.BadParameter, match="30s"):
        Duration().convert("soon", None, None)


@pytest.mark.parametrize(
    ("text", "expected"), [("5%", 0.05), (" 0 %", 0), ("100%", 1), ("7.5%", 0.075)]
)
def test_percentages_are_read(text: str, expected: float) -> None:
    """As fractions."""
    assert parse_percentage(text) == expected
    assert Percentage().convert(text, None, None) == expected
    assert Percentage().convert(expected, None, None) == expected


@pytest.mark.parametrize("text", ["", "5", "101%", "-1%", "5 percent", "%", "5%%", "1e1%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    """With how to write one."""
    with pytest.raises(click.BadParameter, match="5%"):
        Percentage().convert(text, None, None)


def test_all_is_a_size_where_it_may_be() -> None:
    """It is larger than anything."""
    assert SizeOrAll().convert("all", None, None) == EVERYTHING_BYTES
    assert SizeOrAll().convert("4MiB", None, None) == 4 * 1024**2
    with pytest.raises(click.BadParameter, match="512MiB"):
        SizeOrAll().convert("everything", None, None)


@pytest.mark.parametrize("url", ["s3://bucket/evidence", "simplecache::s3://bucket", "file:///srv"])
def test_a_url_is_left_as_it_is(url: str) -> None:
    """A chain of fsspec's is one, too."""
    assert UrlOrPath().convert(url, None, None) == url


def test_a_path_is_made_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """For who works elsewhere later."""
    monkeypatch.chdir(tmp_path)
    assert UrlOrPath().convert("shared/evidence", None, None) == f"{tmp_path}/shared/evidence"
