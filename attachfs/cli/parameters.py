"""Sizes, durations, users and paths as people write them, and as they are shown to them."""

import grp
import os
import pwd
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import click

EVERYTHING_BYTES: Final = 2**63 - 1
_SCHEME: Final = "://"
_CHAIN: Final = "::"  # of fsspec's
_NO_ID: Final = 2**32 - 1  # chown(2) takes it for "none"
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


def show_size(size_bytes: int) -> str:
    """Return a size as `parse_size` takes it: in the largest unit that it is whole in."""
    for unit in ("TiB", "GiB", "MiB", "KiB"):
        factor = _UNITS_BYTES[unit.lower()]
        if size_bytes and size_bytes % factor == 0:
            return f"{size_bytes // factor}{unit}"
    return str(size_bytes)


def show_duration(duration_s: float) -> str:
    """Return a duration as `parse_duration` takes it."""
    for unit in ("d", "h", "m", "s"):
        number = Decimal(str(duration_s)) / _UNITS_S[unit]
        if duration_s and number == int(number):
            return f"{int(number)}{unit}"
    return f"{duration_s:g}s"


class Size(click.ParamType[int]):
    """Take a size in bytes."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes; a number counts them."""
        try:
            return parse_size(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shown(self, value: int) -> str:
        """Return a size as people write it."""
        return show_size(value)


class Duration(click.ParamType[float]):
    """Take a duration in seconds, `least_s` at least."""

    name = "duration"

    def __init__(self, *, least_s: float = 0.0) -> None:
        self._least_s = least_s

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return seconds; a number counts them."""
        try:
            duration_s = parse_duration(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if duration_s < self._least_s:
            self.fail(f"{value} is too short; at least {self._least_s:g}s", param, ctx)
        return duration_s

    def shown(self, value: float) -> str:
        """Return a duration as people write it."""
        return show_duration(value)


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
        """Return the fraction; one that is a number already passes, up to 1."""
        try:
            return parse_percentage(value if isinstance(value, str) else f"{value * 100}%")
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shown(self, value: float) -> str:
        """Return a fraction as people write it."""
        return f"{value * 100:g}%"


class SizeOrAll(Size):
    """Take a size in bytes, or `all` for more than anything has."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return bytes."""
        return EVERYTHING_BYTES if value == "all" else super().convert(value, param, ctx)

    def shown(self, value: int) -> str:
        """Return a size as people write it."""
        return "all" if value == EVERYTHING_BYTES else super().shown(value)


class _Id(click.ParamType[int]):
    """Take a name of this machine's, or a number."""

    def __init__(self, look_up: Callable[[str], int]) -> None:
        self._look_up = look_up

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        text = str(value)
        if text.isascii() and text.isdigit():
            if int(text) < _NO_ID:
                return int(text)
            self.fail(f"{text} is larger than any {self.name}'s number", param, ctx)
        try:
            return self._look_up(text)
        except KeyError:
            self.fail(f"there is no {self.name} {text!r} here", param, ctx)


class UserId(_Id):
    """Take a user's name or number."""

    name = "user"

    def __init__(self) -> None:
        super().__init__(lambda name: pwd.getpwnam(name).pw_uid)


class GroupId(_Id):
    """Take a group's name or number."""

    name = "group"

    def __init__(self) -> None:
        super().__init__(lambda name: grp.getgrnam(name).gr_gid)


class Umask(click.ParamType[int]):
    """Take permissions in octal, as umask(1) does."""

    name = "octal"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the bits."""
        # A number would have been written in decimal, and means something else.
        if not isinstance(value, str) or not re.fullmatch("0?[0-7]{1,3}", value):
            self.fail(f"{value!r} is no umask; write it in octal, like 027", param, ctx)
        return int(value, 8)

    def shown(self, value: int) -> str:
        """Return the bits as people write them."""
        return f"{value:03o}"


class AbsolutePath(click.Path):
    """Take a path and make it absolute: a mount in the background works elsewhere."""

    def __init__(self, *, file_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path, links and `..` in it left alone.

        Raises `MountTrouble` where its file system does not answer.
        """
        if not str(value):
            self.fail("an empty path names nothing", param, ctx)
        from attachfs.mount.mounts import require_reachable

        try:
            path = Path(os.fsdecode(value)).absolute()
        except FileNotFoundError:
            self.fail(f"{value} is relative to a working directory that is gone", param, ctx)
        require_reachable(path)  # click looks at it
        return Path(os.fsdecode(super().convert(path, param, ctx)))


def is_url(value: object) -> bool:
    """Tell whether a text is a URL, or a chain of them as fsspec has it, and no path."""
    return _SCHEME in str(value) or _CHAIN in str(value)


class UrlOrPath(AbsolutePath):
    """Take a URL, or a path, which is made absolute."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return either as a text."""
        if is_url(value):
            return str(value)
        return str(super().convert(value, param, ctx))
