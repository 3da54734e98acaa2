"""A store that hosts share: read through, written behind, believed by nobody, in nobody's way."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.archives import sha256
from tests.support.clocks import Clocks
from tests.support.estates import BLOB_PATHS
from tests.support.evidence import Evidence, attach
from tests.support.mounts import Mount, Steering
from tests.support.objects import Objects, serving_objects
from tests.support.outcomes import until
from tests.support.programs import Done

pytestmark = pytest.mark.mount

_SMALL_BYTES = 64 * 1024
_LARGE_BYTES = 6 * 1024 * 1024
_POISONED = "is not what it is named after"
_WITHOUT = "the shared store is out of reach or slow"

Hosts = Callable[..., Mount]


@dataclass(frozen=True)
class Shared:
    """A URL to share by, where that ends up, and the variables that it takes."""

    url: str
    directory: Path
    environment: dict[str, str]
    server: Objects | None = None

    def objects(self) -> dict[str, Path]:
        """Return what is there, by SHA-256."""
        found = self.directory.rglob("sha256/*/*")
        return {path.parent.name + path.name: path for path in found if len(path.name) == 62}


@pytest.fixture(params=["folder", "S3"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    """A folder, as of NFS, or a bucket."""
    if request.param == "folder":
        yield Shared(str(tmp_path / "nfs"), tmp_path / "nfs", {})
        return
    (tmp_path / "buckets" / "evidence").mkdir(parents=True)
    with serving_objects(tmp_path / "buckets") as server:
        directory = server.root / "evidence" / "attachfs"
        yield Shared("s3://evidence/attachfs", directory, server.environment, server)


@pytest.fixture
def host(mount: Callable[..., Mount], shared: Shared, clocks: Clocks, tmp_path: Path) -> Hosts:
    """Mount as another host would: with a cache of its own.

    Time stands still, so that a store on a busy machine is not too slow.
    """

    def start(name: str) -> Mount:
        options = ("--cache-dir", tmp_path / name, "--shared-store", shared.url)
        return mount(*options, program=clocks.program(), **shared.environment)

    return start


@pytest.fixture
def evidence(archive: Steering) -> Evidence:
    """Two attachments, a small one and a large one."""
    return attach(archive.running, _SMALL_BYTES, _LARGE_BYTES)


def _read(mounted: Mount, evidence: Evidence) -> list[str]:
    paths = [mounted.path / "assets" / evidence.asset / uuid for uuid in evidence.attachments]
    return [sha256(path.read_bytes()) for path in paths]


def _digests(evidence: Evidence) -> list[str]:
    return [sha256(content) for content in evidence.contents]


def _is_shared(shared: Shared, evidence: Evidence) -> bool:
    objects = shared.objects()
    return all(_sha256_of(objects.get(digest)) == digest for digest in _digests(evidence))


def _sha256_of(path: Path | None) -> str:
    """Return the SHA-256 of an object that may not be there, for the moment that it is written."""
    try:
        return "" if path is None else sha256(path.read_bytes())
    except FileNotFoundError:
        return ""


def test_what_one_has_fetched_the_next_has(
    host: Hosts, shared: Shared, evidence: Evidence, archive: Steering
) -> None:
    """Without asking the archive for bytes; each host asks it for the right to them."""
    assert _read(host("one"), evidence) == _digests(evidence)
    until(lambda: _is_shared(shared, evidence))
    archive.reset()
    assert _read(host("two"), evidence) == _digests(evidence)
    assert archive.paths(BLOB_PATHS) == []
    assert len(archive.paths("/info$")) == 2


def test_nobody_is_made_to_read_wrong_bytes(host: Hosts, shared: Shared, archive: Steering) -> None:
    """Whatever is put there; it is found out before a byte is seen, fetched, and put right."""
    evidence = attach(archive.running, *[_SMALL_BYTES] * 5, *[_LARGE_BYTES] * 5)
    assert _read(host("one"), evidence) == _digests(evidence)
    until(lambda: _is_shared(shared, evidence))
    objects = [shared.objects()[digest] for digest in _digests(evidence)]
    for number, (path, content) in enumerate(zip(objects, evidence.contents, strict=True)):
        flipped = bytearray(content)
        flipped[len(content) // 2] ^= 1
        poisons = (bytes(flipped), content[:-1], content + b"more", b"", content[::-1])
        path.write_bytes(poisons[number % 5])
    if shared.server is not None:
        shared.server.restart()
    second = host("two")
    second.expected_warnings.add(_POISONED)
    assert _read(second, evidence) == _digests(evidence)
    until(lambda: [_sha256_of(path) for path in objects] == _digests(evidence))


def test_what_cannot_be_written_is_not(host: Hosts, shared: Shared, evidence: Evidence) -> None:
    """A folder that takes nothing is no error of anybody's."""
    shared.directory.parent.mkdir(parents=True, exist_ok=True)
    shared.directory.write_bytes(b"no directory")
    mounted = host("one")
    mounted.expected_warnings.add(_WITHOUT)
    assert _read(mounted, evidence) == _digests(evidence)


@pytest.mark.parametrize("shared", ["S3"], indirect=True)
def test_a_server_that_does_not_answer_is_done_without(
    host: Hosts, shared: Shared, evidence: Evidence, archive: Steering, clocks: Clocks
) -> None:
    """After two seconds, once for all; and it is used again when it answers."""
    assert shared.server is not None
    shared.server.stop()
    mounted = host("one")
    mounted.expected_warnings.add(_WITHOUT)
    with clocks.passing(2.5):
        assert _read(mounted, evidence) == _digests(evidence)
    assert 2 <= clocks.now_s() < 3
    until(lambda: any(_WITHOUT in line for line in mounted.log))
    more = attach(archive.running, _SMALL_BYTES)
    # From now on time stands still: nothing waits for it, the end of the mount neither.
    assert _read(mounted, more) == _digests(more)
    assert mounted.end() == 0
    assert len([line for line in mounted.log if _WITHOUT in line]) == 1
    shared.server.resume()
    again = host("two")
    assert _read(again, more) == _digests(more)
    until(lambda: _is_shared(shared, more))


@pytest.mark.parametrize("shared", ["folder"], indirect=True)
def test_two_at_once_write_whole_objects(host: Hosts, shared: Shared, archive: Steering) -> None:
    """Into one folder, the same and others: whoever looks finds none that is half."""
    evidence = attach(archive.running, *[_SMALL_BYTES + number for number in range(40)])
    one, two = host("one"), host("two")
    assert _read(one, evidence) == _read(two, evidence) == _digests(evidence)
    until(lambda: _is_shared(shared, evidence))
    names = [path.name for path in shared.directory.rglob("*") if path.is_file()]
    until(lambda: len(list(shared.directory.rglob("*.*"))) == 0)
    assert len(names) >= 40
    assert all(sha256(path.read_bytes()) == digest for digest, path in shared.objects().items())


@pytest.mark.parametrize(
    ("url", "told"),
    [("nosuch://bucket", "nosuch"), ("sftp://host/path", "--shared-store")],
)
def test_a_url_that_nobody_serves_is_a_mistake(
    attachfs: Callable[..., Done], archive: Steering, tmp_path: Path, url: str, told: str
) -> None:
    """Told at once, in a sentence."""
    (tmp_path / "mnt").mkdir()
    options = ("--url", archive.url, "--token-file", archive.token_file, "--shared-store", url)
    done = attachfs("mount", tmp_path / "mnt", *options)
    assert done.returncode == 2
    assert told in done.stderr
    assert not os.path.ismount(tmp_path / "mnt")
