"""Small pictures of images that strangers made, by a process that may fail over them."""

import importlib.util
import os
import subprocess
import sys
from contextlib import suppress
from threading import Timer
from types import TracebackType
from typing import Final, Self

from attachfs.audit.thumbnailing import LENGTH

MAX_BYTES: Final = 32 * 1024 * 1024
"""Size of the largest image of which there is a thumbnail."""

# The largest photograph takes a second.
_LIMIT_S: Final = 10.0


def have_pillow() -> bool:
    """Tell whether Pillow is installed."""
    return importlib.util.find_spec("PIL") is not None


class Thumbnails:
    """Make thumbnails, as a context manager that ends the process.

    Decoders have been the way into many a program: they run apart, with little memory, no files,
    an empty environment and some seconds for each image. Methods block.
    """

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._end()

    def of(self, image: bytes) -> bytes | None:
        """Return a JPEG of at most 160 by 160 pixels; None of what is no image that is known."""
        child = self._child or _start()
        self._child = child
        watch = Timer(_LIMIT_S, child.kill)
        watch.start()
        try:
            thumbnail = _ask(child, image)
        except (OSError, EOFError):  # it has failed over it; another one goes on
            self._end()
            return None
        finally:
            watch.cancel()
        return thumbnail or None

    def _end(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with suppress(OSError):
                child.communicate()


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "attachfs.audit.thumbnailing"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        # Wherever attachfs and Pillow were found; no secret stands in it.
        env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )


def _ask(child: subprocess.Popen[bytes], image: bytes) -> bytes:
    """Return what the process makes of an image; raises `OSError`, `EOFError` where it ends."""
    if child.stdin is None or child.stdout is None:
        raise EOFError  # it has pipes, which its type does not say
    child.stdin.write(LENGTH.pack(len(image)) + image)
    child.stdin.flush()
    head = child.stdout.read(LENGTH.size)
    if len(head) < LENGTH.size:
        raise EOFError
    (size_bytes,) = LENGTH.unpack(head)
    thumbnail = child.stdout.read(size_bytes)
    if len(thumbnail) < size_bytes:
        raise EOFError
    return thumbnail
