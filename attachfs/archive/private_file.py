"""Files that hold secrets: nobody else may read them, and they may be written anew."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

from attachfs.errors import CredentialsExposed, CredentialsUnusable
from attachfs.files import is_descriptor, read_given

_MAX_BYTES: Final = 64 * 1024  # a token is a few kilobytes


class PrivateFile:
    """Read a credentials file, and tell when it is worth reading it again.

    `path` is absolute. With `is_named`, it is the same file for whoever asks for it: behind a
    descriptor's name, as of `<(pass show archive)`, is another one each time, to be read once.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.is_named = self.path.is_file() and not is_descriptor(self.path)
        self._signature = self._stat()

    def read(self) -> str:
        """Return the text; raises `CredentialsExposed` where others may read it.

        And `CredentialsUnusable` where it cannot be read.
        """
        return read_private(self.path)

    def has_changed(self) -> bool:
        """Tell whether the file was changed since the last time; one `stat`, 1 us."""
        if not self.is_named:
            return False
        before, self._signature = self._signature, self._stat()
        return self._signature != before

    def unportable(self, option: str) -> CredentialsUnusable:
        """Return the error of one that other processes cannot read."""
        return CredentialsUnusable(
            f"{self.path} can be read once, and other processes are to read it too; write it into "
            f"a file with mode 0600 and give {option}"
        )

    def _stat(self) -> tuple[int, ...] | None:
        try:
            status = os.stat(self.path)  # noqa: PTH116 - on every request
        except OSError:
            return None
        return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def read_private(path: Path) -> str:
    """Return the text of a credentials file.

    Raises `CredentialsExposed` where others may read it, `CredentialsUnusable` where we cannot, or
    where it is a FIFO or a device, which might be waited for.
    """
    try:
        status, raw = read_given(path, _MAX_BYTES + 1)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.EISDIR):
            raise CredentialsUnusable(f"the credentials file {path} is not a file") from error
        raise CredentialsUnusable(
            f"cannot read the credentials file {path}: {error.strerror}; check the path"
        ) from error
    # A pipe, as of `--token-file <(pass show archive)`, belongs to whoever opened it.
    if stat.S_ISCHR(status.st_mode):
        raise CredentialsUnusable(f"the credentials file {path} is not a file")
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        raise CredentialsExposed(
            f"other users can read the credentials file {path}; run: chmod 0600 {path}"
        )
    if len(raw) > _MAX_BYTES:
        raise CredentialsUnusable(f"the credentials file {path} is too large to hold a token")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CredentialsUnusable(f"the credentials file {path} is not text") from None
