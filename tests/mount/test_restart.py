"""What is known outlives the mount, and the server's absence; and belongs to who asked for it."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import outcome
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]
_NOTHING = "0f0f0f0f-0f0f-4f0f-8f0f-0f0f0f0f0f0f"
_DOWNLOADS = "/attachments/.*[0-9a-f]$"
_AWAY = ("EHOSTUNREACH", "ETIMEDOUT")


def _walk(run: Run, *roots: Path) -> str:
    """Return what `find` sees of inodes, sizes and names."""
    found = run("find", *roots, "-printf", "%i %s %P\\n")
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


def _read_all(root: Path) -> dict[str, bytes]:
    """Return every file below a directory but the bad one."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != SAMPLE["blob:bad-invoice"]
    }


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_asks_again_for_nothing_that_cannot_have_changed(
    mount: Callable[..., Mount], archive: Steering, run: Run, tmp_path: Path, how: signal.Signals
) -> None:
    """However the first mount ended: no `/info`, no accepted event, no bytes; sums still check."""
    first = mount("--cache-dir", tmp_path / "cache")
    walked = _walk(run, first.path / "assets", first.path / "by-name")
    content = _read_all(first.path / "assets")
    assert content
    first.expected_status = first.end(how) if how is signal.SIGTERM else -how
    if how is signal.SIGKILL:
        first.end(how)
        run("fusermount3", "-u", "-z", first.path)
    archive.reset()
    second = mount("--cache-dir", tmp_path / "cache", "--metadata-ttl", "0s")
    assert _walk(run, second.path / "assets", second.path / "by-name") == walked
    assert _read_all(second.path / "assets") == content
    directory = second.event("coffee-delivery", of="coffee")
    assert run("sha256sum", "-c", "SHA256SUMS", cwd=directory).returncode == 0
    assert archive.paths()
    assert archive.paths("/info$") == []
    assert archive.paths(_DOWNLOADS) == []


def test_an_accepted_event_is_asked_for_once_in_all_mounts(
    mount: Callable[..., Mount], archive: Steering, tmp_path: Path
) -> None:
    """By its own path, never listed; whoever opens it has his right confirmed besides."""
    options = ("--cache-dir", tmp_path / "cache")
    path = Path("assets", SAMPLE["asset:coffee"], "events", SAMPLE["event:coffee-cupping"])
    facts = set()
    for _ in range(2):
        mounted = mount(*options, "--metadata-ttl", "0s")
        found = (mounted.path / path / "event.json").stat()
        facts.add((found.st_ino, found.st_size, found.st_mtime_ns))
        assert mounted.end() == 0
    assert len(facts) == 1
    assert len(archive.paths(f"/events/{path.name}$")) == 1


def test_within_the_lifetime_a_restart_asks_for_nothing_at_all(
    mount: Callable[..., Mount], archive: Steering, run: Run, tmp_path: Path
) -> None:
    """Besides what the start itself asks for."""
    options = ("--cache-dir", tmp_path / "cache", "--metadata-ttl", "1h")
    first = mount(*options)
    walked = _walk(run, first.path / "assets", first.path / "by-name")
    assert first.end() == 0
    archive.reset()
    second = mount(*options)
    at_start = len(archive.paths())
    assert _walk(run, second.path / "assets", second.path / "by-name") == walked
    assert archive.paths()[at_start:] == []


def test_what_one_knows_is_no_secret_shared(
    mount: Callable[..., Mount], archive: Steering, run: Run, tmp_path: Path
) -> None:
    """Other credentials over the same cache directory get what the server tells them."""
    cache = ("--cache-dir", tmp_path / "cache", "--metadata-ttl", "1h")
    first = mount(*cache)
    assert _walk(run, first.path / "assets")
    photo = Path("assets", SAMPLE["asset:container"], SAMPLE["blob:container-photo"])
    assert (first.path / photo).read_bytes()
    before = set((tmp_path / "cache").rglob("*.sqlite3"))
    archive.edit("assets", photo.parent.name, deny=True)
    archive.reset()
    second = mount(
        *cache,
        *archive.client,
        credentials=False,
    )
    second.expected_warnings.add("403")
    assert outcome((second.path / photo.parent / "asset.json").read_bytes) == "EACCES"
    assert outcome((second.path / photo).read_bytes) == "EACCES"
    sensor = second.asset("sensor")
    assert set(sensor.iterdir())
    assert archive.paths(f"/{sensor.name}$")
    assert len(set((tmp_path / "cache").rglob("*.sqlite3")) - before) == 1
    assert (first.path / photo).read_bytes()  # its right was confirmed within the hour
