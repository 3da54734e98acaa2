"""A folder of objects that hosts share, through fsspec: whatever is in it, nothing is believed."""

import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final, Self

from attachfs.content.store import Store
from attachfs.content.stored import RunningDigest, StoredBody
from attachfs.errors import UsageError

_CHUNK_BYTES: Final = 4 * 1024 * 1024


class Poisoned(Exception):
    """Say that an object is not what its name says."""


class Unkept(Exception):
    """Say that the disk store does not take an object, which is no fault of the folder's."""


class SharedFolder:
    """Keep bodies below a URL of fsspec's, one file each, named by SHA-256, without a trailer.

    All methods block, may be called from any thread, and raise whatever the library behind the
    URL does; `FileNotFoundError` is a miss.
    """

    def __init__(self, fs: Any, root: str) -> None:
        self._fs = fs
        self._root = root.rstrip("/")
        # A file is there with its first byte; an object of S3 and its like, with its last.
        self._renames = "file" in _protocols(fs)

    @classmethod
    def at(cls, url: str) -> Self:
        """Return the folder at a URL, such as s3://bucket/evidence, or a path; asks nobody.

        Raises `UsageError` where no library here serves such URLs.
        """
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra, of use here alone
        except ImportError as error:
            raise UsageError(
                "--shared-store needs fsspec; run: pip install 'attachfs[fsspec]'"
            ) from error
        try:
            return cls(*url_to_fs(url))
        except (ImportError, ValueError) as error:
            raise UsageError(f"--shared-store {url}: {error}") from error

    def get(self, digest: str, size_bytes: int) -> bytes:
        """Return a small object; raises `Unkept` where it has another length."""
        path = self._path(digest)
        # Asked for before: servers differ over ranges that an object does not have.
        self._require_length(path, size_bytes)
        data: bytes = self._fs.cat_file(path, start=0, end=size_bytes)
        return data

    def fetch(
        self, digest: str, size_bytes: int, store: Store, on_chunk: Callable[[int], None]
    ) -> StoredBody:
        """Make a large object one of a store's, once all of it has been verified.

        `on_chunk` takes how many bytes have come; what it raises ends this. Raises `Poisoned` and
        `Unkept` as well.
        """
        path = self._path(digest)
        self._require_length(path, size_bytes)
        with self._fs.open(path, "rb") as file:
            kept = _Kept(store, size_bytes)
            try:
                while chunk := file.read(_CHUNK_BYTES):
                    kept.take(chunk)
                    on_chunk(kept.running.size_bytes)
                return kept.body(digest)
            except BaseException:
                kept.drop()
                raise

    def put(self, digest: str, size_bytes: int, chunks: Iterable[bytes], *, anew: bool) -> None:
        """Write an object where there is none of its length, or `anew` over one."""
        path = self._path(digest)
        with suppress(FileNotFoundError):
            if not anew and self._fs.info(path)["size"] == size_bytes:
                return
        parent = path.rpartition("/")[0]
        with suppress(FileExistsError, NotImplementedError):
            self._fs.makedirs(parent, exist_ok=True)
        target = f"{path}.{secrets.token_hex(8)}" if self._renames else path
        try:
            with self._fs.open(target, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
            if target != path:
                self._fs.mv(target, path)
        except BaseException:
            if target != path:
                with suppress(OSError):
                    self._fs.rm_file(target)
            raise

    def _require_length(self, path: str, size_bytes: int) -> None:
        """Raise `Unkept` where an object has another length than was declared.

        One of the two is wrong. Where it is the object's, it is written again once the body has
        come from the archive, because its length is not the same (`put`).
        """
        own_bytes = self._fs.info(path)["size"]
        if own_bytes != size_bytes:
            raise Unkept(f"{path} has {own_bytes} bytes, and {size_bytes} are declared")

    def _path(self, digest: str) -> str:
        return f"{self._root}/sha256/{digest[:2]}/{digest[2:]}"


class _Kept:
    """Take an object into a store as it comes, until it is known whether it is the right one."""

    def __init__(self, store: Store, size_bytes: int) -> None:
        self._store = store
        self._size_bytes = size_bytes
        self.running = RunningDigest()
        with _unkept():
            self._draft = store.create(size_bytes)

    def take(self, chunk: bytes) -> None:
        """Take the next bytes; raises `Unkept`, and `Poisoned` where they are too many."""
        if self.running.size_bytes + len(chunk) > self._size_bytes:
            raise Poisoned("it is longer than what it is named after")
        with _unkept():
            self._draft.write(chunk, self.running.size_bytes)
        self.running.update(chunk)

    def body(self, digest: str) -> StoredBody:
        """Return the body, all of it verified; raises as `take`."""
        if (self.running.size_bytes, self.running.hexdigest()) != (self._size_bytes, digest):
            raise Poisoned("it is not what it is named after")
        with _unkept():
            return self._store.keep(self._draft, self.running)

    def drop(self) -> None:
        """Leave nothing behind."""
        self._draft.drop()


@contextmanager
def _unkept() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unkept(str(error)) from error


def chunks_of(body: StoredBody) -> Iterator[bytes]:
    """Yield the bytes of a body of the disk store; raises `Damaged` and `OSError`."""
    at_bytes = 0
    while at_bytes < body.size_bytes:
        chunk = bytes(body.read(at_bytes, _CHUNK_BYTES))
        at_bytes += len(chunk)
        yield chunk


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
