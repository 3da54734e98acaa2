"""What is said of an option."""

import re
from dataclasses import dataclass
from typing import Any, Final

import click

from manual_pages.roff import bold, italic

_DEFAULT: Final = re.compile(r"^(?P<text>.*?)\s*\[default: (?P<default>[^\]]*)\]$", re.DOTALL)


@dataclass(frozen=True)
class Described:
    """Hold an option's flags, and what its help says, by parts."""

    term: str
    metavar: str
    text: str
    default: str
    range: str
    variables: tuple[str, ...]

    @property
    def facts(self) -> str:
        """Return what else holds, as sentences."""
        sentences = []
        if self.range:
            sentences.append(f"{self.range}.")
        if self.default:
            sentences.append(f"Default: {self.default}.")
        if self.variables:
            names = " or ".join(f"`{name}`" for name in self.variables)
            sentences.append(f"Environment: {names}.")
        return " ".join(sentences)


def _range(kind: Any) -> str:
    if isinstance(kind, click.IntRange) and None not in (kind.min, kind.max):
        return f"From {kind.min} to {kind.max}"
    return ""


def described(option: click.Option, context: click.Context) -> Described:
    """Return what is said of an option."""
    extra = option.get_help_extra(context)
    match = _DEFAULT.match(option.help or "")
    text, default = match.groups() if match else (option.help or "", extra.get("default", ""))
    metavar = "" if option.is_flag or option.count else option.make_metavar(context)
    flags = ", ".join(bold(flag) for flag in (*option.opts, *option.secondary_opts))
    return Described(
        term=f"{flags} {italic(metavar)}" if metavar else flags,
        metavar=metavar,
        text=text,
        default=default,
        range=_range(option.type),
        variables=tuple(extra.get("envvars", ())),
    )
