"""Public assets as people name them: by UUID, or by the URL that the archive shares them by."""

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import SplitResult, urlsplit

from attachfs.errors import UsageError

_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_BARE: Final = re.compile(_UUID, re.IGNORECASE)
# `v2` came later; of an event, its asset is what counts.
_PATH: Final = re.compile(
    rf"/archivist/(?:v2/)?publicassets/((?i:{_UUID}))(?:/events/(?i:{_UUID}))?/?"
)
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
# One archive under its two names.
_RENAMED: Final = {"app.rkvst.io": "app.datatrails.ai"}


def parse_public_assets(texts: Iterable[str], *, archive_url: str) -> tuple[str, ...]:
    """Return the lower-case UUIDs of public assets of an archive, each once, in order.

    Raises `UsageError` for what names none, or one of another archive.
    """
    return tuple(dict.fromkeys(_parse(text, archive_url) for text in texts))


def _parse(text: str, archive_url: str) -> str:
    written = text.strip()
    if _BARE.fullmatch(written):
        return written.lower()
    try:
        url = urlsplit(written)
        host = _host(url)
    except ValueError as error:
        raise UsageError(_not_an_asset(text)) from error
    path = _PATH.fullmatch(url.path)
    strange = url.scheme not in _DEFAULT_PORTS or "@" in url.netloc or "?" in text or "#" in text
    if path is None or strange or not url.hostname:
        raise UsageError(_not_an_asset(text))
    archive = urlsplit(archive_url)
    if host != _host(archive):
        raise UsageError(
            f"the public asset {written} is on another host than the archive, {archive.netloc}; "
            "give its --url, or the UUID alone if this archive has it"
        )
    return path[1].lower()


def _host(url: SplitResult) -> tuple[str, int | None]:
    """Return host and port, the same for all names of one archive; raises `ValueError`."""
    name = (url.hostname or "").removesuffix(".")
    return _RENAMED.get(name, name), url.port or _DEFAULT_PORTS.get(url.scheme)


def _not_an_asset(text: str) -> str:
    return (
        f"{text!r} names no public asset; write its UUID, or its public URL like "
        "https://app.datatrails.ai/archivist/v2/publicassets/<uuid>"
    )
