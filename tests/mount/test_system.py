"""The system's ways to mount: mount(8), /etc/fstab, systemd; and what other users see."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support import hardening
from tests.support.mounts import PATIENCE_S, Mount, Steering
from tests.support.outcomes import outcome, until
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_NOBODY = 65534
_GENERATOR = "/usr/lib/systemd/system-generators/systemd-fstab-generator"
_UNITS = Path("docs/systemd")


class System:
    """A mount namespace of the test's own, in which `attachfs` is in /usr/bin, as a package has it.

    mount(8) looks for it there and nowhere else: it does not pass PATH on.
    """

    def __init__(self, root: Path, environment: dict[str, str]) -> None:
        programs = root / "bin"
        programs.mkdir()
        launcher = programs / "attachfs"
        kept = ("PYTHONPATH", "XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_RUNTIME_DIR", "HOME")
        exports = "".join(f"export {name}='{environment[name]}'\n" for name in kept)
        launcher.write_text(
            f"#!/bin/sh\n{exports}cd '{Path.cwd()}'\nexec '{sys.executable}' -m attachfs \"$@\"\n"
        )
        launcher.chmod(0o755)
        self._environment = environment
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sleep", "600"],
            stdin=subprocess.DEVNULL,
        )
        self._enter = ["nsenter", "--mount", f"--target={self._holder.pid}"]
        overlay = f"lowerdir={programs}:/usr/bin"
        ours, theirs = Path("/proc/self/ns/mnt"), Path(f"/proc/{self._holder.pid}/ns/mnt")
        until(lambda: ours.readlink() != theirs.readlink())
        assert self("mount", "-t", "overlay", "overlay", "-o", overlay, "/usr/bin").returncode == 0

    def __call__(self, *arguments: object) -> Done:
        """Run a program in there."""
        return subprocess.run(
            [*self._enter, *map(str, arguments)],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def end(self) -> None:
        """Let the namespace go, with all mounts in it."""
        self._holder.kill()
        self._holder.wait()


@pytest.fixture
def system(tmp_path: Path, environment: dict[str, str]) -> Iterator[System]:
    """A system in which attachfs is installed."""
    system = System(tmp_path, environment)
    try:
        yield system
    finally:
        system.end()


@pytest.fixture
def fstab(tmp_path: Path, archive: Steering, environment: dict[str, str]) -> tuple[Path, Path]:
    """A table with one archive, under the name of a profile, and its mount point."""
    configuration = Path(environment["HOME"]) / ".config" / "attachfs" / "config.toml"
    configuration.parent.mkdir(parents=True)
    configuration.write_text(f'[profiles.acme]\nurl = "{archive.url}"\n')
    configuration.chmod(0o600)
    mountpoint = tmp_path / "evidence"
    mountpoint.mkdir()
    table = tmp_path / "fstab"
    options = f"rw,defaults,noauto,_netdev,allow_other,token_file={archive.token_file},umask=007"
    table.write_text(f"acme {mountpoint} fuse.attachfs {options},x-systemd.automount 0 0\n")
    return table, mountpoint


def test_a_line_in_fstab_is_a_mount(system: System, fstab: tuple[Path, Path]) -> None:
    """By mount(8) itself, read-only and harmless whatever the line says; umount(8) ends it."""
    table, mountpoint = fstab
    done = system("mount", "--fstab", table, mountpoint)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    found = system("findmnt", "--noheadings", "--output", "SOURCE,FSTYPE,OPTIONS", mountpoint)
    source, fstype, options = found.stdout.split()
    assert (source, fstype) == ("acme", "fuse.attachfs")
    assert {"ro", "nosuid", "nodev", "noexec", "allow_other"} <= set(options.split(","))
    asset = mountpoint / "assets" / SAMPLE["asset:container"]
    done = system("sh", "-c", f"cd {asset} && sha256sum -c SHA256SUMS && stat -c %a . asset.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["550", "440"]
    assert system("touch", mountpoint / "x").returncode == 1
    assert system("umount", mountpoint).returncode == 0


def test_mount_minus_a_mounts_it_once(system: System, fstab: tuple[Path, Path]) -> None:
    """As it is known under the name that the table has."""
    table, mountpoint = fstab
    table.write_text(table.read_text().replace("noauto,", ""))
    for _ in range(2):
        done = system("mount", "--fstab", table, "--all", "--types", "fuse.attachfs")
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert system("findmnt", "--noheadings", mountpoint).stdout.count("acme") == 1
    assert system("umount", mountpoint).returncode == 0


def test_a_mistake_in_fstab_is_told_by_mount(system: System, fstab: tuple[Path, Path]) -> None:
    """In one sentence; nothing is mounted."""
    table, mountpoint = fstab
    table.write_text(table.read_text().replace("token_file", "tokenfile"))
    done = system("mount", "--fstab", table, mountpoint)
    assert done.returncode != 0
    assert "-o tokenfile is no option of attachfs; did you mean token_file?" in done.stderr
    assert system("findmnt", mountpoint).returncode == 1


def test_systemd_makes_an_automount_of_the_line(
    run: Run, fstab: tuple[Path, Path], tmp_path: Path
) -> None:
    """Its own generator reads the table; the units are without fault."""
    table, mountpoint = fstab
    units = [tmp_path / name for name in ("normal", "early", "late")]
    for unit in units:
        unit.mkdir()
    environment = os.environ | {"SYSTEMD_FSTAB": str(table)}
    done = run(_GENERATOR, *units, env=environment)
    assert done.returncode == 0, done.stderr
    escaped = run("systemd-escape", "--path", mountpoint).stdout.strip()
    mount = (units[0] / f"{escaped}.mount").read_text()
    assert "Type=fuse.attachfs\n" in mount
    assert "What=acme\n" in mount
    assert f"Where={mountpoint}\n" in (units[0] / f"{escaped}.automount").read_text()


@pytest.mark.parametrize("unit", ["attachfs@.service", "user/attachfs@.service"])
def test_the_units_are_without_fault(run: Run, tmp_path: Path, unit: str) -> None:
    """As systemd-analyze says, with an `attachfs` where they expect it."""
    text = (_UNITS / unit).read_text()
    program = tmp_path / "attachfs"
    program.symlink_to(sys.executable)
    text = text.replace("ExecStart=/usr/bin/attachfs", f"ExecStart={program}")
    text = text.replace("ExecStart=attachfs", f"ExecStart={program}")
    text = "".join(line for line in text.splitlines(keepends=True) if "Documentation" not in line)
    copy = tmp_path / "attachfs@.service"
    copy.write_text(text)
    user = ["--user"] if unit.startswith("user/") else []
    done = run(
        "systemd-analyze",
        *user,
        "verify",
        "--man=no",
        copy,
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert str(copy) not in done.stderr, done.stderr
    assert "Type=notify\n" in text


def test_the_systems_unit_keeps_its_mount_visible() -> None:
    """No option gives it a mount namespace, whose mounts stay there (systemd.exec(5))."""
    names = {name for name, _ in hardening.options(_UNITS / "attachfs@.service")}
    assert not names & {
        *("PrivateMounts", "PrivateTmp", "PrivateDevices", "PrivateIPC", "PrivateUsers"),
        *("ProtectSystem", "ProtectHome", "ProtectProc", "ProcSubset", "ProtectControlGroups"),
        *("ProtectKernelTunables", "ProtectKernelModules", "ProtectKernelLogs", "MountFlags"),
        *("ProtectHostname", "ReadWritePaths", "ReadOnlyPaths", "InaccessiblePaths", "BindPaths"),
        *("ExecPaths", "NoExecPaths", "TemporaryFileSystem", "RootDirectory", "DynamicUser"),
    }


def test_the_users_unit_can_run_fusermount() -> None:
    """No option takes new privileges away, which the setuid bit of fusermount3 gives.

    In a unit of a user, every filter of system calls does (systemd.exec(5), NoNewPrivileges).
    """
    names = {name for name, _ in hardening.options(_UNITS / "user" / "attachfs@.service")}
    assert not {name for name in names if name.startswith(("Restrict", "SystemCall", "Protect"))}
    assert not names & {
        *("NoNewPrivileges", "LockPersonality", "MemoryDenyWriteExecute", "DynamicUser"),
        *("CapabilityBoundingSet", "PrivateUsers", "PrivateTmp", "PrivateDevices"),
    }


def test_the_systems_unit_is_hardened(run: Run, tmp_path: Path) -> None:
    """As systemd-analyze judges it; 9.4 is what a unit without hardening has."""
    copy = tmp_path / "attachfs@.service"
    copy.write_text((_UNITS / "attachfs@.service").read_text())
    done = run("systemd-analyze", "security", "--offline=true", "--threshold=45", copy)
    assert done.returncode == 0, done.stdout


def test_a_hardened_mount_works(mount: Callable[..., Mount], attachfs: Run) -> None:
    """With the capabilities, system calls and sockets that the system's unit leaves it."""
    program = hardening.RESTRICTED.format(unit=str(_UNITS / "attachfs@.service"))
    mounted = mount("--allow-other", program=("-c", program))
    status = Path(f"/proc/{mounted.process.pid}/status").read_text()
    assert "CapEff:\t0000000000200000\n" in status
    assert "NoNewPrivs:\t1\n" in status
    assert "Seccomp:\t2\n" in status
    asset = mounted.asset("container")
    assert (asset / SAMPLE["blob:container-photo"]).read_bytes()
    assert os.getxattr(asset / SAMPLE["blob:container-photo"], "user.archivist.verified_by")
    assert len(list((mounted.path / "by-name").iterdir())) > 1
    assert attachfs("status", mounted.path).returncode == 0
    assert attachfs("verify", asset).returncode in {0, 1}
    assert attachfs("refresh", mounted.path).returncode == 0
    assert attachfs("umount", mounted.path).returncode == 0
    assert mounted.process.wait(PATIENCE_S) == 0


def test_systemd_is_told_when_the_mount_is_there_and_when_it_ends(
    mount: Callable[..., Mount], tmp_path: Path
) -> None:
    """As sd_notify(3) has it: READY once it answers, STOPPING before it goes."""
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(PATIENCE_S)
        mounted = mount(NOTIFY_SOCKET=address)
        ready = listener.recv(4096).decode().splitlines()
        assert ready[0] == "READY=1"
        assert ready[1].startswith("STATUS=http://")
        assert mounted.end() == 0
        assert listener.recv(4096) == b"STOPPING=1"


def test_a_notify_socket_that_is_none_is_no_matter(mount: Callable[..., Mount]) -> None:
    """The mount is there all the same."""
    assert mount(NOTIFY_SOCKET="/nowhere").asset("container").is_dir()


@pytest.fixture
def public_directory() -> Iterator[Path]:
    """A directory that everybody may look into, which those of pytest are not."""
    with TemporaryDirectory() as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


def test_others_see_nothing_unless_they_may(
    mount: Callable[..., Mount], run: Run, public_directory: Path
) -> None:
    """Then as far as modes allow; files seem to belong to whom the options say."""
    mountpoints = [public_directory / name for name in ("alone", "shared", "open")]
    for path in mountpoints:
        path.mkdir()
    alone = mount(on=mountpoints[0])
    options = ("--allow-other", "--uid", "daemon", "--gid", "1234", "--umask", "007")
    shared = mount(*options, on=mountpoints[1])
    open_to_all = mount("--allow-other", on=mountpoints[2])
    as_nobody = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    member = ("setpriv", f"--reuid={_NOBODY}", "--regid=1234", "--clear-groups")
    for mounted, who, works in (
        (alone, as_nobody, False),
        (shared, as_nobody, False),
        (shared, member, True),
        (open_to_all, as_nobody, True),
    ):
        record = mounted.asset("container") / "asset.json"
        assert (run(*who, "cat", record).returncode == 0) is works, (mounted.path, who)
    status = (shared.asset("container") / "asset.json").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (1, 1234, 0o440)
    assert shared.path.stat().st_mode & 0o777 == 0o550
    assert outcome(lambda: (shared.path / "x").write_bytes(b"")) == "EROFS"
    for mounted in (alone, shared, open_to_all):
        assert mounted.end() == 0


def test_a_user_who_may_not_share_is_told_so(
    run: Run, public_directory: Path, environment: dict[str, str]
) -> None:
    """Before anything is asked, with what an administrator would have to do."""
    fuse_conf = Path("/etc/fuse.conf").read_text()
    assert "\nuser_allow_other" not in fuse_conf
    mountpoint = public_directory / "mnt"
    mountpoint.mkdir(mode=0o755)
    user = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
    if run(*user, sys.executable, "-c", "pass").returncode:
        pytest.skip("this Python is in a directory that other users cannot read")
    done = run(
        *user, sys.executable, "-m", "attachfs", "mount", mountpoint, "--public", "--allow-other",
        env=environment | {"HOME": str(mountpoint)},
    )  # fmt: skip
    assert done.returncode == 42
    assert "user_allow_other" in done.stderr
