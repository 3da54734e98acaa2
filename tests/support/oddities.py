"""What may stand where a file is expected, and would be waited for, or is of no use."""

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ODDITIES = ("fifo", "fifo with a writer", "directory", "socket", "link to nowhere", "link to a tty")


@contextmanager
def put_in_place(path: Path, oddity: str) -> Iterator[None]:
    """Put an oddity in the place of a file for the block, whatever was there."""
    _remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptors: list[int] = []
    if oddity.startswith("fifo"):
        os.mkfifo(path, 0o600)
        if oddity.endswith("writer"):  # which never writes anything
            descriptors.append(os.open(path, os.O_RDWR))
    elif oddity == "directory":
        path.mkdir()
        (path / "something").touch()
    elif oddity == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            directory = os.open(path.parent, os.O_PATH)
            listener.bind(f"/proc/self/fd/{directory}/{path.name}")
            os.close(directory)
    elif oddity == "link to nowhere":
        path.symlink_to("/nonexistent/nowhere")
    else:
        descriptors += os.openpty()
        path.symlink_to(os.ttyname(descriptors[-1]))
    try:
        yield
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
        _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
