"""Files that hold secrets."""

import os
import threading
from functools import partial
from pathlib import Path

import pytest

from attachfs.archive.private_file import PrivateFile
from attachfs.errors import CredentialsExposed, CredentialsUnusable
from tests.support.oddities import ODDITIES, put_in_place


def _private(path: Path, content: bytes = b"x", mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def _read(path: Path) -> str:
    return PrivateFile(path).read()


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_file_is_read(tmp_path: Path, mode: int) -> None:
    """Whatever only the owner can read is fine; a byte order mark is cut off."""
    assert _read(_private(tmp_path / "f", b"\xef\xbb\xbfx\n", mode)) == "x\n"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o660])
def test_a_file_that_others_may_touch_is_refused(tmp_path: Path, mode: int) -> None:
    """The message says what to run."""
    path = _private(tmp_path / "f", mode=mode)
    with pytest.raises(CredentialsExposed, match=f"chmod 0600 {path}"):
        _read(path)


def test_the_file_behind_a_link_is_what_must_be_private(tmp_path: Path) -> None:
    """A link is followed, and its target judged."""
    target = _private(tmp_path / "f", b"token")
    link = tmp_path / "l"
    link.symlink_to(target)
    assert _read(link) == "token"
    target.chmod(0o644)
    with pytest.raises(CredentialsExposed):
        _read(link)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\xff\xfe", "is not text"),
        (b"a" * 65 * 1024, "too large"),
    ],
)
def test_a_file_that_can_be_no_credential_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """Binary and huge files are none."""
    with pytest.raises(CredentialsUnusable, match=message):
        _read(_private(tmp_path / "f", content))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """Missing files, directories and devices are refused, each with its reason."""
    with pytest.raises(CredentialsUnusable, match="No such file"):
        _read(tmp_path / "missing")
    with pytest.raises(CredentialsUnusable, match="is not a file"):
        _read(tmp_path)
    with pytest.raises(CredentialsUnusable, match="is not a file"):
        _read(Path("/dev/null"))


def test_a_pipe_is_read_to_its_end() -> None:
    """`--token-file <(pass show archive)` works: whoever writes is waited for."""
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(b"Bearer ")
            pipe.flush()
            pipe.write(b"t")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        assert _read(Path(f"/dev/fd/{reading}")) == "Bearer t"
    finally:
        thread.join()
        os.close(reading)


@pytest.mark.parametrize("oddity", ODDITIES)
def test_what_takes_the_place_of_a_file_is_not_waited_for(tmp_path: Path, oddity: str) -> None:
    """Not when a mount begins, nor when it looks again for a new token."""
    path = _private(tmp_path / "f")
    file = PrivateFile(path)
    with put_in_place(path, oddity):
        assert file.has_changed()
        for read in (file.read, partial(_read, path)):
            with pytest.raises(CredentialsUnusable):
                read()


def test_every_change_is_told_once(tmp_path: Path) -> None:
    """Written over, replaced, with other rights or gone."""
    path = _private(tmp_path / "f")
    file = PrivateFile(path)
    assert not file.has_changed()
    path.write_bytes(b"other")
    assert [file.has_changed(), file.has_changed()] == [True, False]
    _private(tmp_path / "g").rename(path)
    assert [file.has_changed(), file.has_changed()] == [True, False]
    path.chmod(0o400)
    assert [file.has_changed(), file.has_changed()] == [True, False]
    path.unlink()
    assert [file.has_changed(), file.has_changed()] == [True, False]


def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """As those of a Secret in Kubernetes, which is replaced as a whole."""
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        _private(tmp_path / version / "f", version.encode())
    data = tmp_path / "data"
    data.symlink_to("1")
    file = PrivateFile(data / "f")
    (tmp_path / "new").symlink_to("2")
    (tmp_path / "new").rename(data)
    assert file.has_changed()
    assert file.read() == "2"


def test_a_file_has_a_name_wherever_one_process_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One given from the working directory has its whole path, one behind a descriptor none."""
    path = _private(tmp_path / "f")
    monkeypatch.chdir(tmp_path)
    assert PrivateFile(Path("f")).path == path
    assert PrivateFile(Path("f")).is_named
    with path.open() as opened:
        for name in (f"/dev/fd/{opened.fileno()}", f"/proc/self/fd/{opened.fileno()}"):
            file = PrivateFile(Path(name))
            assert not file.is_named
            assert file.read() == "x"
            path.touch()
            assert not file.has_changed()


def test_a_file_in_memory_is_a_file() -> None:
    """Where secrets often are; no descriptor, though /dev has those as well."""
    path = Path(f"/dev/shm/attachfs-test-{os.getpid()}")  # noqa: S108 - what it is about
    _private(path)
    try:
        file = PrivateFile(path)
        assert file.is_named
        path.write_bytes(b"other")
        assert file.has_changed()
    finally:
        path.unlink()
