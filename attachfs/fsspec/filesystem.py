"""fsspec's file system, over the tree of an archive."""

import errno
import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar

from fsspec.callbacks import DEFAULT_CALLBACK, Callback
from fsspec.core import has_magic
from fsspec.spec import AbstractFileSystem
from fsspec.utils import isfilelike, tokenize

from attachfs.access.portal import Portal, portal
from attachfs.errors import (
    AttachfsError,
    Denied,
    IsADirectory,
    Mismatch,
    NotFound,
    SetupError,
    Stale,
    Unauthenticated,
)
from attachfs.fsspec import asking
from attachfs.fsspec.asking import Details
from attachfs.fsspec.failures import failure, failures
from attachfs.fsspec.file import BLOCK_BYTES, ArchivistFile
from attachfs.fsspec.options import check_options, settings_of
from attachfs.tree.filesystem import FileSystem

P = ParamSpec("P")
T = TypeVar("T")

_COPIES: Final = 32  # files that `get` writes at the same time
# What fsspec itself takes among `storage_options`.
_OF_FSSPEC: Final = frozenset(
    {"asynchronous", "batch_size", "listings_expiry_time", "loop", "max_paths"}
    | {"skip_instance_cache", "use_listings_cache"}
)


class ArchivistFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Read an archive: `assets/<asset>/<attachment>`, `by-name/...`, every view of the mount.

    `storage_options` are the options of `attachfs mount`, with `_` for `-`, and `archive` for
    `url`, which fsspec takes for itself in places; what they leave open, the environment and the
    configuration say. Bytes are verified before they are seen, and the cache is the mount's own.
    An instance pickles by its options, so that files with secrets travel as paths; it works in
    threads, in forks and under spawn. Errors are `OSError`, of the errno that a program would meet
    in a mount; wrong options are `ValueError`; whatever would change something is EROFS.
    """

    protocol = "archivist"
    root_marker = ""
    blocksize = BLOCK_BYTES

    def __init__(self, *args: Any, **storage_options: Any) -> None:
        """Take options; asks nobody yet. Raises `ValueError`."""
        super().__init__(*args, **storage_options)
        self._options = {
            name: value for name, value in storage_options.items() if name not in _OF_FSSPEC
        }
        self._key = tokenize(self._options)
        with failures():
            check_options(self._options)

    @property
    def portal(self) -> Portal:
        """The archive, opened now if it is not yet; raises `OSError`, and `ValueError`."""
        with failures():
            return portal(self._key, lambda: settings_of(self._options))

    @property
    def fsid(self) -> str:
        """What tells this archive from others: its URL."""
        return f"archivist-{self._ask(asking.identity)}"

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        """Return a path as it is named here: without what stands before it, and without slashes."""
        stripped = super()._strip_protocol(path)
        return stripped.lstrip("/") if isinstance(stripped, str) else stripped

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:  # noqa: FBT001, FBT002
        """Return what is in a directory, by name, of a file its own; raises `OSError`.

        With `detail`, `info` of each, as far as the listing knows: of attachments no `/info`. What
        no longer exists is left out; a size that the token may not know is None.
        """
        sizes = options.get("sizes", detail)
        path = self._strip_protocol(path)
        details, withheld = self._ask(asking.entries, path, sizes=sizes)
        if withheld is not None:
            error, on_error = failure(withheld, path), options.get("on_error_below")
            if not callable(on_error):
                raise error from withheld
            on_error(error)
        found = sorted(details, key=_name)
        return found if detail else [details["name"] for details in found]

    def info(self, path: str, **_: Any) -> Details:
        """Return size (bytes), type, mtime and more; of an attachment what `/info` says."""
        return self._ask(asking.describe, self._strip_protocol(path))

    def exists(self, path: str, **_: Any) -> bool:
        """Tell whether there is such a path; raises `OSError` where that cannot be known."""
        try:
            self.info(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    def isfile(self, path: str) -> bool:
        """Tell whether it is a file; raises as `exists`."""
        return self._type(path) == "file"

    def isdir(self, path: str) -> bool:
        """Tell whether it is a directory; raises as `exists`."""
        return self._type(path) == "directory"

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        detail: bool = False,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> Any:
        """Return all files below a path, many directories looked into at a time.

        What no longer exists is left out. Raises `OSError` where anything below cannot be known:
        the server is away or in trouble, or a directory may not be seen.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        path = self._strip_protocol(path)
        try:
            details = self._ask(
                asking.everything, path, max_depth=maxdepth, sizes=options.get("sizes", detail)
            )
            if withdirs and path and not _is_itself(path, details):
                details.append(self.info(path))
        except (FileNotFoundError, NotADirectoryError):
            details = []
        found = {
            one["name"]: one
            for one in sorted(details, key=_name)
            if withdirs or one["type"] == "file"
        }
        return found if detail else list(found)

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,  # noqa: FBT001, FBT002 - fsspec's signature
        on_error: Any = "omit",
        **options: Any,
    ) -> Iterator[Any]:
        """Yield directories, their directories and files; sizes only in detail.

        `on_error` is for all directories, where fsspec's own walk has it for the first alone. With
        "omit", what does not exist and directories that may not be seen are left out; anything
        else that cannot be known, as with a server that is away, is still an error.
        """
        if on_error == "omit":
            on_error = _omit
        options.setdefault("sizes", options.get("detail", False))
        on_error = options.setdefault("on_error_below", on_error)
        yield from super().walk(path, maxdepth, topdown, on_error, **options)

    def glob(self, path: str, maxdepth: int | None = None, **options: Any) -> Any:
        """Return the paths that match a pattern; sizes are asked for only in detail."""
        options.setdefault("sizes", options.get("detail", False))
        return super().glob(path, maxdepth=maxdepth, **options)

    def du(
        self,
        path: str,
        total: bool = True,  # noqa: FBT001, FBT002 - fsspec's signature
        maxdepth: int | None = None,
        withdirs: bool = False,  # noqa: FBT001, FBT002
        **options: Any,
    ) -> Any:
        """Return the bytes of all files below a path, together or by path.

        Directories count as 0 bytes. Raises as `find`, and `PermissionError` where the size of a
        file may not be known.
        """
        options = {**options, "sizes": True}
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **options)
        sizes = {name: details["size"] for name, details in found.items()}
        for name, size_bytes in sizes.items():
            if size_bytes is None:
                raise failure(Denied("this token may not know its size"), name)
        root = self._strip_protocol(path)
        if withdirs and not root:
            sizes[root] = 0
        return sum(sizes.values()) if total else sizes

    def checksum(self, path: str) -> int:
        """Return the SHA-256 that was recorded, as a number; what fsspec has for all else."""
        sha256 = self.info(path).get("sha256")
        return int(sha256, 16) if sha256 else int(super().checksum(path))

    def modified(self, path: str) -> datetime:
        """Return when it was accepted, UTC; of an asset, its newest event known."""
        modified: datetime = self.info(path)["mtime"]
        return modified

    created = modified  # nothing is ever changed

    def cat_file(
        self, path: str, start: int | None = None, end: int | None = None, **_: Any
    ) -> bytes:
        """Return the bytes of a file, or a slice of them."""
        return self._ask(asking.part, self._strip_protocol(path), start=start, end=end)

    def cat(
        self,
        path: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        on_error: str = "raise",
        start: int | None = None,
        end: int | None = None,
        **options: Any,
    ) -> Any:
        """Return the bytes of files, many fetched at a time; one alone as they are, else a dict.

        A file that was found by a pattern or in a directory, and is gone by now, is left out.
        """
        named = self._named(path)
        paths = self.expand_path(path, recursive=recursive, **options)
        if not isinstance(path, list) and paths == [self._strip_protocol(path)]:
            return self.cat_file(paths[0], start, end)
        results = self._ask(asking.parts, [(path, start, end) for path in paths])
        return {
            path: _answer(result, path, on_error)
            for path, result in zip(paths, results, strict=True)
            if not (on_error == "omit" and isinstance(result, AttachfsError))
            and not (recursive and isinstance(result, IsADirectory))
            and not (path not in named and isinstance(result, NotFound))
        }

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,  # noqa: ARG002 - nothing is gained by reading between
        on_error: str = "return",
        **_: Any,
    ) -> list[Any]:
        """Return slices of files, many at a time, in their order."""
        many = len(paths)
        starts = starts if isinstance(starts, list) else [starts] * many
        ends = ends if isinstance(ends, list) else [ends] * many
        if len(starts) != many or len(ends) != many:
            raise ValueError("paths, starts and ends are not of one length")
        stripped = [self._strip_protocol(path) for path in paths]
        results = self._ask(asking.parts, list(zip(stripped, starts, ends, strict=True)))
        return [
            _answer(result, path, on_error) for path, result in zip(stripped, results, strict=True)
        ]

    def get(
        self,
        rpath: Any,
        lpath: Any,
        recursive: bool = False,  # noqa: FBT001, FBT002 - fsspec's signature
        callback: Callback = DEFAULT_CALLBACK,
        maxdepth: int | None = None,
        **options: Any,
    ) -> None:
        """Copy files to this machine, many at a time; a file that fails is not left there.

        A file that was found by a pattern or in a directory, and is gone by now, is left out. One
        that may not be read, or whose bytes are wrong, does not keep the others from being copied:
        the first such error is raised at the end. Any other error ends the copying.
        """
        named = self._named(rpath)
        rpath, lpath = self._told_apart(rpath, lpath)
        jobs: list[tuple[str, Any]] = []
        super().get(
            rpath,
            lpath,
            recursive=recursive,
            maxdepth=maxdepth,
            later=lambda *job: jobs.append(job),
            **options,
        )

        def copy(rpath: str, lpath: Any) -> None:
            with callback.branched(rpath, lpath) as child:
                self.get_file(rpath, lpath, callback=child, **options)

        callback.set_size(len(jobs))
        failed: OSError | None = None
        with ThreadPoolExecutor(_COPIES, thread_name_prefix="attachfs-get") as pool:
            copies = [(job[0], pool.submit(copy, *job)) for job in jobs]
            try:
                for path, done in copies:
                    try:
                        done.result()
                    except OSError as error:
                        if not _is_of_one_file(error):
                            raise
                        is_gone = isinstance(error.__cause__, NotFound) and path not in named
                        failed = failed or (None if is_gone else error)
                    callback.relative_update()
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
        if failed is not None:
            raise failed

    def get_file(
        self,
        rpath: str,
        lpath: Any = None,
        callback: Callback = DEFAULT_CALLBACK,
        outfile: Any = None,
        later: Callable[[str, Any], object] | None = None,
        **options: Any,
    ) -> None:
        """Copy a file to this machine; one that fails is not left there. Raises `OSError`."""
        if later is not None:
            later(rpath, lpath)
            return
        is_new = outfile is None and not isfilelike(lpath) and not os.path.lexists(lpath)
        try:
            super().get_file(rpath, lpath, callback=callback, outfile=outfile, **options)
        except BaseException:
            if is_new:
                with suppress(OSError):
                    os.unlink(lpath)  # noqa: PTH108 - a string, as fsspec has them
            raise

    def invalidate_cache(self, path: str | None = None) -> None:
        """Have what is at and below a path, or everything, asked for again."""
        self._ask(asking.refresh, self._strip_protocol(path or ""))

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> ArchivistFile:
        if mode != "rb":
            self._refuse(path)
        if block_size is not None and block_size < 1:
            raise ValueError("block_size must be at least 1")
        options.pop("autocommit", None)
        return ArchivistFile(
            self, path, block_size=block_size, cache_options=cache_options, **options
        )

    def _named(self, paths: Any) -> set[str]:
        """Return the paths that the caller named one by one, without those of patterns."""
        named = self._strip_protocol(paths)
        named = [named] if isinstance(named, str) else named
        return {path for path in named if not has_magic(path)}

    def _told_apart(self, rpath: Any, lpath: Any) -> tuple[Any, Any]:
        """Have a directory of the root keep its name where it is copied into another directory.

        fsspec itself takes the name for what all files have in common, and leaves it out.
        """
        if not isinstance(rpath, str) or not isinstance(lpath, str):
            return rpath, lpath
        name = self._strip_protocol(rpath)
        is_of_root = name and "/" not in name and not has_magic(name)
        if not is_of_root or rpath.endswith("/"):
            return rpath, lpath
        if not lpath.endswith("/") and not os.path.isdir(lpath):  # noqa: PTH112 - as fsspec has it
            return rpath, lpath
        return f"{name}/", os.path.join(lpath, name)  # noqa: PTH118

    def _type(self, path: str) -> str:
        try:
            kind: str = self.info(path)["type"]
        except (FileNotFoundError, NotADirectoryError):
            return ""
        return kind

    def _ask(
        self,
        function: Callable[Concatenate[FileSystem, P], Awaitable[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Ask the tree; the first argument that is a text is what an error is about."""
        path = args[0] if args and isinstance(args[0], str) else None
        opened = self.portal
        with failures(path):
            return opened.call(function, opened.fs, *args, **kwargs)

    def _refuse(self, path: Any = None, *_: Any, **__: Any) -> NoReturn:
        raise OSError(errno.EROFS, "the archive is read-only, and so is archivist://", str(path))

    # All by which fsspec changes something. Some of its own would do nothing, and say so to nobody.
    mkdir = makedir = makedirs = mkdirs = rmdir = rm = rm_file = _rm = delete = _refuse
    cp_file = copy = cp = mv = move = rename = touch = pipe = pipe_file = write_bytes = _refuse
    put = put_file = upload = write_text = _refuse


def _name(details: Details) -> str:
    name: str = details["name"]
    return name


def _is_itself(path: str, details: Sequence[Details]) -> bool:
    """Tell whether what was found is the path alone: that of a file."""
    return len(details) == 1 and details[0]["name"] == path


def _answer(result: bytes | AttachfsError, path: str, on_error: str) -> bytes | Exception:
    if not isinstance(result, AttachfsError):
        return result
    error = failure(result, path)
    error.__cause__ = result
    if on_error != "return":
        raise error
    return error


def _omit(error: OSError) -> None:
    """Take what a walk leaves out; raise what tells nothing of what there is."""
    is_known = isinstance(error, FileNotFoundError | NotADirectoryError | PermissionError)
    # A token that is refused or missing, at the first request or a later one, hides everything.
    if not is_known or isinstance(error.__cause__, Unauthenticated | SetupError):
        raise error


def _is_of_one_file(error: OSError) -> bool:
    """Return whether an error says nothing of other files: the next one may be read."""
    cause = error.__cause__
    if isinstance(cause, Unauthenticated):
        return False
    return isinstance(cause, Denied | Mismatch | NotFound | Stale)
