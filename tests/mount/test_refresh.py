"""Changes on the server show at once when the mount is told to ask again, however long it need not.

Each way to tell it: `attachfs refresh`, for all or a path, and SIGHUP.
"""

import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering, bare_environment
from tests.support.outcomes import WELL, outcome, until
from tests.support.programs import running, sentence

pytestmark = pytest.mark.mount

Attachfs = Callable[..., subprocess.CompletedProcess[str]]

_NAME = "arc_display_name"
_PHOTO = SAMPLE["blob:container-photo"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """An environment with a runtime directory of the test's own."""
    runtime = tmp_path / "runtime"
    runtime.mkdir(mode=0o700)
    return bare_environment(tmp_path) | {"XDG_RUNTIME_DIR": str(runtime)}


@pytest.fixture
def believing(mount: Callable[..., Mount]) -> Mount:
    """A mount that believes what it knows for an hour, and knows the container."""
    mounted = mount("--metadata-ttl", "1h", "--negative-ttl", "1h")
    assert _name_of(mounted) != "renamed"
    assert _PHOTO in _names(mounted)
    assert (mounted.asset("container") / _PHOTO).stat()
    return mounted


def _name_of(mounted: Mount) -> str:
    record = json.loads((mounted.asset("container") / "asset.json").read_text())
    name: str = record["attributes"][_NAME]
    return name


def _names(mounted: Mount) -> list[str]:
    return [path.name for path in mounted.asset("container").iterdir()]


def _change(archive: Steering) -> None:
    """Rename the container and take its photo away."""
    changes = {_NAME: "renamed", "arc_primary_image": None}
    archive.edit("assets", SAMPLE["asset:container"], attributes=changes)


def _shows_the_change(mounted: Mount) -> bool:
    return (_name_of(mounted), _PHOTO in _names(mounted)) == ("renamed", False)


@pytest.mark.parametrize("what", ["", "assets", "assets/{asset}", "assets/{asset}/asset.json"])
def test_refreshing_makes_a_change_visible(
    believing: Mount, archive: Steering, attachfs: Attachfs, what: str
) -> None:
    """An edited record and a removed attachment, once the command is done, and not before."""
    _change(archive)
    assert _name_of(believing) != "renamed"
    assert _PHOTO in _names(believing)
    path = believing.path / what.format(asset=SAMPLE["asset:container"])
    done = attachfs("refresh", path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert _name_of(believing) == "renamed"
    if not what.endswith(".json"):
        assert _PHOTO not in _names(believing)


def test_a_signal_does_the_same(believing: Mount, archive: Steering) -> None:
    """SIGHUP, as often as it comes; the mount goes on."""
    _change(archive)
    assert _name_of(believing) != "renamed"
    believing.process.send_signal(signal.SIGHUP)
    until(lambda: _shows_the_change(believing))
    archive.edit("assets", SAMPLE["asset:container"], attributes={_NAME: "renamed again"})
    assert _name_of(believing) == "renamed"
    believing.process.send_signal(signal.SIGHUP)
    until(lambda: _name_of(believing) == "renamed again")


def test_a_signal_that_comes_too_early_ends_nothing(
    environment: dict[str, str], archive: Steering, tmp_path: Path
) -> None:
    """While the server is waited for, SIGHUP is ignored."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        options = ("--url", url, "--token-file", archive.token_file, "--foreground")
        with running("mount", tmp_path / "runtime", *options, env=environment) as process:
            connection, _ = server.accept()
            process.send_signal(signal.SIGHUP)
            process.send_signal(signal.SIGTERM)
            process.communicate()
        connection.close()
    assert process.returncode in (0, 128 + signal.SIGTERM)


def test_other_assets_are_believed_on(
    believing: Mount, archive: Steering, attachfs: Attachfs
) -> None:
    """What is beside a path costs no request after it was refreshed."""
    sensor = believing.asset("sensor") / "asset.json"
    assert sensor.read_text()
    assert attachfs("refresh", believing.asset("container")).returncode == 0
    archive.reset()
    assert sensor.read_text()
    assert archive.paths(SAMPLE["asset:sensor"]) == []


def test_what_was_refused_may_be_allowed_now(
    believing: Mount, archive: Steering, attachfs: Attachfs
) -> None:
    """It is asked for again, without waiting for --negative-ttl."""
    sensor = believing.asset("sensor") / "asset.json"
    archive.edit("assets", SAMPLE["asset:sensor"], deny=True)
    assert outcome(sensor.read_text) == "EACCES"
    archive.edit("assets", SAMPLE["asset:sensor"], deny=False)
    assert outcome(sensor.read_text) == "EACCES"
    believing.expected_warnings.add("403")
    assert attachfs("refresh", sensor.parent).returncode == 0
    assert outcome(sensor.read_text) == WELL


def test_refreshing_asks_the_server_for_nothing(
    believing: Mount, archive: Steering, attachfs: Attachfs
) -> None:
    """Neither the command, of a path that nobody has looked at yet, nor the mount."""
    archive.reset()
    path = believing.asset("sensor") / "events" / SAMPLE["asset:sensor"] / "event.json"
    done = attachfs("refresh", path)
    assert (done.returncode, done.stderr) == (0, "")
    assert archive.paths() == []


def test_verified_bytes_are_kept(believing: Mount, archive: Steering, attachfs: Attachfs) -> None:
    """They cannot change: only the right to read them is asked for again."""
    photo = believing.asset("container") / _PHOTO
    content = photo.read_bytes()
    assert attachfs("refresh", believing.path).returncode == 0
    archive.reset()
    assert photo.read_bytes() == content
    assert archive.paths(f"{_PHOTO}$") == []


def test_a_path_that_cannot_exist_is_refused(believing: Mount, attachfs: Attachfs) -> None:
    """In a sentence, as wrong usage."""
    done = attachfs("refresh", believing.path / "assets" / "no-uuid")
    assert done.returncode == 2
    assert f"cannot refresh {believing.path}/assets/no-uuid: " in sentence(done)


def test_a_killed_mount_is_told_as_such(believing: Mount, attachfs: Attachfs) -> None:
    """With what to do about it; the next mount there can be refreshed again."""
    believing.process.kill()
    believing.expected_status = -signal.SIGKILL
    believing.process.wait()
    try:
        done = attachfs("refresh", believing.asset("container"))
    finally:
        assert attachfs("umount", believing.path).returncode == 0
    assert done.returncode == 15
    assert f"was killed; run: attachfs umount {believing.path}, and mount" in sentence(done)


def test_an_unmounted_one_leaves_no_socket(
    believing: Mount, attachfs: Attachfs, environment: dict[str, str]
) -> None:
    """And is in nobody's way."""
    directory = Path(environment["XDG_RUNTIME_DIR"], "attachfs")
    assert len([*directory.iterdir()]) == 1
    assert believing.end() == 0
    assert [*directory.iterdir()] == []
    done = attachfs("refresh", believing.path)
    assert done.returncode == 13
    assert f"{believing.path} is in no attachfs" in sentence(done)
