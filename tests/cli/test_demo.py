"""`attachfs demo`: what it shows works as it is shown, and nothing stays behind."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.programs import Done, left_mounted, running, sentence

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_ODD = 'it\'s "odd" $HOME `x` ünïcode'


@dataclass
class Shown:
    """A running `attachfs demo` and what it says."""

    process: subprocess.Popen[str]
    mountpoint: Path
    commands: list[str]

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it by a signal, which is success and silent."""
        self.process.send_signal(how)
        self.over()

    def over(self) -> None:
        """Wait for a good end."""
        out, error = self.process.communicate()
        assert (self.process.returncode, out.strip(), error) == (0, "", "")


@pytest.fixture
def scratch(environment: dict[str, str], tmp_path: Path) -> Path:
    """Where temporary files go."""
    path = tmp_path / "scratch"
    path.mkdir()
    environment["TMPDIR"] = str(path)
    return path


@pytest.fixture(autouse=True)
def _nothing_stays(scratch: Path, tmp_path: Path) -> Iterator[None]:
    """Neither a mount nor a temporary file, a log or a cache is there at the end."""
    yield
    assert left_mounted(tmp_path) == []
    assert list(scratch.iterdir()) == []
    assert not (tmp_path / "state").exists()
    assert not (tmp_path / "cache").exists()


@pytest.fixture
def demo(environment: dict[str, str]) -> Callable[..., Any]:
    """Start `attachfs demo` and read what it says."""

    @contextmanager
    def shown(*arguments: object) -> Iterator[Shown]:
        with running("demo", *arguments, env=environment) as process:
            assert process.stdout is not None
            said: list[str] = []
            while not said or (said[-1] and not said[-1].startswith("Ctrl-C")):
                said.append(process.stdout.readline())
            lines = [line.rstrip("\n") for line in said]
            where = "A sample archive is mounted on "
            (mountpoint,) = [line for line in lines if line.startswith(where)]
            commands = [line.strip() for line in lines if line.startswith("  ")]
            shown = Shown(process, Path(mountpoint.removeprefix(where)), commands)
            yield shown
            if process.poll() is None:
                shown.end()

    return shown


def test_the_five_things_to_try_work(demo: Callable[..., Any], run: Run, tmp_path: Path) -> None:
    """Pasted into a shell, each shows what it should, and `cp -r` is refused one file."""
    with demo(tmp_path / _ODD) as shown:
        assert shown.mountpoint == tmp_path / _ODD
        here = [command.replace("/tmp/evidence", "evidence") for command in shown.commands]  # noqa: S108
        ls, cp, grep, sums, attributes = [run("sh", "-c", line, cwd=tmp_path) for line in here]
    assert not (tmp_path / _ODD).exists()
    assert (ls.returncode, ls.stderr) == (0, "")
    names = {line.split()[-1] for line in ls.stdout.splitlines() if line}
    assert {"asset.json", "SHA256SUMS", "events", "quay.jpg"} <= names
    assert cp.returncode == 1
    (refused,) = cp.stderr.splitlines()
    assert "invoice.pdf.exe" in refused
    assert "Permission denied" in refused
    assert len(list((tmp_path / "evidence").rglob("asset.json"))) > 1
    assert SAMPLE["blob:packing-list"] in grep.stdout
    assert len(grep.stdout.splitlines()) == 1
    assert sums.returncode == 0
    assert ": OK\n" in sums.stdout
    assert attributes.returncode == 0
    assert 'user.archivist.mime_type="image/jpeg"' in attributes.stdout


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_without_a_directory_it_takes_a_temporary_one(
    demo: Callable[..., Any], scratch: Path, how: signal.Signals
) -> None:
    """Which is gone when a signal has ended it."""
    with demo() as shown:
        assert scratch in shown.mountpoint.parents
        assert os.path.ismount(shown.mountpoint)
        shown.end(how)


def test_a_directory_that_was_there_stays(demo: Callable[..., Any], mountpoint: Path) -> None:
    """As empty as before."""
    with demo(mountpoint) as shown:
        assert shown.mountpoint == mountpoint
        shown.end()
    assert list(mountpoint.iterdir()) == []


def test_unmounting_ends_it(demo: Callable[..., Any], attachfs: Run, tmp_path: Path) -> None:
    """By `attachfs umount`, as any other mount."""
    with demo(tmp_path / "mnt") as shown:
        assert attachfs("umount", shown.mountpoint).returncode == 0
        shown.over()
    assert not (tmp_path / "mnt").exists()


def test_a_program_that_reads_holds_nothing_up(demo: Callable[..., Any], tmp_path: Path) -> None:
    """A file that is still open does not keep the mount."""
    with demo(tmp_path / "mnt") as shown:
        asset = shown.mountpoint / "assets" / SAMPLE["asset:container"]
        descriptor = os.open(asset / "asset.json", os.O_RDONLY)
        shown.end()
    with pytest.raises(OSError, match="not connected"):
        os.close(descriptor)
    assert not (tmp_path / "mnt").exists()


@pytest.mark.parametrize(
    ("place", "code", "message"),
    [
        ("full", 11, "is not empty"),
        ("full/file", 10, "is not a directory"),
        ("missing/mnt", 10, "No such file or directory"),
    ],
)
def test_a_place_that_is_no_good_is_refused(
    attachfs: Run, tmp_path: Path, place: str, code: int, message: str
) -> None:
    """The message names it and says to choose another."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    done = attachfs("demo", tmp_path / place)
    assert done.returncode == code
    assert str(tmp_path / place) in sentence(done)
    assert message in sentence(done)
    assert "choose" in sentence(done)


def test_without_a_reader_it_ends(
    environment: dict[str, str], tmp_path: Path, broken_pipe: int
) -> None:
    """`attachfs demo | head -0` leaves nothing mounted."""
    with running("demo", tmp_path / "mnt", env=environment, stdout=broken_pipe) as process:
        _, error = process.communicate()
    assert error == ""
    assert process.returncode != 0
    assert not (tmp_path / "mnt").exists()
