"""Sizes and durations as people write them."""

import re
from typing import Any, Final

import click

_UNITS_BYTES: Final = {
    "": 1,
    "b": 1,
    **{
        f"{letter}{suffix}": factor**power
        for power, letter in enumerate("kmgt", start=1)
        for suffix, factor in (("", 1024), ("ib", 1024), ("i", 1024), ("b", 1000))
    },
}
_UNITS_S: Final = {"ms": 0.001, "": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.IGNORECASE | re.ASCII)
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|)", re.IGNORECASE | re.ASCII)


def parse_size(text: str) -> int:
    """Return bytes for `512MiB`, `10GiB`, `64k` (1024 each) or `1GB` (1000 each).

    Raises `ValueError` for anything else.
    """
    match = _SIZE.fullmatch(text.strip())
    unit = match[2].lower() if match else None
    if match is None or unit not in _UNITS_BYTES:
        raise ValueError(f"{text!r} is not a size; write it like 512MiB or 10GiB")
    return int(float(match[1]) * _UNITS_BYTES[unit])


def parse_duration(text: str) -> float:
    """Return seconds for `30s`, `10m`, `1h30m`, `500ms`, or a bare number of seconds.

    Raises `ValueError` for anything else.
    """
    rest = text.strip()
    seconds = 0.0
    if not rest:
        raise ValueError("a duration is missing; write it like 30s or 10m")
    while rest:
        match = _DURATION.match(rest)
        if match is None:
            raise ValueError(f"{text!r} is not a duration; write it like 30s, 10m or 1h30m")
        seconds += float(match[1]) * _UNITS_S[match[2].lower()]
        rest = rest[match.end() :].lstrip()
    return seconds


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
    """Take a duration in seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds; a number passes as it is."""
        if isinstance(value, int | float):
            return float(value)
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
