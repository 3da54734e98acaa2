"""The server goes away and comes back: what is known is served, the rest fails in time."""

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from uuid import uuid4

import pytest

from tests.support.clocks import Clocks
from tests.support.daemons import adopting, daemon_on, end
from tests.support.evidence import Evidence, attach, record_event, wrong_in
from tests.support.mounts import (
    PATIENCE_S,
    Mount,
    Steering,
    archive,
    attachfs,
    clocks,
    environment,
    mount,
    run,
)
from tests.support.outcomes import WELL, outcome, until
from tests.support.programs import Done, left_mounted, sentence
from tests.support.relays import Relay, relaying
from tests.support.reliability import REFUSED, SURVIVED, Row, record

__all__ = ["archive", "attachfs", "clocks", "environment", "mount", "run"]

pytestmark = pytest.mark.mount

Run = Callable[..., Done]
Asked = dict[str, Callable[[], object]]
_GROUP = "Offline"
_SMALL_BYTES, _LARGE_BYTES, _HELD_BYTES = 5000, 6 << 20, 3 << 20
# Long enough that a slow machine is not taken for one that waits for a second deadline.
_TIMEOUT_S = 4.0
_IN_TIME_S = 2 * _TIMEOUT_S
_STALE_OK_S = 60.0
_AWAY = ("EHOSTUNREACH", "ETIMEDOUT")
_SERVER_UNREACHABLE = 31
_LIFETIMES = ("--metadata-ttl", "500ms", "--negative-ttl", "1s", "--timeout", f"{_TIMEOUT_S:g}s")
# The one line of an outage.
_OUTAGE = {"the server cannot be reached", "the connection failed", "no answer"}


@pytest.fixture(autouse=True)
def _nothing_left(tmp_path: Path) -> Iterator[None]:
    """Unmount in the end what a mount that died has left."""
    yield
    left_mounted(tmp_path)


@pytest.fixture
def relay(archive: Steering) -> Iterator[Relay]:
    """A relay in front of the archive: when it leaves, the server is away."""
    with relaying(archive.url) as relay:
        yield relay


@pytest.fixture
def known(archive: Steering) -> list[Evidence]:
    """Evidence that the mount is to know when the server goes."""
    return [attach(archive.running, _SMALL_BYTES, 300), attach(archive.running, _LARGE_BYTES)]


def _walk(run: Run, root: Path) -> str:
    """Return inodes, sizes and names of all that there is, in every view but the past."""
    roots = (root / "assets", root / "by-name")
    found = run("find", *roots, "-printf", "%i %s %P\\n")
    assert (found.returncode, found.stderr) == (0, "")
    return found.stdout


def _wrong(root: Path, evidence: list[Evidence]) -> list[str]:
    """Read evidence to its end, past the kernel's pages; return what was not read as it is."""
    return wrong_in(root, *evidence, past_pages=True)


@contextmanager
def _unknown(root: Path, archive: Steering) -> Iterator[Asked]:
    """Make things that the mount has never heard of; offer to ask it for each of them once.

    Each is one operation, in a directory of its own: the kernel looks up one name at a time there.
    """
    running = archive.running
    new, *old = (attach(running, _SMALL_BYTES) for _ in range(6))
    unread = attach(running, _SMALL_BYTES)
    assets = root / "assets"
    looked_up: dict[str, tuple[Path, str]] = {
        "an asset": (assets, new.asset),
        "an event": (root / old[0].directory / "events", record_event(running, old[0])),
        "an attachment": (root / old[1].directory, old[1].attachments[0]),
        "/info": (root / old[2].directory, f"{old[2].attachments[0]}.info.json"),
        "a name that does not exist": (root / old[3].directory, str(uuid4())),
        "the past": (root / "as-of" / "2023-12-31" / "assets", old[4].asset),
        "a public asset": (root / "publicassets", old[4].asset),
    }
    with ExitStack() as stack:
        asked: Asked = {}
        for what, (directory, name) in looked_up.items():
            descriptor = os.open(directory, os.O_PATH)
            stack.callback(os.close, descriptor)
            asked[what] = partial(os.stat, name, dir_fd=descriptor)
        file = stack.enter_context((root / unread.path).open("rb", buffering=0))
        asked["the bytes of an open file"] = partial(os.pread, file.fileno(), _SMALL_BYTES, 0)
        yield asked


def _ended(asked: Asked) -> tuple[dict[str, str], float]:
    """Ask for everything at once; return how each ended, and how long the last one took."""
    begun_s = time.monotonic()
    with ThreadPoolExecutor(len(asked)) as pool:
        outcomes = dict(zip(asked, pool.map(outcome, asked.values()), strict=True))
    return outcomes, time.monotonic() - begun_s


@pytest.mark.parametrize("how", ["away", "silent"])
def test_what_is_known_is_served_and_the_rest_fails_in_time(
    *,
    mount: Callable[..., Mount],
    archive: Steering,
    relay: Relay,
    run: Run,
    known: list[Evidence],
    how: str,
) -> None:
    """The mount tells of it once, answers by the deadline, and recovers by itself."""
    mounted = mount("--url", relay.url, *_LIFETIMES)
    assert _wrong(mounted.path, known) == []
    walked = _walk(run, mounted.path)
    with _unknown(mounted.path, archive) as unknown:
        if how == "away":
            relay.leave()
        else:
            relay.hold(0)
        first, first_s = _ended(unknown)
        begun_s = time.monotonic()
        assert _wrong(mounted.path, known) == []
        read_s = time.monotonic() - begun_s
        assert _walk(run, mounted.path) == walked
        again, again_s = _ended(unknown)
        for outcomes in (first, again):
            assert {what: name for what, name in outcomes.items() if name not in _AWAY} == {}
        assert max(first_s, again_s, read_s) < _IN_TIME_S
        assert len(mounted.unexpected()) == 1
        mounted.expected_warnings |= _OUTAGE
        attach(archive.running, 100)
        if how == "away":
            relay.come_back()
        else:
            relay.release()
        missing = dict.fromkeys(
            ("a name that does not exist", "the past", "a public asset"), "ENOENT"
        )
        expected = dict.fromkeys(unknown, WELL) | missing
        until(lambda: _ended(unknown)[0] == expected)
        until(lambda: _walk(run, mounted.path) != walked)  # what is new is listed
    until(lambda: sum("the server answers again" in line for line in mounted.log) == 1)
    errnos = " or ".join(sorted({*first.values(), *again.values()}))
    tried, longest_s = len(first) + len(again), max(first_s, again_s)
    fault = f"the server is {how}"
    record(Row(_GROUP, fault, ", ".join(unknown), tried, REFUSED, errnos, longest_s))
    record(Row(_GROUP, fault, "what was read and listed", 2, SURVIVED, "", read_s))


def test_a_read_that_fails_waits_for_one_deadline(
    mount: Callable[..., Mount], archive: Steering, relay: Relay
) -> None:
    """The kernel repeats it page by page, which costs no more, however short --negative-ttl is."""
    evidence = attach(archive.running, 20_000)
    timeout = ("--timeout", f"{_TIMEOUT_S:g}s")
    mounted = mount("--url", relay.url, "--negative-ttl", "0s", *timeout)
    mounted.expected_warnings |= _OUTAGE
    with (mounted.path / evidence.path).open("rb", buffering=0) as file:
        relay.hold(0)
        begun_s = time.monotonic()
        assert outcome(file.readall) in _AWAY
        longest_s = time.monotonic() - begun_s
        relay.release()
        until(lambda: outcome(lambda: os.pread(file.fileno(), 1, 0)) == WELL)
        file.seek(0)
        assert file.readall() == evidence.content
    assert longest_s < _IN_TIME_S
    record(
        Row(
            _GROUP,
            "the server is silent, --negative-ttl 0s",
            "read of five pages",
            1,
            REFUSED,
            "ETIMEDOUT",
            longest_s,
        )
    )


def test_reads_under_way_outlive_an_absence(
    mount: Callable[..., Mount], archive: Steering, relay: Relay, clocks: Clocks
) -> None:
    """A second without a server, in a lookup, a small body and half of a large one: all right."""
    small, large = attach(archive.running, _SMALL_BYTES), attach(archive.running, _LARGE_BYTES)
    unseen = attach(archive.running, _SMALL_BYTES)
    mounted = mount("--url", relay.url, program=clocks.program())
    for piece in (small, large):
        assert (mounted.path / piece.path).stat()
    for path in (f"/{small.attachments[0]}$", f"v2/{unseen.directory}$"):
        archive.fail_next(path_regex=path, status=0, delay_s=300)
    relay.hold(_HELD_BYTES)
    begun_s = clocks.now_s()
    with ThreadPoolExecutor(3) as pool:
        reading = [pool.submit(_wrong, mounted.path, [piece]) for piece in (small, large, unseen)]
        until(lambda: not archive.failures_left())
        assert relay.held.wait(PATIENCE_S)
        relay.leave()
        relay.release()
        with clocks.passing():
            until(lambda: clocks.now_s() >= begun_s + 1)
            relay.come_back()
            assert [wrong.result() for wrong in reading] == [[], [], []]
    assert mounted.unexpected() == []  # nobody was told of it
    record(
        Row(
            _GROUP,
            "the server is away for a second",
            "lookup, read of a small and half of a large body",
            3,
            SURVIVED,
            "",
            clocks.now_s() - begun_s,
        )
    )


def test_what_is_too_old_is_not_served(
    mount: Callable[..., Mount], relay: Relay, known: list[Evidence], clocks: Clocks
) -> None:
    """Listings, records and the right to read end with --stale-ok, though the bytes are there."""
    lifetimes = ("--metadata-ttl", "0s", "--negative-ttl", "0s", "--stale-ok", f"{_STALE_OK_S:g}s")
    mounted = mount("--url", relay.url, *lifetimes, "--timeout", "5s", program=clocks.program())
    mounted.expected_warnings |= _OUTAGE
    readers: Asked = {
        "a listing": lambda: list((mounted.path / "assets").iterdir()),
        "a record": (mounted.path / known[0].directory / "asset.json").read_bytes,
        "an attachment": (mounted.path / known[0].path).read_bytes,
    }

    def ended() -> tuple[set[str], float]:
        begun_s = clocks.now_s()
        with clocks.passing():
            return set(_ended(readers)[0].values()), clocks.now_s() - begun_s

    assert ended()[0] == {WELL}
    relay.leave()
    outcomes, served_s = ended()
    assert outcomes == {WELL}
    clocks.advance(_STALE_OK_S)
    outcomes, refused_s = ended()
    assert outcomes == {"EHOSTUNREACH"}
    assert max(served_s, refused_s) < 2 * 5
    relay.come_back()
    until(lambda: ended()[0] == {WELL})
    where = ", ".join(readers)
    record(
        Row(
            _GROUP,
            "the server is away for longer than --stale-ok",
            where,
            len(readers),
            REFUSED,
            "EHOSTUNREACH",
            refused_s,
        )
    )


def test_a_mount_can_be_made_while_the_server_is_away(
    *,
    mount: Callable[..., Mount],
    attachfs: Run,
    archive: Steering,
    relay: Relay,
    run: Run,
    known: list[Evidence],
    tmp_path: Path,
) -> None:
    """Where the index knows the archive: it warns, serves what is known, and recovers by itself."""
    first = mount("--url", relay.url, *_LIFETIMES)
    walked = _walk(run, first.path)
    assert _wrong(first.path, known) == []
    assert first.end() == 0
    new = attach(archive.running, _SMALL_BYTES)
    relay.leave()
    (tmp_path / "mnt").mkdir()
    where = ("--url", relay.url, "--token-file", archive.token_file)
    with adopting():
        begun_s = time.monotonic()
        done = attachfs("mount", tmp_path / "mnt", *where, *_LIFETIMES)
        mounted_s = time.monotonic() - begun_s
        assert done.returncode == 0, done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("attachfs: ")]
        assert len(said) == 1
        assert "warning: " in said[0]
        assert relay.url in said[0]
        assert _walk(run, tmp_path / "mnt") == walked
        assert _wrong(tmp_path / "mnt", known) == []
        photo = tmp_path / "mnt" / known[0].path
        assert os.getxattr(photo, "user.archivist.verified_by") == b"record+info"
        sums = run("sha256sum", "-c", "SHA256SUMS", cwd=photo.parent)
        assert sums.returncode == 0, sums.stderr
        assert outcome((tmp_path / "mnt" / new.path).read_bytes) in _AWAY
        relay.come_back()
        until(lambda: _wrong(tmp_path / "mnt", [new]) == [])
        until(lambda: new.asset in {path.name for path in (tmp_path / "mnt" / "assets").iterdir()})
        daemon = daemon_on(tmp_path / "mnt")
        assert attachfs("umount", tmp_path / "mnt").returncode == 0
        assert end(daemon) == 0
    log = Path(done.stdout.rstrip().partition("; log: ")[2]).read_text()
    assert "Traceback" not in log
    record(
        Row(
            _GROUP,
            "mounted while the server is away, known to the index (token file)",
            "mount, list, stat, read",
            1,
            "a warning; what is known is served",
            "",
            mounted_s,
        )
    )


def test_client_credentials_need_no_server_to_mount(
    mount: Callable[..., Mount], archive: Steering, relay: Relay, run: Run, known: list[Evidence]
) -> None:
    """There is no token to be had: the index is theirs all the same; the token comes later."""
    running = archive.running
    options = (
        *("--url", relay.url, *_LIFETIMES),
        *archive.client,
    )
    first = mount(*options, credentials=False)
    walked = _walk(run, first.path)
    assert _wrong(first.path, known) == []
    assert first.end() == 0
    archive.revoke_tokens()
    archive.reset()
    relay.leave()
    begun_s = time.monotonic()
    second = mount(*options, credentials=False)
    mounted_s = time.monotonic() - begun_s
    second.expected_warnings |= _OUTAGE
    assert sum("attachfs: warning: " in line for line in second.log) == 1
    assert _walk(run, second.path) == walked
    assert _wrong(second.path, known) == []
    new = attach(running, _SMALL_BYTES)
    assert outcome((second.path / new.path).read_bytes) in _AWAY
    relay.come_back()
    until(lambda: _wrong(second.path, [new]) == [])
    assert len(archive.paths("/token$")) == 1
    record(
        Row(
            _GROUP,
            "mounted while the server is away, known to the index (client credentials)",
            "mount, list, stat, read",
            1,
            "a warning; what is known is served",
            "",
            mounted_s,
        )
    )


def test_what_is_not_known_is_not_mounted_while_the_server_is_away(
    mount: Callable[..., Mount], attachfs: Run, archive: Steering, relay: Relay, tmp_path: Path
) -> None:
    """An index of nobody's, of somebody else's or of another server: one sentence, exit 31."""
    first = mount("--url", relay.url, "--cache-dir", tmp_path / "known")
    assert len(list((first.path / "assets").iterdir())) > 2
    assert first.end() == 0
    relay.leave()
    token = ("--token-file", archive.token_file)
    other = relay.url.replace("127.0.0.1", "localhost")
    attempts = {
        "nobody's": (tmp_path / "new", relay.url, token),
        "somebody else's": (tmp_path / "known", relay.url, archive.client),
        "another server's": (tmp_path / "known", other, token),
    }

    def attempt(whose: str) -> tuple[Done, float]:
        cache, url, credentials = attempts[whose]
        mountpoint = tmp_path / whose
        mountpoint.mkdir()
        begun_s = time.monotonic()
        done = attachfs(
            "mount", mountpoint, "--url", url, *credentials, "--cache-dir", cache, *_LIFETIMES
        )
        return done, time.monotonic() - begun_s

    with ThreadPoolExecutor(len(attempts)) as pool:
        ended = list(pool.map(attempt, attempts))
    for done, _ in ended:
        assert done.returncode == _SERVER_UNREACHABLE, done.stderr
        assert "cannot reach" in sentence(done)
    assert max(took_s for _, took_s in ended) < 2 * _IN_TIME_S
    record(
        Row(
            _GROUP,
            "mounted while the server is away, not known to the index",
            "mount",
            len(attempts),
            f"exit {_SERVER_UNREACHABLE}",
            "",
            max(took_s for _, took_s in ended),
        )
    )
