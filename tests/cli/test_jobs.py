"""`attachfs ls`, `info`, `cat`, `prefetch` and `verify`, in a mount and without one."""

import hashlib
import json
import os
import pty
import signal
import subprocess
import termios
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.conftest import serving
from tests.support import forkserver
from tests.support.estates import BLOB_PATHS
from tests.support.mounts import PATIENCE_S, Steering, bare_environment, mounting
from tests.support.outcomes import until
from tests.support.programs import (
    PROGRAM,
    Done,
    running,
    sentence,
    usage_error,
    without_progress,
)

_CONTAINER = f"assets/{SAMPLE['asset:container']}"
_PHOTO = f"{_CONTAINER}/{SAMPLE['blob:container-photo']}"


@dataclass(frozen=True)
class Place:
    """Where commands run, and how paths of the tree are written there."""

    environment: dict[str, str]
    root: Path | None

    def at(self, path: str) -> str:
        """Return a path of the tree as users write it."""
        return path if self.root is None else str(self.root / path)

    def run(self, *arguments: object, **settings: Any) -> Done:
        """Run the program to its end."""
        return forkserver.run(
            [*PROGRAM, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE_S,
            check=False,
            **{"capture_output": True, "text": True, "env": self.environment, **settings},
        )

    def json(self, *arguments: object) -> Any:
        """Return the JSON that a command prints which has nothing else to say."""
        done = self.run(*arguments)
        assert (done.returncode, without_progress(done.stderr)) == (0, ""), done
        return json.loads(done.stdout)


def _direct(archive: Steering, directory: Path) -> Place:
    directory.mkdir(exist_ok=True)
    of_archive = {
        "ATTACHFS_URL": archive.url,
        "ATTACHFS_TOKEN_FILE": str(archive.token_file),
    }
    return Place(bare_environment(directory) | of_archive, None)


@pytest.fixture(scope="module")
def steady() -> Iterator[Steering]:
    """An archive that no test changes."""
    with ExitStack() as stack:
        yield stack.enter_context(Steering(stack.enter_context(serving(ArchiveConfig()))))


@pytest.fixture(scope="module")
def steady_mount(steady: Steering, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A mount of it."""
    directory = tmp_path_factory.mktemp("mounted")
    environment = bare_environment(directory)
    with mounting(steady, environment, directory) as mount:
        mounted = mount()
        mounted.expected_warnings |= {"SCANNED_BAD"}
        yield Place(environment, mounted.path)


@pytest.fixture(params=["direct", pytest.param("mounted", marks=pytest.mark.mount)])
def place(request: pytest.FixtureRequest, steady: Steering, tmp_path: Path) -> Place:
    """Both ways."""
    if request.param == "mounted":
        mounted = request.getfixturevalue("steady_mount")
        assert isinstance(mounted, Place)
        return mounted
    return _direct(steady, tmp_path / "home")


@pytest.fixture
def slow(serve: Callable[[ArchiveConfig], RunningArchive]) -> Iterator[Steering]:
    """An archive that takes its time."""
    with Steering(serve(ArchiveConfig(latency_s=0.05))) as steering:
        yield steering


@pytest.fixture
def direct(archive: Steering, tmp_path: Path) -> Place:
    """Without a mount, of an archive that the test may change."""
    return _direct(archive, tmp_path / "home")


def test_ls_lists(place: Place) -> None:
    """Directories are marked; with what is known of each, also as JSON."""
    done = place.run("ls", place.at(_CONTAINER))
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    names = {"events/", "asset.json", "SHA256SUMS", Path(_PHOTO).name}
    assert names <= set(done.stdout.splitlines())
    listed = place.json("ls", "--json", "-l", place.at(_CONTAINER))
    (photo,) = (entry for entry in listed if entry["name"] == Path(_PHOTO).name)
    assert (photo["kind"], photo["modified"][-1]) == ("attachment", "Z")
    long = place.run("ls", "-l", place.at(_PHOTO)).stdout.split()
    assert long == ["attachment", str(photo["size_bytes"]), photo["modified"], photo["name"]]


def test_info_tells_all_that_is_known(place: Place) -> None:
    """In lines, or as JSON."""
    (photo,) = place.json("info", "--json", place.at(_PHOTO))
    assert (photo["path"], photo["kind"], photo["identity"]) == (_PHOTO, "attachment", _PHOTO)
    assert photo["info"]["hash"]["value"] == photo["record_sha256"][0]
    done = place.run("info", place.at(_PHOTO), place.at("assets"))
    assert done.returncode == 0
    assert done.stdout.startswith(f"{place.at(_PHOTO)}\n  kind: attachment\n")
    assert "    scanned_status: NOT_SCANNED\n" in done.stdout
    assert f"\n\n{place.at('assets')}\n" in done.stdout


def test_cat_writes_the_bytes_as_they_are(place: Place) -> None:
    """One file after the other."""
    (photo,) = place.json("info", "--json", place.at(_PHOTO))
    command = [*PROGRAM, "cat", place.at(_PHOTO), place.at(_PHOTO)]
    twice = forkserver.run(command, env=place.environment, capture_output=True, check=True).stdout
    once = twice[: photo["size_bytes"]]
    assert twice == once * 2
    assert hashlib.sha256(once).hexdigest() == photo["info"]["hash"]["value"]


def test_prefetch_fetches_and_tells_how_much(place: Place) -> None:
    """First how much it would be."""
    dry = place.json("prefetch", "--json", "--dry-run", place.at(f"{_CONTAINER}"))
    assert dry["to_fetch_bytes"] + dry["held_bytes"] > 1000
    done = place.run("prefetch", place.at(_CONTAINER))
    assert done.returncode == 0
    assert done.stdout.startswith("fetched: ")
    again = place.json("prefetch", "--json", place.at(_CONTAINER))
    assert (again["fetched_files"], again["failed"]) == (0, 0)


def test_verify_says_what_is_not_well(place: Place) -> None:
    """And by its exit status that something is not."""
    done = place.run("verify", place.at(_CONTAINER))
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert done.stdout.startswith("verified: ")
    done = place.run("verify", place.at("assets"))
    assert done.returncode == 1
    bad, summary = done.stdout.splitlines()
    assert bad.startswith(f"bad scan: {place.at('assets')}/")
    assert bad.endswith(": stand-in for malware, harmless")
    assert summary.endswith("; 1 bad scan")


def test_verify_writes_reports(place: Place, tmp_path: Path) -> None:
    """A page with pictures, and JSON, also on standard output."""
    page, data = tmp_path / "report.html", tmp_path / "report.json"
    assert place.run("verify", place.at("assets"), "--report", page).returncode == 1
    text = page.read_text()
    assert text.count("<tr data-verdict=") > 10
    assert text.count('src="data:image/jpeg;base64,') >= 2
    done = place.run("verify", place.at("assets"), "--report", data, "--json")
    written, printed = json.loads(data.read_text()), json.loads(done.stdout)
    assert done.returncode == 1
    assert written == printed
    assert (written["is_well"], written["counts"]["bad scan"]) == (False, 1)
    paths = [finding["path"] for finding in written["findings"]]
    assert paths == sorted(paths)


def test_the_scan_policy_is_a_question_of_its_own(place: Place) -> None:
    """Of the verification, whatever the mount reads by."""
    done = place.run("verify", "--scan-policy", "require-ok", place.at(_PHOTO))
    assert done.returncode == 1
    assert done.stdout.startswith(f"not scanned: {place.at(_PHOTO)}: NOT_SCANNED\n")


@pytest.mark.parametrize("command", ["ls", "info", "cat", "prefetch", "verify"])
def test_what_is_not_there_is_an_error(place: Place, command: str) -> None:
    """One line, and no traceback."""
    done = place.run(command, place.at("assets/nothing"))
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("attachfs: ")
    assert "nothing" in line


def test_verify_finds_what_was_changed_on_the_way(direct: Place, archive: Steering) -> None:
    """Bytes that are not those that were recorded, and what has gone."""
    archive.edit("blobs", SAMPLE["blob:container-photo"], flip_body_byte=100)
    done = direct.run("verify", _PHOTO, "--log-level", "error")
    assert done.returncode == 1
    assert done.stdout.startswith(f"mismatched: {_PHOTO}: ")


def test_verify_reads_again_what_the_cache_has_where_it_is_asked_to(
    direct: Place, archive: Steering, tmp_path: Path
) -> None:
    """Else the cache's bytes are hashed, or another host's."""
    shared = ("--shared-store", tmp_path / "shared")
    assert direct.run("verify", _PHOTO, *shared).returncode == 0
    archive.edit("blobs", SAMPLE["blob:container-photo"], flip_body_byte=100)
    assert direct.run("verify", _PHOTO).returncode == 0
    done = direct.run("verify", _PHOTO, "--refetch", "--log-level", "error", *shared)
    assert done.returncode == 1
    cache = Path(direct.environment["XDG_CACHE_HOME"]) / "attachfs"
    assert sorted(path.name for path in cache.iterdir()) == ["index", "objects"]


def test_nothing_to_verify_is_said(direct: Place) -> None:
    """And is no failure."""
    done = direct.run("verify", "publicassets")
    assert (done.returncode, done.stdout) == (
        0,
        "nothing to verify: there are no attachments there\n",
    )


def test_prefetch_ends_when_other_hosts_have_it_too(direct: Place, tmp_path: Path) -> None:
    """What is written behind is waited for: a mount would go on with it."""
    done = direct.run("prefetch", _CONTAINER, "--shared-store", tmp_path / "shared")
    assert done.returncode == 0
    shared = [path for path in (tmp_path / "shared").rglob("*") if path.is_file()]
    cached = Path(direct.environment["XDG_CACHE_HOME"], "attachfs", "objects", "sha256")
    assert {path.name for path in shared} == {
        path.name for path in cached.rglob("??*") if path.is_file()
    }


def test_prefetch_warns_of_more_than_the_cache_holds(direct: Place) -> None:
    """Before the end of it."""
    done = direct.run("prefetch", "--cache-size", "1MiB", "assets")
    assert done.returncode == 0
    assert "more than the cache holds, 1.0 MiB" in done.stderr


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_a_cut_is_survived_and_gone_on_after(
    archive: Steering, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """Ctrl-C ends it with 130 and nothing said, SIGTERM with 143; what came is there."""
    direct = _direct(archive, tmp_path / "home")
    archive.hold(BLOB_PATHS, after=2)
    with running("prefetch", "assets", "--jobs", "1", env=direct.environment) as process:
        until(lambda: archive.held() > 0)
        process.send_signal(ended_by)
        out, err = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (128 + ended_by, "")
    assert without_progress(err) == "\n"
    archive.reset()
    result = json.loads(direct.run("prefetch", "assets", "--json").stdout)
    assert result["held_files"] >= 1
    assert (result["fetched_files"] >= 1, result["failed"]) == (True, 0)


def test_on_a_terminal_there_is_a_bar(direct: Place) -> None:
    """With files, bytes and rate; the result stands below."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 120))
    environment = direct.environment | {"TERM": "xterm"}
    with forkserver.Popen(
        [*PROGRAM, "prefetch", "assets"], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO, once nobody writes to it any more
            while some := os.read(ours, 65536):
                shown += some
    os.close(ours)
    assert process.returncode == 0
    assert b"prefetch: " in shown
    assert b" files: " in shown
    assert b"B/s" in shown
    assert b"fetched: " in shown.splitlines()[-1]


def test_on_a_terminal_verify_says_what_its_summary_rests_on(direct: Place) -> None:
    """Below the summary, on standard error."""
    ours, theirs = pty.openpty()
    with forkserver.Popen(
        [*PROGRAM, "verify", _PHOTO], stdout=theirs, stderr=theirs, env=direct.environment
    ) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # EIO, once nobody writes to it any more
            while some := os.read(ours, 65536):
                shown += some
    os.close(ours)
    assert process.returncode == 0
    assert shown.splitlines()[-3:] == [
        b"attachfs: records from: 1 server",
        b"attachfs: /info from: 1 server",
        b"attachfs: bytes from: 1 server",
    ]


def test_a_reader_that_has_enough_is_left_alone(direct: Place) -> None:
    """As with any program in a pipe."""
    with running("cat", *[f"{_CONTAINER}/asset.json"] * 900, env=direct.environment) as process:
        assert process.stdout is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == ""
        assert process.wait(PATIENCE_S) == 141


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("ls", "elsewhere"), "which begins with assets/, by-name/, publicassets/, as-of/"),
        (("cat", "/etc/passwd"), "neither in an attachfs of yours nor a path in an archive"),
        (("verify", "assets", "--report", "r.pdf"), "must end in .html or .json"),
        (("verify", "assets", "--report", "/proc/r.json"), "cannot write the report"),
        (("prefetch", "assets/nothing"), "'nothing' is no asset's UUID"),
        (("verify", ""), "a PATH is empty; outside of a mount, the whole archive is ."),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    direct: Place, arguments: tuple[str, ...], reason: str
) -> None:
    """Before anything is asked for."""
    done = direct.run(*arguments)
    assert done.returncode == 2
    assert reason in sentence(done)


@pytest.mark.parametrize(
    "arguments", [("prefetch", "assets", "--jobs", "0"), ("verify",), ("cat",), ("info",)]
)
def test_a_wrong_line_is_refused(direct: Place, arguments: tuple[str, ...]) -> None:
    """With a hint at --help."""
    assert usage_error(direct.run(*arguments))


@pytest.mark.mount
def test_options_that_a_mount_would_not_heed_are_refused(steady_mount: Place) -> None:
    """It has been mounted with its own."""
    path = steady_mount.at("assets")
    done = steady_mount.run("ls", path, "--cache-size", "1GiB")
    assert "leave out --cache-size" in sentence(done)
    done = steady_mount.run("verify", path, "--refetch")
    assert "reads from its cache" in sentence(done)
    done = steady_mount.run("ls", path, env=steady_mount.environment | {"ATTACHFS_CACHE_SIZE": "1"})
    assert done.returncode == 0


@pytest.mark.mount
def test_paths_of_two_places_are_refused(steady_mount: Place) -> None:
    """One job is one mount's."""
    done = steady_mount.run("verify", steady_mount.at("assets"), "assets")
    assert "not all in one mount" in sentence(done)


@pytest.mark.mount
def test_in_a_mount_the_working_directory_is_what_paths_are_relative_to(
    steady_mount: Place,
) -> None:
    """And what `ls` lists where it is given none."""
    assert steady_mount.root is not None
    there = steady_mount.root / _CONTAINER
    done = steady_mount.run("ls", cwd=there)
    assert "asset.json" in done.stdout.splitlines()
    assert steady_mount.run("cat", "asset.json", cwd=there).returncode == 0


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_what_was_downloaded_again_is_not_left_behind(
    archive: Steering, tmp_path: Path, ended_by: signal.Signals
) -> None:
    """Whoever ends it, the cache of a refetch goes with it."""
    direct = _direct(archive, tmp_path / "home")
    archive.hold(BLOB_PATHS, after=2)
    with running("verify", "assets", "--refetch", "--jobs", "1", env=direct.environment) as process:
        until(lambda: archive.held() > 0)
        cache = Path(direct.environment["XDG_CACHE_HOME"], "attachfs")
        assert len(list(cache.glob("refetch-*"))) == 1
        process.send_signal(ended_by)
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 128 + ended_by
    assert list(cache.glob("refetch-*")) == []


def _asks_for_no_more(slow: Steering) -> bool:
    """Return whether no bytes are asked for while the archive answers some other requests."""
    before = slow.paths(BLOB_PATHS)
    for _ in range(10):
        slow.record(_CONTAINER)
    return slow.paths(BLOB_PATHS) == before


@pytest.mark.mount
def test_a_job_that_is_broken_off_ends_in_the_mount(
    slow: Steering, environment: dict[str, str], tmp_path: Path
) -> None:
    """It does not go on fetching for nobody."""
    with mounting(slow, environment, tmp_path) as mount:
        mounted = mount()
        with running("prefetch", mounted.path, "--jobs", "1", env=environment) as process:
            until(lambda: len(slow.paths(BLOB_PATHS)) > 1)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
        until(lambda: _asks_for_no_more(slow))
        done = Place(environment, mounted.path).run("prefetch", mounted.path, "--dry-run", "--json")
        assert json.loads(done.stdout)["to_fetch_bytes"] > 0
