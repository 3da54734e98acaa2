"""Names of the view by-name/: what people called things, made fit to be names of files.

Every text comes from a stranger. What a name leaves out stands in the records, as it came.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from attachfs.archive.attachments import Attachment
from attachfs.tree.names import ASSET_RECORD, EVENT_RECORD, EVENTS, SIDECAR_SUFFIX, SUMS

# By birthday 2e-5 that two of 100,000 like-named assets share these, their UUIDs being random.
# Those of version 7 begin with their millisecond instead: whoever asks must expect several.
_SHORT_ID_DIGITS: Final = 12
_NAME_MAX_BYTES: Final = 255
_LABEL_BYTES: Final = _NAME_MAX_BYTES - len("~") - _SHORT_ID_DIGITS
_FILE_BYTES: Final = _NAME_MAX_BYTES - len(SIDECAR_SUFFIX)
_EXTENSION_CHARS: Final = 16  # more behind a full stop is the end of a sentence
# Normalising takes time quadratic in a run of accents: 50 s for 256 KiB, 1 ms for this much.
_READ_CHARS: Final = 1024
_READ_AT_END_CHARS: Final = 64

_UNNAMED: Final = "unnamed"
_UNDATED: Final = "undated"
_RESERVED: Final = frozenset({EVENTS, SUMS, ASSET_RECORD, EVENT_RECORD})
_DIRECTORY: Final = re.compile(rf"(.+)~([0-9a-f]{{{_SHORT_ID_DIGITS}}})")
_SEPARATORS: Final = re.compile(r"[/\\]")
_NS_PER_S: Final = 1_000_000_000


def short_id(uuid: str) -> str:
    """Return the first digits of a UUID, without dashes."""
    return uuid.replace("-", "")[:_SHORT_ID_DIGITS]


def directory_name(label: str, uuid: str) -> str:
    """Return the name of the directory for what people call `label`."""
    return f"{sanitised(label) or _UNNAMED}~{short_id(uuid)}"


def event_label(accepted_ns: int, display_type: str) -> str:
    """Return what to call an event: when it was accepted, in UTC, and its type."""
    # A word stands for no time, lest a type that looks like one be taken for it.
    moment = _UNDATED
    if accepted_ns > 0:
        moment = f"{datetime.fromtimestamp(accepted_ns // _NS_PER_S, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return sanitised(f"{moment} {display_type}")


def short_id_of(name: str) -> str | None:
    """Return the short id in a name that `directory_name` can make, None for any other name."""
    match = _DIRECTORY.fullmatch(name)
    return match[2] if match and sanitised(match[1]) == match[1] else None


def attachment_names(attachments: Sequence[Attachment]) -> dict[str, str]:
    """Return the file name of each attachment of a directory by UUID, no two of them the same.

    Names that are reserved or would collide carry the short id, all of them: what something is
    called depends on what else is there, never on the order. The few whose names collide even
    then carry the whole UUID.
    """
    plain = {attachment.id: _file_name(attachment) for attachment in attachments}
    short = {uuid: _fit(name, _FILE_BYTES, f"~{short_id(uuid)}") for uuid, name in plain.items()}
    whole = {uuid: _fit(name, _FILE_BYTES, f"~{uuid}") for uuid, name in plain.items()}
    plain_uses, short_uses = Counter(plain.values()), Counter(short.values())
    # A plain name must differ from all that others may come to have, whether they do or not: so
    # one look is enough, where adding ids until nothing collides could take one for each file.
    # Short and whole never meet: before their last 12 digits stands a tilde or a dash.
    made = {*short.values(), *whole.values()}

    def choose(uuid: str) -> str:
        name = plain[uuid]
        if plain_uses[name] == 1 and name not in made and not _is_reserved(name):
            return name
        return short[uuid] if short_uses[short[uuid]] == 1 else whole[uuid]

    return {uuid: choose(uuid) for uuid in plain}


def sanitised(text: str, most_bytes: int = _LABEL_BYTES) -> str:
    """Return a text as a name of at most so many bytes, empty where nothing is left to see."""
    if len(text) > _READ_CHARS:
        text = text[: _READ_CHARS - _READ_AT_END_CHARS] + text[-_READ_AT_END_CHARS:]
    # A row of blanks counts as one: it pushes what follows, such as `.exe`, out of sight.
    words = "".join(map(_visible, text)).split()
    name = unicodedata.normalize("NFC", " ".join(words))
    if not name.strip("."):
        return ""
    # `ls` and `*` pass over a leading dot, and commands take a leading dash for an option. Evidence
    # is neither to be missed nor obeyed, so even .gitignore, a good name elsewhere, is _.gitignore.
    return _fit(f"_{name}" if name[0] in ".-" else name, most_bytes)


def _visible(char: str) -> str:
    # What nobody sees goes without a trace: controls, and formats such as bidi overrides, byte
    # order marks and joiners. What stood for something (half a surrogate pair) leaves a mark.
    if char.isspace():
        return " "
    category = unicodedata.category(char)
    if category in {"Cc", "Cf"}:
        return ""
    return "_" if category == "Cs" or char in "/\\" else char


def _file_name(attachment: Attachment) -> str:
    # A display name is prose, and "Invoice 3/4" keeps all its words. The others are paths: no
    # system has file names with slashes, and the SDK makes keys of paths. Folders of a machine
    # far away say nothing of the evidence, and would fill the line before what does.
    return (
        sanitised(_last_part(attachment.file_name), _FILE_BYTES)
        or sanitised(attachment.display_name, _FILE_BYTES)
        or sanitised(_last_part(attachment.key), _FILE_BYTES)
        or attachment.id
    )


def _last_part(path: str) -> str:
    return _SEPARATORS.split(path.rstrip("/\\"))[-1]


def _fit(name: str, most_bytes: int, tag: str = "") -> str:
    # The tag goes before the extension, which tells programs what the file is.
    stem, dot, extension = name.rpartition(".")
    end = dot + extension
    if not stem or not extension.isalnum() or len(extension) > _EXTENSION_CHARS:
        stem, end = name, ""
    end = tag + end
    encoded, room = stem.encode(), most_bytes - len(end.encode())
    if len(encoded) > room:
        stem = encoded[:room].decode(errors="ignore").rstrip()
    return stem + end


def _is_reserved(name: str) -> bool:
    return name in _RESERVED or name.endswith(SIDECAR_SUFFIX)
