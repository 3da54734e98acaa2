"""Walk a file system by paths, as a kernel would by inodes."""

from dataclasses import dataclass

from attachfs.tree.attrs import Attrs
from attachfs.tree.filesystem import FileSystem
from attachfs.tree.inodes import ROOT_INO
from attachfs.tree.nodes import Entry

_CHUNK_BYTES = 100_000


async def stat(fs: FileSystem, path: str) -> Attrs:
    """Look up a path from the root."""
    attrs = await fs.getattr(ROOT_INO)
    for name in filter(None, path.split("/")):
        attrs = await _looked_up(fs, attrs.ino, name.encode())
    return attrs


async def _looked_up(fs: FileSystem, parent: int, name: bytes) -> Attrs:
    """Look up a name; what is answered at once must be what the long way answers."""
    now = fs.lookup_now(parent, name)
    attrs = await fs.lookup(parent, name)
    if now is None:
        return attrs
    fs.forget(attrs.ino, 1)  # both counted
    assert now[0][:4] == attrs[:4]
    return now[0]


async def _opened(fs: FileSystem, ino: int) -> int:
    """Open a file; what is opened at once must be what the long way opens."""
    now = fs.open_now(ino)
    opened = await fs.open(ino)
    if now is None:
        return opened.fh
    assert not opened.size_changed
    fs.release(opened.fh)
    return now.fh


async def entries(fs: FileSystem, path: str) -> list[Entry]:
    """Read a directory to its end, without counting lookups."""
    fh = await fs.opendir((await stat(fs, path)).ino)
    listed = fs.entries(fh)
    found: list[Entry] = []
    while (entry := await listed.wait(len(found))) is not None:
        found.append(entry)
    fs.releasedir(fh)
    return found


async def ls(fs: FileSystem, path: str) -> list[str]:
    """Read the names in a directory."""
    return [entry.name for entry in await entries(fs, path)]


@dataclass(frozen=True)
class Listed:
    """What one readdir told of an entry."""

    name: str
    attrs: Attrs


async def readdir(fs: FileSystem, path: str) -> list[Listed]:
    """Read a directory as the kernel does: attributes told, lookups counted."""
    fh = await fs.opendir((await stat(fs, path)).ino)
    listed = fs.entries(fh)
    found: list[Listed] = []
    while (entry := await listed.wait(len(found))) is not None:
        attrs = fs.listed_attrs(entry)
        fs.looked_up(entry.node, attrs)
        found.append(Listed(entry.name, attrs))
    fs.releasedir(fh)
    return found


async def read(fs: FileSystem, path: str) -> bytes:
    """Open and read a file to its end, and close it."""
    fh = await _opened(fs, (await stat(fs, path)).ino)
    content = b""
    while chunk := await fs.read(fh, len(content), _CHUNK_BYTES):
        content += chunk
    fs.release(fh)
    return content


async def xattr(fs: FileSystem, path: str, name: str) -> str:
    """Read an extended attribute."""
    return (await fs.getxattr((await stat(fs, path)).ino, name.encode())).decode()
