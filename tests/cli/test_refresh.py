"""`attachfs refresh`: which mounts it asks, for what, and what it says when they do not answer.

The mounts are stand-ins behind the real socket; tests/mount/test_refresh.py has real ones.
"""

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest
import trio

from attachfs.cli.refresh import command
from attachfs.errors import MountTrouble, NotFound, NotMounted, SetupError, UsageError
from attachfs.mount import mounts as mount_table
from attachfs.mount.control import serve_control
from tests.support.programs import Done, sentence, usage_error

Run = Callable[..., Done]
Kernel = Callable[..., None]
StandIn = Callable[..., Awaitable[None]]

_LINE = "20 1 0:20 / {path} ro - {fstype} https://host ro,user_id={owner},group_id=0\n"


@pytest.fixture(autouse=True)
def _runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime directory of the test's own."""
    path = tmp_path / "run"
    path.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(path))


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """Say what is mounted, as the kernel would."""
    mountinfo = tmp_path / "mountinfo"
    monkeypatch.setattr(mount_table, "_MOUNTINFO", mountinfo)

    def mounted(
        *ours: Path, others: Iterable[Path] = (), owners: dict[Path, int] | None = None
    ) -> None:
        owned = dict.fromkeys(ours, os.getuid()) | (owners or {})
        lines = ["1 0 0:1 / / rw - overlay overlay rw\n"]
        lines += [
            _LINE.format(path=path, fstype="fuse.attachfs", owner=owner)
            for path, owner in owned.items()
        ]
        lines += [_LINE.format(path=path, fstype="fuse.sshfs", owner=0) for path in others]
        mountinfo.write_text("".join(lines))

    mounted()
    return mounted


@pytest.fixture
def asked() -> list[tuple[Path, str]]:
    """What the mounts were asked to refresh."""
    return []


@pytest.fixture
async def stand_in(nursery: trio.Nursery, asked: list[tuple[Path, str]]) -> StandIn:
    """Answer for a mount point, as a mount would."""

    async def start(mountpoint: Path, refusal: Exception | None = None) -> None:
        async def refresh(request: Mapping[str, Any]) -> Mapping[str, Any]:
            asked.append((mountpoint, request["path"]))
            if refusal is not None:
                raise refusal
            return {}

        await nursery.start(partial(serve_control, mountpoint, {"refresh": refresh}))

    return start


async def _refresh(*paths: object) -> None:
    arguments = [str(path) for path in paths]
    await trio.to_thread.run_sync(partial(command.main, arguments, standalone_mode=False))


async def test_without_a_path_every_mount_of_ours_is_refreshed(
    mounts: Kernel, stand_in: StandIn, asked: list[tuple[Path, str]], capsys: Any
) -> None:
    """Neither other people's nor other file systems; nothing is said."""
    one, two, theirs = Path("/srv/one"), Path("/srv/two"), Path("/srv/theirs")
    mounts(one, two, others=[Path("/srv/ssh")], owners={theirs: os.getuid() + 1})
    for mountpoint in (one, two, theirs):
        await stand_in(mountpoint)
    await _refresh()
    assert asked == [(one, ""), (two, "")]
    assert capsys.readouterr() == ("", "")


async def test_what_something_else_is_mounted_over_is_none_of_ours(
    mounts: Kernel, stand_in: StandIn, asked: list[tuple[Path, str]]
) -> None:
    """The topmost mount counts."""
    one, two = Path("/srv/one"), Path("/srv/two")
    mounts(one, two, others=[one])
    for mountpoint in (one, two):
        await stand_in(mountpoint)
    await _refresh()
    assert asked == [(two, "")]


async def test_without_a_mount_there_is_nothing_to_refresh(mounts: Kernel) -> None:
    """The message says how to make one."""
    mounts(others=[Path("/srv/ssh")])
    with pytest.raises(NotMounted, match="no attachfs of yours is mounted; run: attachfs mount"):
        await _refresh()


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("", ""),
        ("/", ""),
        ("/.", ""),
        ("/assets", "assets"),
        ("/assets/a/./b/", "assets/a/b"),
        ("/assets//a", "assets/a"),
        ("/assets/gone/../a", "assets/a"),
        ("/assets/../..//mnt/events", "events"),
        ("/ünïcode and\nmore", "ünïcode and\nmore"),
    ],
)
async def test_a_path_is_refreshed_where_it_lies(
    mounts: Kernel,
    stand_in: StandIn,
    asked: list[tuple[Path, str]],
    given: str,
    path: str,
) -> None:
    """Relative to its mount point; it need not exist."""
    mountpoint = Path("/srv/mnt")
    mounts(mountpoint, Path("/srv/mnt2"), others=[Path("/srv/ssh")])
    await stand_in(mountpoint)
    await _refresh(f"{mountpoint}{given}")
    assert asked == [(mountpoint, path)]


async def test_several_paths_are_refreshed_in_their_order(
    mounts: Kernel, stand_in: StandIn, asked: list[tuple[Path, str]]
) -> None:
    """In whatever mounts they lie, also one below another."""
    outer, inner = Path("/srv/outer"), Path("/srv/outer/in/ner")
    mounts(outer, inner)
    for mountpoint in (outer, inner):
        await stand_in(mountpoint)
    await _refresh(outer / "in/nerd", inner / "x", outer)
    assert asked == [(outer, "in/nerd"), (inner, "x"), (outer, "")]


async def test_links_are_followed_on_the_way_and_never_within(
    mounts: Kernel,
    stand_in: StandIn,
    asked: list[tuple[Path, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is below a mount point is not even looked at: that could wait for a server."""
    mountpoint = tmp_path / "real" / "mnt"
    _make_links(tmp_path)
    mounts(mountpoint)
    await stand_in(mountpoint)
    monkeypatch.chdir(tmp_path / "real")
    looked_at: list[Path] = []
    readlink = Path.readlink

    def watched(path: Path) -> Path:
        looked_at.append(path)
        return readlink(path)

    monkeypatch.setattr(Path, "readlink", watched)
    for given in ("direct", "../absolute", "../chain", "../relative/mnt", "mnt"):
        await _refresh(f"{given}/away/x")
    await _refresh("mnt/away/../../mnt")
    assert asked == [(mountpoint, "away/x")] * 5 + [(mountpoint, "")]
    assert looked_at
    assert not any(path.is_relative_to(mountpoint) for path in looked_at)


def _make_links(root: Path) -> None:
    (root / "real" / "mnt").mkdir(parents=True)
    (root / "real" / "direct").symlink_to("mnt")
    (root / "real" / "mnt" / "away").symlink_to(root)  # as no mount of ours has any
    (root / "relative").symlink_to("./real/../real")
    (root / "absolute").symlink_to(root / "relative" / "direct")
    (root / "chain").symlink_to("absolute")
    (root / "loop").symlink_to("loop")


async def test_a_path_outside_is_refused_before_anything_is_refreshed(
    mounts: Kernel, stand_in: StandIn, asked: list[tuple[Path, str]], tmp_path: Path
) -> None:
    """The message names it; links in a circle lead nowhere."""
    mountpoint = tmp_path / "mnt"
    _make_links(tmp_path)
    mounts(mountpoint, others=[tmp_path / "ssh"])
    await stand_in(mountpoint)
    for outside in ("mnt2", "mnt/..", "mnt/../x", "ssh/x", "loop/x", ""):
        path = tmp_path / outside
        with pytest.raises(NotMounted) as caught:
            await _refresh(mountpoint, path)
        assert f"{path} is in no attachfs; give a path" in str(caught.value)
    assert asked == []


async def test_a_mount_of_another_user_is_refused(mounts: Kernel) -> None:
    """The message says who can do it."""
    mounts(owners={Path("/srv/theirs"): os.getuid() + 1})
    with pytest.raises(NotMounted) as caught:
        await _refresh("/srv/theirs/assets")
    assert "the attachfs on /srv/theirs is not yours" in str(caught.value)
    assert f"run this as the user with id {os.getuid() + 1}" in str(caught.value)


async def test_a_path_that_cannot_exist_is_wrong_usage(
    mounts: Kernel, stand_in: StandIn, tmp_path: Path
) -> None:
    """The mount says so, and the message which one it was."""
    mounts(tmp_path)
    await stand_in(tmp_path, NotFound("no such name"))
    with pytest.raises(UsageError, match=f"^cannot refresh {tmp_path}/x: no such name$"):
        await _refresh(tmp_path / "x")


async def test_a_mount_that_fails_keeps_no_other_from_being_refreshed(
    mounts: Kernel, stand_in: StandIn, asked: list[tuple[Path, str]], capsys: Any
) -> None:
    """Each failure is a line, and the first one sets the exit code."""
    dead, one, broken, two = (Path("/srv", name) for name in ("dead", "one", "broken", "two"))
    mounts(dead, one, broken, two)
    await stand_in(one)
    await stand_in(broken, UsageError("it is broken"))
    await stand_in(two)
    with pytest.raises(SetupError, match=r"/srv/dead has no socket") as caught:
        await _refresh()
    assert asked == [(one, ""), (broken, ""), (two, "")]
    assert caught.value.exit_code == MountTrouble.exit_code
    assert capsys.readouterr() == ("", "attachfs: cannot refresh /srv/broken: it is broken\n")


async def test_a_path_is_not_looked_at_by_the_parser(
    monkeypatch: pytest.MonkeyPatch, mounts: Kernel, stand_in: StandIn, tmp_path: Path
) -> None:
    """Click's own paths ask whether they may be read."""
    mounts(tmp_path / "mnt")
    await stand_in(tmp_path / "mnt")
    path = str(tmp_path / "mnt" / "x")

    def watch(name: str) -> None:
        function = getattr(os, name)

        def watched(given: object, *arguments: Any, **options: Any) -> Any:
            assert str(given) != path
            return function(given, *arguments, **options)

        monkeypatch.setattr(os, name, watched)

    for name in ("stat", "lstat", "access", "readlink", "open"):
        watch(name)
    await _refresh(path)


def test_a_relative_path_needs_a_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where that is gone, the message says so."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(click.BadParameter, match="x is relative to a working directory that is"):
        command.make_context("refresh", ["x"])


@pytest.mark.parametrize("path", ["/proc/self", "/nowhere/at/all", "relative"])
def test_what_is_in_no_mount_is_told_in_a_sentence(attachfs: Run, path: str) -> None:
    """The exit code is that of a missing mount."""
    done = attachfs("refresh", path)
    assert done.returncode == 13
    assert f"{Path(path).absolute()} is in no attachfs; give a path at or below" in sentence(done)


def test_options_are_none_of_its_own(attachfs: Run) -> None:
    """As wrong usage."""
    assert "--all" in usage_error(attachfs("refresh", "--all"))
