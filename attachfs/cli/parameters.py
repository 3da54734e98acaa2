"""Sizes, durations and paths as people write them."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

EVERYTHING_BYTES: Final = 2**63 - 1
_UNITS_BYTES: Final = {
    "": 1,
    "b": 1,
    **{
        f"{letter}{suffix}": factor**power
        for power, letter in enumerate("kmgt", start=1)
        for suffix, factor in (("", 1024), ("ib", 1024), ("i", 1024), ("b", 1000))
    },
}
_UNITS_S: Final = {
    "ms": Decimal("0.001"),
    "s": Decimal(1),
    "m": Decimal(60),
    "h": Decimal(3600),
    "d": Decimal(86400),
}
# Sixteen digits are more than any disk or lifetime has, and no float overflows on them.
_NUMBER: Final = r"\d{1,16}(?:\.\d{1,9})?"
_PERCENTAGE: Final = re.compile(rf"({_NUMBER})\s*%", re.ASCII)
_SIZE: Final = re.compile(rf"({_NUMBER})\s*([a-z]*)", re.IGNORECASE | re.ASCII)
_PART: Final = rf"({_NUMBER})\s*(ms|s|m|h|d)"
_DURATION: Final = re.compile(rf"{_NUMBER}|(?:{_PART}\s*)+", re.IGNORECASE | re.ASCII)
_DURATION_PART: Final = re.compile(_PART, re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Return bytes for `512MiB`, `10GiB`, `64k` (1024 each) or `1GB` (1000 each).

    Raises `ValueError` for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = match[2].lower() if match else None
    if match is None or unit not in _UNITS_BYTES:
        raise ValueError(f"{text!r} is not a size; write it like 512MiB or 10GiB")
    # Decimal, for a float has 53 bits and a size may need more.
    return int(Decimal(match[1]) * _UNITS_BYTES[unit])


def parse_duration(text: str) -> float:
    """Return seconds for `30s`, `10m`, `1h30m`, `500ms`, or a bare number of seconds.

    Raises `ValueError` for anything else.
    """
    written = text.strip()
    if not _DURATION.fullmatch(written):
        raise ValueError(f"{text!r} is not a duration; write it like 30s, 10m or 1h30m")
    parts = _DURATION_PART.findall(written) or [(written, "s")]
    return float(sum(Decimal(number) * _UNITS_S[unit.lower()] for number, unit in parts))


class Size(click.ParamType[int]):
    """Take a size in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes; a number passes as it is."""
        if isinstance(value, int):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Duration(click.ParamType[float]):
    """Take a duration in seconds, `least_s` at least."""

    name = "duration"

    def __init__(self, *, least_s: float = 0.0) -> None:
        self._least_s = least_s

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds; a number passes as it is."""
        if isinstance(value, int | float):
            return float(value)
        try:
            duration_s = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if duration_s < self._least_s:
            self.fail(f"{value} is too short; at least {self._least_s:g}s", param, ctx)
        return duration_s


def parse_percentage(text: str) -> float:
    """Return a fraction for `5%`; raises `ValueError` for anything else and above 100%."""
    match = _PERCENTAGE.fullmatch(text.strip())
    fraction = float(Decimal(match[1]) / 100) if match else None
    if fraction is None or fraction > 1:
        raise ValueError(f"{text!r} is no percentage; write it like 5%")
    return fraction


class Percentage(click.ParamType[float]):
    """Take a fraction, written as a percentage."""

    name = "percentage"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the fraction; a number passes as it is."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_percentage(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SizeOrAll(Size):
    """Take a size in bytes, or `all` for more than anything has."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        return EVERYTHING_BYTES if value == "all" else super().convert(value, param, ctx)


class AbsolutePath(click.Path):
    """Take a path and make it absolute: a mount in the background works elsewhere."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, links and `..` in it left alone."""
        if not str(value):
            self.fail("an empty path names nothing", param, ctx)
        try:
            return Path(os.fsdecode(super().convert(value, param, ctx))).absolute()
        except FileNotFoundError:
            self.fail(f"{value} is relative to a working directory that is gone", param, ctx)
