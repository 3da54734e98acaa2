"""`attachfs status` of real mounts: what is told, to people and to programs."""

import json
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.clocks import Clocks
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import until
from tests.support.programs import Done, sentence

pytestmark = pytest.mark.mount

Run = Callable[..., Done]


@pytest.fixture
def status(attachfs: Run) -> Callable[[Mount], dict[str, Any]]:
    """Return what `attachfs status --json` says of a mount."""

    def ask(mounted: Mount) -> dict[str, Any]:
        done = attachfs("status", "--json", mounted.path)
        assert (done.returncode, done.stderr) == (0, "")
        (answer,) = json.loads(done.stdout)
        assert isinstance(answer, dict)
        return answer

    return ask


def test_it_tells_what_is_mounted_and_how_it_fares(
    mounted: Mount, archive: Steering, status: Callable[[Mount], dict[str, Any]]
) -> None:
    """The archive, the identity, the token's life, the cache, and where things came from."""
    photo = mounted.asset("container") / SAMPLE["blob:container-photo"]
    photo.read_bytes()
    answer = status(mounted)
    assert answer["mountpoint"] == str(mounted.path)
    assert answer["url"] == archive.url
    assert answer["pid"] == mounted.process.pid
    assert "sub=" in answer["identity"]
    assert 0 < answer["token_left_s"] < 40 * 86400
    assert answer["server"] == {"reachable": True, "error": None}
    assert answer["cache"]["bytes"] >= photo.stat().st_size
    assert answer["bodies"]["archive"] >= 1
    assert answer["requests"]["answers"]["200"] >= 3
    assert answer["recent_errors"] == []


def test_people_are_told_the_same_in_words(
    mounted: Mount, attachfs: Run, archive: Steering
) -> None:
    """Errors of late with why."""
    mounted.expected_warnings.add("SCANNED_BAD")
    (bad,) = mounted.path.rglob(SAMPLE["blob:bad-invoice"])
    with pytest.raises(PermissionError):
        bad.read_bytes()
    done = attachfs("status", mounted.path)
    assert (done.returncode, done.stderr) == (0, "")
    for part in (
        f"{archive.url} on {mounted.path}\n",
        "server:     answers",
        " of 10GiB in ",
        "errors:     1 of late:",
        "SCANNED_BAD: stand-in for malware",
    ):
        assert part in done.stdout
    # Of 30 days, where nobody sets the machine's clock back.
    assert re.search(r"token:      serves for another (29|30) days\n", done.stdout)


def test_an_outage_shows(
    mount: Callable[..., Mount],
    archive: Steering,
    clocks: Clocks,
    status: Callable[[Mount], dict[str, Any]],
) -> None:
    """With its reason, and with what was served nevertheless; then that it is over."""
    mounted = mount("--metadata-ttl", "0s", "--timeout", "1s", program=clocks.program())
    mounted.expected_warnings |= {"503", "no answer"}
    asset = mounted.asset("container")
    (asset / "asset.json").read_bytes()
    archive.fail_next(status=503, times=100)
    with clocks.passing():
        (asset / "asset.json").stat()
    answer = status(mounted)
    assert answer["server"]["reachable"] is False
    assert "503" in answer["server"]["error"]
    assert answer["lookups"]["stale"] >= 1


def test_a_public_mount_has_no_identity(mount: Callable[..., Mount], attachfs: Run) -> None:
    """And no token that could end."""
    mounted = mount("--public", credentials=False)
    said = attachfs("status", mounted.path).stdout
    assert "identity:   none: public assets only" in said
    assert "token:      none" in said


def test_where_nothing_is_mounted_it_says_so(attachfs: Run, tmp_path: Path) -> None:
    """A directory that is no mount is named."""
    done = attachfs("status", tmp_path)
    assert done.returncode == 13
    assert "is in no attachfs" in sentence(done)


def test_sigusr1_dumps_the_state_of_every_task(mounted: Mount) -> None:
    """Into the log, threads included, and without any value."""
    assert list((mounted.path / "assets").iterdir())
    mounted.process.send_signal(signal.SIGUSR1)
    until(lambda: any("] thread " in line for line in mounted.log))
    tasks = [line for line in mounted.log if "] task " in line]
    for part in ("name=<init>", "name=serve_control", "mount/control.py:", "depth=2"):
        assert any(part in line for line in tasks), part
    assert mounted.asset("container").is_dir()


def test_status_of_a_dead_mount_is_an_error(mount: Callable[..., Mount], attachfs: Run) -> None:
    """In a sentence that names it; the mount can be taken down."""
    dead = mount()
    dead.process.kill()
    dead.expected_status = -signal.SIGKILL
    dead.process.wait()
    assert str(dead.path) in sentence(attachfs("status", dead.path))
    assert attachfs("umount", dead.path).returncode == 0
