"""What goes wrong with mount points, this machine and options: one sentence says what to do."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.mounts import Mount, Steering
from tests.support.programs import PROGRAM, Done, sentence, usage_error

Run = Callable[..., Done]


@pytest.mark.mount
def test_a_mount_point_must_be_there(refused: Run, tmp_path: Path) -> None:
    """The message has the command that makes it."""
    done = refused(on=tmp_path / "missing")
    assert done.returncode == 10
    assert f"run: mkdir -p {tmp_path}/missing" in sentence(done)


@pytest.mark.mount
def test_a_mount_point_must_be_a_directory(refused: Run, token_file: Path) -> None:
    """A file is named as what it is, and so is a path below it."""
    for path, reason in ((token_file, "is not a directory"), (token_file / "x", "Not a directory")):
        done = refused(on=path)
        assert done.returncode == 10
        assert reason in sentence(done)


@pytest.mark.mount
def test_a_mount_point_must_be_empty(refused: Run, tmp_path: Path) -> None:
    """What a mount would hide is not hidden."""
    done = refused(on=tmp_path)
    assert done.returncode == 11
    assert f"{tmp_path} is not empty" in sentence(done)
    assert "choose an empty directory" in sentence(done)


@pytest.mark.mount
def test_nothing_is_mounted_twice(
    mounted: Mount, attachfs: Run, archive: Steering, tmp_path: Path
) -> None:
    """A second mount is refused by whatever name, and the first goes on."""
    (tmp_path / "link").symlink_to(mounted.path)
    for name in (mounted.path, tmp_path / "link"):
        done = attachfs("mount", name, "--url", archive.url, "--token-file", archive.token_file)
        assert done.returncode == 12
        assert f"attachfs is mounted on {mounted.path} already" in sentence(done)
        assert f"run: attachfs umount {mounted.path}" in sentence(done)
    assert mounted.asset("container").is_dir()


@pytest.mark.mount
def test_other_mounts_are_not_mounted_over(refused: Run) -> None:
    """The message says what is mounted there."""
    done = refused(on="/proc")
    assert done.returncode == 12
    assert "proc (proc) is mounted on /proc already; choose another directory" in sentence(done)


@pytest.mark.mount
def test_a_machine_without_the_device_is_told_apart(
    run: Run, environment: dict[str, str], mountpoint: Path, token_file: Path
) -> None:
    """Where /dev/fuse is missing, modprobe and the container's options are named."""
    # A mount namespace of the test's own: elsewhere, /dev stays.
    hide = 'mount -t tmpfs none /dev && exec "$@"'
    command = [*PROGRAM, "mount", mountpoint, "--token-file", token_file]
    done = run("unshare", "-rm", "sh", "-c", hide, "sh", *command, env=environment)
    assert done.returncode == 40
    for advice in ("/dev/fuse: No such file", "run: modprobe fuse", "--cap-add SYS_ADMIN"):
        assert advice in sentence(done)


def test_a_machine_without_fusermount_is_told_what_to_install(
    refused: Run, attachfs: Run, tmp_path: Path
) -> None:
    """Before anything else is tried, by `mount` and by `demo`."""
    for done in (refused(PATH=str(tmp_path)), attachfs("demo", PATH=str(tmp_path))):
        assert done.returncode == 41
        assert "fusermount3 is not installed; run: apt install fuse3" in sentence(done)


@pytest.mark.mount
def test_unmounting_needs_fusermount_too(mounted: Mount, attachfs: Run, tmp_path: Path) -> None:
    """The mount stays when it is missing."""
    done = attachfs("umount", mounted.path, PATH=str(tmp_path))
    assert done.returncode == 41
    assert "apt install fuse3" in sentence(done)
    assert mounted.asset("container").is_dir()


@pytest.mark.parametrize("place", ["/proc", "/nowhere", "."])
def test_only_an_attachfs_is_unmounted(attachfs: Run, place: str) -> None:
    """What others mounted, or nobody, is left alone."""
    done = attachfs("umount", place)
    assert done.returncode == 13
    assert f"no attachfs is mounted on {Path(place).absolute()}" in sentence(done)


@pytest.mark.mount
def test_a_mount_in_use_is_not_unmounted(mounted: Mount, attachfs: Run) -> None:
    """The message says how to find the programs that use it; without them, it works."""
    descriptor = os.open(mounted.path, os.O_RDONLY)
    try:
        done = attachfs("umount", mounted.path)
    finally:
        os.close(descriptor)
    assert done.returncode == 14
    assert "fuser -vm" in sentence(done)
    assert mounted.asset("container").is_dir()
    again = attachfs("umount", mounted.path)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert mounted.process.wait() == 0


@pytest.mark.mount
def test_the_log_must_be_writable(refused: Run, token_file: Path) -> None:
    """The message says how to put it elsewhere, or to do without."""
    done = refused(XDG_STATE_HOME=str(token_file))
    assert done.returncode == 42
    for advice in (f"cannot write the log {token_file}/", "XDG_STATE_HOME", "--foreground"):
        assert advice in sentence(done)


@pytest.mark.mount
def test_the_cache_must_be_writable(refused: Run, token_file: Path) -> None:
    """It is told before the mount, not by the first large attachment."""
    done = refused("--cache-dir", token_file / "cache")
    assert done.returncode == 43
    assert f"the cache directory {token_file}/cache: Not a directory" in sentence(done)
    assert "--cache-dir" in sentence(done)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--cache-size", "lots"), "'lots' is not a size; write it like 512MiB or 10GiB"),
        (("--metadata-ttl", "soon"), "'soon' is not a duration; write it like 30s, 10m or 1h30m"),
        (("--negative-ttl", "never"), "'never' is not a duration; write it like 30s, 10m or 1h30m"),
        (("--stale-ok", "-1s"), "'-1s' is not a duration; write it like 30s, 10m or 1h30m"),
        (("--scan-policy", "none"), "is not one of 'allow', 'block-bad', 'require-ok'"),
        (("--log-level", "loud"), "is not one of 'debug', 'info', 'warning', 'error'"),
        (("--cache-dir", __file__), f"'{__file__}' is a file"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    attachfs: Run, options: tuple[str, ...], message: str
) -> None:
    """The message says what the option takes, before any file is looked at."""
    assert message in usage_error(attachfs("mount", "/nowhere", *options))


@pytest.mark.parametrize(
    ("variable", "value"),
    [("ATTACHFS_CACHE_SIZE", "lots"), ("ATTACHFS_UNTRACKED", "perhaps")],
)
def test_variables_that_make_no_sense_are_refused(attachfs: Run, variable: str, value: str) -> None:
    """The message names the variable and its value."""
    message = usage_error(attachfs("mount", "/nowhere", **{variable: value}))
    assert variable in message
    assert value in message


def test_a_public_asset_must_be_named_as_one(attachfs: Run) -> None:
    """The message shows how, before the mount point is looked at."""
    done = attachfs("mount", "/nowhere", "--public-asset", "https://app.datatrails.ai/archivist")
    assert done.returncode == 2
    assert "names no public asset; write its UUID, or its public URL like " in sentence(done)


@pytest.mark.parametrize("command", ["mount", "umount", "refresh"])
def test_an_empty_path_is_none(attachfs: Run, command: str) -> None:
    """`attachfs mount "$UNSET"` does not mount on the working directory."""
    assert "names nothing" in usage_error(attachfs(command, ""))


@pytest.mark.parametrize("command", ["mount", "umount"])
def test_a_mount_point_is_asked_for(attachfs: Run, command: str) -> None:
    """As wrong usage."""
    assert usage_error(attachfs(command)).startswith("Missing argument 'MOUNTPOINT'")
