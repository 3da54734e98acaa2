"""An archive in a thread: asked from others, interrupted, closed, and gone on without."""

import gc
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.lowlevel

from attachfs.access.portal import Portal, portal
from attachfs.access.settings import Settings
from attachfs.errors import Closing, ServerUnreachable
from attachfs.fsspec import ArchivistFileSystem
from attachfs.fsspec.options import settings_of
from attachfs.tree.filesystem import FileSystem
from tests.support.mounts import PATIENCE_S

_SCRIPT = """
import sys, fsspec
fs = fsspec.filesystem("archivist", archive=sys.argv[1], token_file=sys.argv[2])
file = fs.open(fs.glob("by-name/Container*/certificate.pdf")[0])
print(file.read(4).decode())
"""


async def _path(fs: FileSystem) -> str:
    await trio.lowlevel.checkpoint()
    return fs.estate.catalog.server


async def _fail(_: FileSystem) -> None:
    await trio.lowlevel.checkpoint()
    raise ValueError("what it raises")


def test_an_archive_that_takes_long_to_open_holds_up_no_other(options: dict[str, Any]) -> None:
    """Each key has a lock of its own."""
    begun, over = threading.Event(), threading.Event()

    def slow() -> Settings:
        begun.set()
        over.wait(PATIENCE_S)
        raise ServerUnreachable("at last")

    def open_slowly() -> None:
        with pytest.raises(ServerUnreachable):
            portal("slow", slow)

    thread = threading.Thread(target=open_slowly)
    thread.start()
    try:
        assert begun.wait(PATIENCE_S)
        other = portal("other", lambda: settings_of(options))
        assert other.call(_path, other.fs) == options["archive"]
        assert portal("other", slow) is other
        other.close()
    finally:
        over.set()
        thread.join(PATIENCE_S)


def test_what_is_asked_is_answered(options: dict[str, Any]) -> None:
    """From many threads at once, and what is raised there is raised here."""
    opened = Portal(settings_of(options))
    try:
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(opened.call(_path, opened.fs)))
            for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        assert answers == [options["archive"]] * 20
        with pytest.raises(ValueError, match="what it raises"):
            opened.call(_fail, opened.fs)
    finally:
        opened.close()
    assert not opened.is_open
    with pytest.raises(Closing):
        opened.call(_path, opened.fs)
    opened.call_soon(lambda: None)
    opened.close()


def test_who_is_interrupted_wants_nothing_any_more(options: dict[str, Any]) -> None:
    """Ctrl-C ends the waiting, and the work."""
    opened = Portal(settings_of(options))
    cancelled = threading.Event()

    async def wait(_: FileSystem) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    try:
        with pytest.raises(KeyboardInterrupt):
            opened.call(wait, opened.fs)
        assert cancelled.wait(PATIENCE_S)
        assert opened.call(_path, opened.fs) == options["archive"]
    finally:
        opened.close()


def test_what_waits_when_it_is_closed_is_told(options: dict[str, Any]) -> None:
    """Nobody waits for ever."""
    opened = Portal(settings_of(options))
    begun = threading.Event()
    told: list[Exception] = []

    async def wait(_: FileSystem) -> None:
        begun.set()
        await trio.sleep_forever()

    def ask() -> None:
        try:
            opened.call(wait, opened.fs)
        except Closing as error:
            told.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    assert begun.wait(PATIENCE_S)
    opened.close()
    thread.join(PATIENCE_S)
    assert len(told) == 1


def test_one_that_cannot_be_opened_is_tried_again(
    options: dict[str, Any], expected_warnings: set[str]
) -> None:
    """The next time that somebody asks."""
    expected_warnings.add("retry_scheduled")
    away = options | {"archive": "http://127.0.0.1:1", "timeout": "0.2s"}
    for _ in range(2):
        with pytest.raises(ServerUnreachable):
            portal("away", lambda: settings_of(away))
    assert portal("away", lambda: settings_of(options)).is_open


def test_one_that_has_ended_is_opened_again(fs: ArchivistFileSystem) -> None:
    """Whatever has ended it; a file that was open is opened again."""
    certificate = fs.glob("by-name/Container*/certificate.pdf")[0]
    with fs.open(certificate, cache_type="none") as file:
        assert file.read(4) == b"%PDF"
        before = fs.portal
        before.close()
        assert file.read(4) == b"-1.4"
        assert fs.portal is not before


def test_garbage_is_collected_in_any_thread(fs: ArchivistFileSystem) -> None:
    """Also in the portal's own, by which a file cannot wait for the portal."""
    certificate = fs.glob("by-name/Container*/certificate.pdf")[0]
    held = [fs.open(certificate)]

    async def drop(_: FileSystem) -> None:
        await trio.lowlevel.checkpoint()
        held.clear()
        gc.collect()

    fs.portal.call(drop, fs.portal.fs)
    assert fs.cat_file(certificate, 0, 4) == b"%PDF"


@pytest.mark.process
def test_a_program_ends_with_it_open(options: dict[str, Any], tmp_path: Path) -> None:
    """At once, saying nothing; and what it has learnt is remembered."""
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", _SCRIPT, options["archive"], options["token_file"]],
            env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "%PDF\n", "")
    assert len(list((tmp_path / ".cache" / "attachfs" / "index").glob("*.sqlite3"))) == 1
