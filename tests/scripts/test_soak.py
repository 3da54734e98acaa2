"""The soak finds nothing wrong with a mount, and does find what is wrong where something is."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "scripts"))

from harness import faults, gauges  # noqa: E402 - the path comes first
from harness.gauges import Sample  # noqa: E402
from soaking.evidence import Evidence  # noqa: E402
from soaking.readers import Reader  # noqa: E402
from soaking.report import Outcome, figures, quantile, told  # noqa: E402

_FILES = 4
_IDLE = Sample(descriptors=20, sockets=7, threads=2, tasks=10, memory_bytes=40 << 20)
_LOOKS = 40
_WORKERS = 3  # an archive, two readers


@contextmanager
def _soaking(*options: object) -> Iterator[subprocess.Popen[str]]:
    """Run the soak; whatever becomes of the test, it is told to end and waited for."""
    with subprocess.Popen(
        [sys.executable, "-m", "soaking", *map(str, options)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "scripts:."},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.mark.mount
def test_a_short_soak_finds_nothing_wrong(tmp_path: Path) -> None:
    """Right bytes and no growth, though one request in twenty meets a fault."""
    file = tmp_path / "figures.json"
    options = ("--seconds", 13, "--readers", 4, "--files", 60, "--faults", 0.05, "--json", file)
    with _soaking(*options) as soak:
        said, _ = soak.communicate()
    assert soak.returncode == 0, said
    assert said.endswith("verdict: ok\n")
    counted = json.loads(file.read_text())
    assert counted["verdict"] == "ok"
    assert counted["failed"] == 0
    assert sum(counted["met"].values()) > counted["met"]["requests"]
    assert set(counted["latency_ms"]) == {"info", "list", "read", "slice", "stat"}
    assert all(figure["p99.9"] > 0 for figure in counted["latency_ms"].values())
    assert counted["bytes_read"] > 0


@pytest.mark.mount
def test_ctrl_c_unmounts_and_reports() -> None:
    """A soak that is cut short says what it has seen, and leaves no mount behind."""
    with _soaking("--seconds", 600, "--readers", 2, "--files", 10) as soak:
        mountpoint = _mounted_by(soak)
        soak.send_signal(signal.SIGINT)
        said, _ = soak.communicate()
    assert soak.returncode == 130, said
    assert "ended early" in said
    assert "verdict: " in said
    assert mountpoint not in Path("/proc/self/mounts").read_text()


def _mounted_by(soak: subprocess.Popen[str]) -> str:
    """Wait until the readers of a soak have begun; return where they read."""
    pause = threading.Event()
    while soak.poll() is None:
        children = Path(f"/proc/{soak.pid}/task/{soak.pid}/children").read_text().split()
        commands = [_command_of(child) for child in children]
        workers = sum(any("spawn_main" in word for word in command) for command in commands)
        if workers == _WORKERS:
            return next(command[4] for command in commands if "mount" in command)
        pause.wait(0.05)
    raise AssertionError(soak.communicate()[0])


def _command_of(pid: str) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


@pytest.fixture
def evidence() -> Evidence:
    """A few files."""
    return Evidence(_FILES)


@pytest.fixture
def reader(tmp_path: Path, evidence: Evidence) -> Reader:
    """A reader of right files in a plain directory."""
    paths = [f"assets/one/{number}" for number in range(_FILES)]
    directory = tmp_path / "assets/one"
    (directory / "events").mkdir(parents=True)
    for name in ("asset.json", "SHA256SUMS"):
        (directory / name).touch()
    for number in range(_FILES):
        (directory / f"{number}").write_bytes(evidence.content(number))
        value = evidence.sha256(number)
        info = {"size": evidence.size_bytes(number), "hash": {"value": value}}
        (directory / f"{number}.info.json").write_text(json.dumps(info))
    return Reader(tmp_path, paths, evidence, seed=1)


_LOOKED_AT = ["read", "slice", "stat", "list", "info"]


@pytest.mark.parametrize("what", _LOOKED_AT)
def test_a_reader_has_nothing_to_say_of_what_is_right(reader: Reader, what: str) -> None:
    """No look at right files is a failure, and each is timed."""
    for number in range(_FILES):
        reader.look(getattr(reader, what), number)
    assert reader.failures == []
    assert len(reader.took_s[what]) == _FILES


@pytest.mark.parametrize("what", ["read", "slice", "stat", "info"])
def test_a_reader_with_another_seed_finds_all_wrong(reader: Reader, what: str) -> None:
    """Whoever expects other bytes says so of every file."""
    other = replace(reader, evidence=Evidence(_FILES, seed=2), took_s={what: []}, failures=[])
    for number in range(_FILES):
        other.look(getattr(other, what), number)
    assert len(other.failures) == _FILES


def test_a_wrong_byte_is_found_where_it_is(reader: Reader, evidence: Evidence) -> None:
    """One flipped bit is a failure with path and offset."""
    content = bytearray(evidence.content(0))
    at = len(content) // 2
    content[at] ^= 1
    (reader.root / reader.paths[0]).write_bytes(content)
    reader.look(reader.read, 0)
    (failure,) = reader.failures
    assert (failure.path, failure.offset) == (reader.paths[0], at)


@pytest.mark.parametrize("more", [-1, 1])
def test_a_wrong_length_is_found(reader: Reader, evidence: Evidence, more: int) -> None:
    """A byte too few or too many is a failure at the end, for reads and for stat."""
    content = evidence.content(0)
    wrong = content[:more] if more < 0 else content + b"\0"
    (reader.root / reader.paths[0]).write_bytes(wrong)
    reader.look(reader.read, 0)
    reader.look(reader.stat, 0)
    assert [failure.what for failure in reader.failures] == ["read", "stat"]
    assert reader.failures[0].offset == min(len(content), len(wrong))


@pytest.mark.parametrize("what", _LOOKED_AT)
def test_an_error_is_told_with_its_name(reader: Reader, what: str) -> None:
    """What cannot be read is a failure with its errno."""
    (reader.root / "assets").rename(reader.root / "gone")
    reader.look(getattr(reader, what), 0)
    (failure,) = reader.failures
    assert failure.errno == "ENOENT"


def test_a_name_too_many_in_a_listing_is_found(reader: Reader) -> None:
    """A listing must be exactly what there is."""
    (reader.root / "assets/one/stranger").touch()
    reader.look(reader.list, 0)
    (failure,) = reader.failures
    assert "stranger" in failure.message


def test_what_nobody_foresaw_is_a_failure_too(reader: Reader) -> None:
    """A sidecar that is no JSON does not end the thread unnoticed."""
    (reader.root / "assets/one/0.info.json").write_text("<html>")
    reader.look(reader.info, 0)
    assert len(reader.failures) == 1


def test_what_stays_the_same_has_not_grown() -> None:
    """Gauges that vary within the slack are no growth, whatever happens in the warm-up."""
    warming = [replace(_IDLE, descriptors=1)] * (_LOOKS // 3)
    noisy = [replace(_IDLE, descriptors=20 + number % 16) for number in range(_LOOKS)]
    assert gauges.growth(warming + noisy) == []


@pytest.mark.parametrize(
    ("name", "slack"),
    [("descriptors", 16), ("threads", 2), ("tasks", 16), ("memory_bytes", 8 << 20)],
)
def test_what_grows_beyond_its_slack_is_told(name: str, slack: int) -> None:
    """Each gauge may rise by its slack, and by no more."""
    begin = getattr(_IDLE, name)
    for rise, told_of in ((slack, 0), (slack + 1, 1)):
        end = replace(_IDLE, **{name: begin + rise})
        grown = gauges.growth([_IDLE] * (_LOOKS // 2) + [end] * (_LOOKS // 2))
        assert len(grown) == told_of
        assert all(line.startswith(f"{name}: ") for line in grown)


def test_a_few_looks_say_nothing() -> None:
    """Where hardly anything was seen, that nothing grows is not claimed."""
    assert gauges.growth([_IDLE] * 7)
    assert not gauges.growth([_IDLE] * 8)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"tasks": 15}, "tasks"),
        ({"threads": 5}, "threads"),
        ({"sockets": 7 + 329, "descriptors": 20 + 329}, "sockets"),
        ({"descriptors": 23}, "descriptors of no socket"),
    ],
)
def test_what_an_idle_mount_keeps_is_told(change: dict[str, int], name: str) -> None:
    """A pool of connections may stay; tasks, threads and open files may not."""
    (leaked,) = gauges.leaks(_IDLE, replace(_IDLE, **change))
    assert leaked.startswith(f"{name}: ")
    assert gauges.leaks(_IDLE, replace(_IDLE, sockets=7 + 168, descriptors=20 + 168)) == []


def _outcome() -> Outcome:
    met = {faults.REQUESTS: 100, "503": 1}
    outcome = Outcome(10, 2, _FILES, 0.01, met, {"read": [0.001, 0.002]}, bytes_read=1)
    outcome.idle = outcome.settled = _IDLE
    outcome.seen = [_IDLE] * _LOOKS
    return outcome


def test_the_verdict_is_good_where_nothing_is_wrong() -> None:
    """In words and in figures."""
    assert told(_outcome()).endswith("verdict: ok")
    assert figures(_outcome())["verdict"] == "ok"


@pytest.mark.parametrize(
    "changes", [{"wrong": ["threads: 2 before, 9 after"]}, {"failed": 1}, {"bytes_read": 0}]
)
def test_the_verdict_is_bad_where_anything_is(changes: dict[str, object]) -> None:
    """Growth, a failure, or nothing read at all."""
    outcome = _outcome()
    for name, value in changes.items():
        setattr(outcome, name, value)
    assert told(outcome).endswith("verdict: bad")
    assert json.loads(json.dumps(figures(outcome)))["verdict"] == "bad"


def test_a_quantile_is_a_time_that_was_seen() -> None:
    """The share of all times that is asked for is not above it."""
    times_s = [float(number) for number in range(1, 1001)]
    shares = (0.5, 0.99, 0.999, 1.0)
    assert [quantile(times_s, share) for share in shares] == [500, 990, 999, 1000]
    assert quantile([7.0], 0.5) == 7.0


def test_the_share_of_requests_asked_for_meets_a_fault() -> None:
    """Of many requests one in a hundred, every kind among them, the same ones each time."""
    first, second = Counter[str](), Counter[str]()
    for met in (first, second):
        choose = faults.rule(0.01, met)
        for _ in range(20_000):
            choose("/")
    assert first == second
    assert first.pop(faults.REQUESTS) == 20_000
    assert 150 < first.total() < 250
    assert set(first) == set(faults.FAULTS)
