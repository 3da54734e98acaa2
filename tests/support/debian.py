"""A minimal Debian system in namespaces of its own, to install packages on.

It has what mmdebstrap installs by default, the packages that a test asks for, and nothing else. It
is of the release that this machine runs, from where apt on this machine gets its packages. To make
one takes 18 s of CPU, to unpack it 0.3 s; therefore the user's cache directory keeps the last one,
210 MB.

The system is on a tmpfs, below a process in a PID namespace and a mount namespace. When that
process ends, however the tests end, the kernel ends all processes in it and removes all its mounts.
"""

import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs
import pytest

from tests.support.sessions import locked, made_once

_SCRIPT: Final = Path(__file__).parents[2] / "scripts/build-deb"
SLOWLY_S: Final = 600.0  # for downloads and compilers; only a failure takes that long
_OPTIONS: Final = ("--mode=root", "--variant=apt", "--format=tar", "--dpkgopt=force-unsafe-io")
_DEVICES: Final = ("fuse", "full", "null", "random", "urandom", "zero")


def said(*command: object, cwd: Path | None = None, **environment: str) -> str:
    """Return what a program prints that succeeds; where it fails, show all its output."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SLOWLY_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def started(*command: object) -> Iterator[subprocess.Popen[str]]:
    """Run a program during the block, with its output and errors in one pipe."""
    with subprocess.Popen(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


@dataclass
class System:
    """A root directory in namespaces of its own."""

    holder: subprocess.Popen[str]
    root: Path

    @property
    def seen(self) -> Path:
        """The root directory as this process reaches it."""
        return Path(f"/proc/{self.holder.pid}/root") / self.root.relative_to("/")

    @property
    def enter(self) -> list[str]:
        """The command that runs the program after it in the namespaces."""
        namespaces = f"/proc/{self.holder.pid}/ns"
        return [
            "nsenter",
            f"--mount={namespaces}/mnt",
            f"--pid={namespaces}/pid_for_children",
        ]

    @property
    def inside(self) -> list[str]:
        """The command that runs the program after it on this system."""
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        return [*self.enter, "chroot", str(self.root), "env", "--ignore-environment", *words]

    def run(self, *command: object) -> str:
        """Return what a program of this system prints, which succeeds."""
        return said(*self.inside, *command)

    def paths(self) -> set[Path]:
        """Return all paths below the directories that programs write to."""
        return {
            path
            for top in ("home", "mnt", "root", "tmp", "usr", "var")
            for path in (self.seen / top).rglob("*")
        }

    def packages(self) -> set[str]:
        """Return the names of the installed packages."""
        return set(self.run("dpkg-query", "--show", "--showformat", "${Package}\n").split())

    def apt_get(self, *words: str) -> str:
        """Return what apt prints, which succeeds."""
        return self.run("apt-get", "--yes", "--no-install-recommends", *words)


def built_package(factory: pytest.TempPathFactory) -> Path:
    """Return the package that scripts/build-deb makes of this checkout, once in a test session."""
    _, printed = made_once(factory, "debian-package", lambda out: said(_SCRIPT, out))
    return Path(printed.removesuffix("\n"))


@contextmanager
def system_with(packages: Iterable[str]) -> Iterator[System]:
    """Offer a minimal system with these packages and what they depend on; needs root."""
    archive = _archive(sorted(packages))
    with tempfile.TemporaryDirectory(prefix="attachfs-system-") as directory:
        root = Path(directory)
        hold = 'mount -t tmpfs -o mode=755 tmpfs "$0" && echo made && exec cat'
        with subprocess.Popen(
            [
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", hold, root),
            ],
            stdin=subprocess.PIPE,  # this process closes it at its end at the latest: then cat ends
            stdout=subprocess.PIPE,
            text=True,
        ) as holder:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "made\n", "only root can make namespaces and a tmpfs"
            system = System(holder, root)
            try:
                _unpack(archive, system)
                yield system
            finally:
                holder.kill()  # --kill-child then kills the first process in there, so all of them


def _unpack(archive: Path, system: System) -> None:
    # As in a container, devices are those of this machine: not every root may make some.
    said(*system.enter, "tar", "-x", "-C", system.root, "--exclude=./dev/*", "-f", archive)
    mounts = [("--types=proc", "proc", "proc"), ("--types=tmpfs", "tmpfs", "run")]
    for device in _DEVICES:
        (system.seen / "dev" / device).touch()
        mounts.append(("--bind", f"/dev/{device}", f"dev/{device}"))
    for kind, source, target in mounts:
        said(*system.enter, "mount", kind, source, system.root / target)


def _archive(packages: list[str]) -> Path:
    """Return a tar file of a system with these packages, as the mirror has them now."""
    release, mirror = _configured_mirror()
    command = ["mmdebstrap", "--quiet", *_OPTIONS, f"--include={','.join(packages)}", release, "-"]
    command.append(f"deb {mirror} {release} main")
    told = hashlib.sha256("\0".join(command).encode())
    # It has the hashes of all other files of the release, and so changes with any of them.
    told.update(_downloaded(f"{mirror}/dists/{release}/InRelease"))
    cache = platformdirs.user_cache_path("attachfs-tests", ensure_exists=True)
    archive = cache / f"system-{told.hexdigest()[:16]}.tar"
    with locked(cache / "system.lock"):
        if not archive.exists():
            for stale in cache.glob("system-*"):
                stale.unlink()
            unfinished = archive.with_suffix(".unfinished")
            with unfinished.open("wb") as output:
                done = subprocess.run(
                    command,
                    env=os.environ | _configured_proxies(),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    text=True,
                    timeout=SLOWLY_S,
                    check=False,
                )
            assert done.returncode == 0, f"{command}: {done.stderr}"
            unfinished.rename(archive)
    return archive


def _downloaded(url: str) -> bytes:
    """Return a file of a mirror, which apt gets the way it gets packages."""
    with tempfile.TemporaryDirectory(prefix="attachfs-mirror-") as directory:
        file = Path(directory) / "file"
        said("/usr/lib/apt/apt-helper", "download-file", url, file)
        return file.read_bytes()


def _configured_mirror() -> tuple[str, str]:
    """Return the release of this machine, and the URL where apt gets it from."""
    release = re.search(
        r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(), re.MULTILINE
    )
    assert release
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = said("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    for target in targets.splitlines():
        address, suite, component = target.split()
        if (suite, component) == (release[1], "main"):
            return release[1], address.rstrip("/")
    pytest.fail(f"apt is not set up to get the packages of {release[1]}:\n{targets}")


def _configured_proxies() -> dict[str, str]:
    """Return the proxies of apt's configuration, as environment variables."""
    found = {}
    for scheme in ("http", "https"):
        value = said("apt-config", "dump", "--format", "%v%n", f"Acquire::{scheme}::Proxy").strip()
        if value and value != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found
