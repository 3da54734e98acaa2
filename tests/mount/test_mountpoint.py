"""Mount points: may one be mounted on, and what is mounted there."""

import os
from contextlib import suppress
from pathlib import Path

import pytest

from attachfs.errors import (
    AlreadyMounted,
    MountpointMissing,
    MountpointNotEmpty,
    NoFuseDevice,
    NoFusermount,
    NotMounted,
)
from attachfs.mount import mountpoint as mountpoints
from attachfs.mount import mounts as mount_table
from attachfs.mount.mountpoint import check, check_fuse, unmount
from attachfs.mount.mounts import Mounted, absolute, mounted_at

_LINE = (
    "{number} 1 0:{number} / {path} rw,nosuid,relatime shared:1 - {fstype} {source} rw,size=1k\n"
)


@pytest.fixture
def mountinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A list of mounts of the test's own, as the kernel writes it."""
    path = tmp_path / "mountinfo"
    monkeypatch.setattr(mount_table, "_MOUNTINFO", path)
    path.write_text("")
    return path


def _mounts(mountinfo: Path, *mounts: tuple[str, str, str]) -> None:
    lines = [
        _LINE.format(number=number, path=path, fstype=fstype, source=source)
        for number, (path, fstype, source) in enumerate(mounts, start=20)
    ]
    mountinfo.write_bytes(os.fsencode("".join(lines)))


def test_an_empty_directory_may_be_mounted_on(tmp_path: Path) -> None:
    """Nothing is said."""
    check(tmp_path)


def test_what_is_no_directory_may_not(tmp_path: Path) -> None:
    """Missing, a file, a broken link; the message says what to do."""
    with pytest.raises(MountpointMissing, match="mkdir -p"):
        check(tmp_path / "missing")
    (tmp_path / "file").write_text("")
    with pytest.raises(MountpointMissing, match="not a directory"):
        check(tmp_path / "file")
    with pytest.raises(MountpointMissing):
        check(tmp_path / "file" / "below")
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(MountpointMissing):
        check(tmp_path / "link")


@pytest.mark.parametrize("name", ["file", ".hidden", "directory"])
def test_a_directory_that_is_not_empty_may_not(tmp_path: Path, name: str) -> None:
    """A mount would hide what is in it."""
    if name == "directory":
        (tmp_path / name).mkdir()
    else:
        (tmp_path / name).write_text("")
    with pytest.raises(MountpointNotEmpty, match="empty"):
        check(tmp_path)
    assert not _descriptors_of(tmp_path)


def test_another_mount_may_not_be_mounted_on() -> None:
    """/proc is one, whatever is in it."""
    with pytest.raises(AlreadyMounted, match=r"proc \(proc\) is mounted on /proc"):
        check(Path("/proc"))


def test_a_mount_of_ours_is_called_by_its_name(tmp_path: Path, mountinfo: Path) -> None:
    """Even over an empty directory."""
    directory = tmp_path / "mnt"
    directory.mkdir()
    _mounts(mountinfo, (str(directory), "fuse.attachfs", "https://host"))
    with pytest.raises(AlreadyMounted, match="attachfs is mounted"):
        check(directory)


def test_a_mount_that_comes_while_it_is_checked_is_not_looked_into(
    tmp_path: Path, mountinfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is called a mount, not a directory with files in it, and may hang."""
    directory = tmp_path / "mnt"
    directory.mkdir()
    (directory / "assets").mkdir()

    def come(mountpoint: Path) -> None:
        _mounts(mountinfo, (str(mountpoint), "fuse.attachfs", "https://host"))

    monkeypatch.setattr(mountpoints, "require_reachable", come)
    with pytest.raises(AlreadyMounted, match="attachfs is mounted"):
        check(directory)
    assert not _descriptors_of(directory)


def _descriptors_of(directory: Path) -> list[str]:
    """Return the descriptors of this process that are open on a directory."""
    opened = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if entry.readlink() == directory:
                opened.append(entry.name)
    return opened


def test_what_is_mounted_is_read_from_the_kernel() -> None:
    """Its type, source and options."""
    mounted = mounted_at(Path("/proc"))
    assert mounted is not None
    assert mounted.fstype == "proc"
    assert "rw" in mounted.options or "ro" in mounted.options
    assert mounted_at(Path("/proc/self")) is None


def test_the_topmost_of_several_mounts_counts(mountinfo: Path) -> None:
    """They are listed from the bottom up."""
    _mounts(
        mountinfo,
        ("/", "overlay", "overlay"),
        ("/mnt/a", "ext4", "/dev/sda1"),
        ("/mnt/a", "fuse.attachfs", "https://host"),
        ("/mnt/ab", "tmpfs", "none"),
    )
    assert mounted_at(Path("/mnt/a")) == Mounted(
        "fuse.attachfs", "https://host", frozenset({"rw", "nosuid", "relatime"})
    )
    assert mounted_at(Path("/mnt")) is None


@pytest.mark.parametrize(
    ("escaped", "path"),
    [
        (r"/mnt/a\040b", "/mnt/a b"),
        (r"/mnt/a\011b", "/mnt/a\tb"),
        (r"/mnt/a\012b", "/mnt/a\nb"),
        (r"/mnt/a\134b", r"/mnt/a\b"),
        (r"/mnt/a\134040b", r"/mnt/a\040b"),
        (r"/mnt/a\043b", "/mnt/a#b"),
        ("/mnt/é", "/mnt/é"),
        ("/mnt/a\rb", "/mnt/a\rb"),
        ("/mnt/a\x0bb\x0cc\x1cd\x85e", "/mnt/a\x0bb\x0cc\x1cd\x85e"),
        ("/mnt/a\u2028b\u2029c", "/mnt/a\u2028b\u2029c"),
        (os.fsdecode(b"/mnt/\xff\xfe"), os.fsdecode(b"/mnt/\xff\xfe")),
        ("/mnt/-", "/mnt/-"),
    ],
)
def test_paths_are_unescaped_and_lines_end_where_the_kernel_ends_them(
    mountinfo: Path, escaped: str, path: str
) -> None:
    """The kernel escapes four characters (and #); all others stand as they are."""
    _mounts(
        mountinfo,
        ("/", "overlay", "overlay"),
        (escaped, "fuse.attachfs", r"https://host\040x"),
        ("/after", "tmpfs", "none"),
    )
    mounted = mounted_at(Path(path))
    assert mounted is not None
    assert (mounted.fstype, mounted.source) == ("fuse.attachfs", "https://host x")
    assert mounted_at(Path("/after")) is not None


@pytest.mark.parametrize("optional", ["", "shared:1 ", "shared:1 master:2 propagate_from:3 "])
def test_optional_fields_do_not_shift_the_others(mountinfo: Path, optional: str) -> None:
    """There may be none or several before the hyphen, and none after the source."""
    mountinfo.write_text(f"20 1 0:20 / /mnt ro {optional}- ext4 /dev/sda1\n")
    assert mounted_at(Path("/mnt")) == Mounted("ext4", "/dev/sda1", frozenset({"ro"}))


def test_unmounting_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    """Whether something or nothing is mounted there."""
    with pytest.raises(NotMounted, match="nothing is mounted there"):
        unmount(tmp_path)
    with pytest.raises(NotMounted, match="proc is mounted there"):
        unmount(Path("/proc"))


def test_programs_that_are_not_installed_are_named(
    tmp_path: Path, mountinfo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the command that installs them."""
    _mounts(mountinfo, (str(tmp_path), "fuse.attachfs", "https://host"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NoFusermount, match="apt install fuse3"):
        unmount(tmp_path)
    with pytest.raises(NoFusermount, match="apt install fuse3"):
        check_fuse()


def test_a_device_that_cannot_be_opened_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what to do on a machine and in a container."""
    program = tmp_path / "fusermount3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(mountpoints, "_FUSE_DEVICE", tmp_path / "fuse")
    with pytest.raises(NoFuseDevice, match=r"modprobe fuse.*--device"):
        check_fuse()
    (tmp_path / "fuse").write_text("")
    check_fuse()


def test_paths_are_made_absolute_without_touching_the_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links in the parents are resolved; `.` and `..` are as well."""
    (tmp_path / "real" / "mnt").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path / "real" / "mnt")
    real = tmp_path.resolve() / "real"
    assert absolute(tmp_path / "link" / "mnt") == real / "mnt"
    assert absolute(tmp_path / "link" / "missing") == real / "missing"
    assert absolute(Path()) == real / "mnt"
    assert absolute(Path("..")) == real
    assert absolute(Path("../mnt/")) == real / "mnt"
    assert absolute(Path("../mnt/..")) == real
    assert absolute(Path("/")) == Path("/")


def test_a_link_to_a_mount_point_is_the_mount_point(tmp_path: Path) -> None:
    """What is mounted through a link is found, and unmounted, through it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "far").symlink_to(tmp_path / "link")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("nowhere")
    assert absolute(tmp_path / "link") == tmp_path.resolve() / "real"
    assert absolute(tmp_path / "far") == tmp_path.resolve() / "real"
    assert absolute(tmp_path / "broken") == tmp_path.resolve() / "nowhere"
    with pytest.raises(MountpointMissing):
        check(absolute(tmp_path / "loop"))
