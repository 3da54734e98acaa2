"""The archive as an fsspec file system: `archivist://assets/<asset>/<attachment>`.

For pandas, DuckDB, pyarrow and whatever else reads through fsspec, without a mount.
"""

from attachfs.fsspec.file import ArchivistFile
from attachfs.fsspec.filesystem import ArchivistFileSystem

__all__ = ["ArchivistFile", "ArchivistFileSystem"]
