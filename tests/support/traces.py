"""What a program leaves behind, and whether a secret is in it, in whatever form."""

import os
import stat
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, quote_plus

# So much of a secret, from its start or end, is as bad as all of it: messages are cut.
_PIECE_CHARS = 20


def forms(secret: str) -> set[bytes]:
    """Return what may not be found of a secret: it, its pieces, and both as they are encoded.

    Of a JWT, payload and signature are secrets of their own; its header is everybody's.
    """
    parts = secret.split(".")
    secrets = {secret, *parts[1:]} if len(parts) == 3 else {secret}
    for text in tuple(secrets):
        secrets |= {text[:_PIECE_CHARS], text[-_PIECE_CHARS:]}
    secrets -= {secret[:_PIECE_CHARS]} if len(parts) == 3 else set()
    found: set[bytes] = set()
    for text in secrets:
        raw = text.encode()
        found |= {raw, raw.hex().encode()}
        found |= {quote(text, safe="").encode(), quote_plus(text).encode()}
        for before in range(3):  # bytes that stand before it, as the id in `id:secret`
            for encode in (b64encode, urlsafe_b64encode):
                encoded = encode(bytes(before) + raw)
                # The first and the last characters depend on what stands around it.
                found.add(encoded[4 if before else 0 : len(encoded) - 4])
    return found


def found_in(secrets: Iterable[str], places: Mapping[str, bytes]) -> list[str]:
    """Return where something of a secret is to be seen, each with what was seen there."""
    sought = set().union(*(forms(secret) for secret in secrets))
    return sorted(
        f"{form.decode()!r} in {place}"
        for place, content in places.items()
        for form in sought
        if form in content
    )


def files_below(*roots: Path) -> dict[str, bytes]:
    """Return the content of every file, by its path, and their names as one more."""
    paths = [path for root in roots for path in _paths_below(root)]
    contents = {
        str(path): path.read_bytes() for path in paths if stat.S_ISREG(path.lstat().st_mode)
    }
    return contents | {"names": "\n".join(map(str, paths)).encode()}


def open_to_others(*roots: Path) -> list[str]:
    """Return which files, directories and sockets somebody else may do anything with."""
    modes = {path: path.lstat().st_mode for root in roots for path in _paths_below(root)}
    return [
        f"{path}: {stat.filemode(mode)}"
        for path, mode in modes.items()
        if mode & 0o077 and not stat.S_ISLNK(mode)
    ]


def processes_of(*pids: int) -> dict[str, bytes]:
    """Return what everybody's tools show of processes and of their descendants."""
    shown: dict[str, bytes] = {}
    for pid in pids:
        process = Path(f"/proc/{pid}")
        for name in ("cmdline", "environ", "comm", "mountinfo"):
            shown[f"{process / name}"] = (process / name).read_bytes()
        children = (process / "task" / str(pid) / "children").read_text().split()
        shown |= processes_of(*map(int, children))
    return shown


def _paths_below(root: Path) -> Iterator[Path]:
    """Yield a directory and everything in it, without a look into what is mounted there."""
    yield root
    for path in sorted(root.iterdir()):
        if path.is_dir() and not path.is_symlink() and not os.path.ismount(path):
            yield from _paths_below(path)
        else:
            yield path
