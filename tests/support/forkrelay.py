"""Start attachfs by forking where a shell runs it, as it does in documents.

A forked program is a child of the process that asks for it, and a shell starts only what it can
execute. Therefore the `attachfs` on its PATH is a small program, `tests/support/forkclient.py`. It
asks a relay in the test process to fork attachfs, and ends as that does.
"""

import marshal
import os
import select
import shlex
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.support import forkserver

_LENGTH_BYTES: Final = 20
_CLIENT: Final = Path(__file__).with_name("forkclient.py")


@contextmanager
def forking_attachfs() -> Iterator[str]:
    """Offer a line of sh that becomes attachfs, with the script's arguments, during the block."""
    with (
        TemporaryDirectory(prefix="attachfs-relay-") as directory,  # a path of a socket is short
        socket.socket(socket.AF_UNIX) as listener,
    ):
        path = f"{directory}/socket"
        listener.bind(path)
        listener.listen()
        accepting = threading.Thread(target=_accept, args=(listener,), name="relay")
        accepting.start()
        try:
            yield f'exec {shlex.join((sys.executable, "-IS", str(_CLIENT), path))} "$@"'
        finally:
            listener.shutdown(socket.SHUT_RDWR)  # accept(2) returns
            accepting.join()


def _accept(listener: socket.socket) -> None:
    serving: list[threading.Thread] = []
    with suppress(OSError):
        while True:
            client, _ = listener.accept()
            serving.append(threading.Thread(target=_serve, args=(client,), name="attachfs"))
            serving[-1].start()
    for thread in serving:
        thread.join()


def _serve(client: socket.socket) -> None:
    """Run a client's program to its end; kill it where the client ends before."""
    with client:
        length, streams, _, _ = socket.recv_fds(client, _LENGTH_BYTES, 3)
        arguments, environment, directory, umask = marshal.loads(  # noqa: S302 - of our own client
            client.recv(int(length), socket.MSG_WAITALL)
        )
        try:
            process = forkserver.Popen(
                [sys.executable, "-m", "attachfs", *arguments],
                env=environment,
                cwd=directory,
                umask=umask,
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
            )
        finally:
            for stream in streams:
                os.close(stream)
        with process:
            descriptor = os.pidfd_open(process.pid)
            try:
                ended, _, _ = select.select([descriptor, client.fileno()], [], [])
            finally:
                os.close(descriptor)
            if client.fileno() in ended:
                process.kill()
                return
        client.sendall(b"%d" % process.returncode)
