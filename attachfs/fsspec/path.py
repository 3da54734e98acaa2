"""The archive as paths of universal_pathlib's, which asks for a class of its own."""

from fsspec import register_implementation
from upath import UPath

from attachfs.fsspec.filesystem import ArchivistFileSystem

# It warns of what is registered by an entry point only, and was not imported yet.
register_implementation("archivist", ArchivistFileSystem, clobber=True)


class ArchivistPath(UPath):
    """Stand for a path in an archive: `UPath("archivist://by-name", archive=...)`."""

    __slots__ = ()
