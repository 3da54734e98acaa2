"""The Debian package: what is in it, and what it does on a system that has nothing else.

That system is made by debootstrap, of the release this machine runs, from where this machine gets
its packages. It is on a tmpfs in namespaces of its own, and with the process that holds those,
whatever becomes of the tests, all that runs in it and all that is mounted in it ends.
"""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import PATIENCE_S

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/build-deb"
PRIVATE = "usr/lib/attachfs"
PARTS = ["attachfs", "docs", "pyproject.toml", "CHANGELOG.md", "LICENSE", "README.md"]
PARTS += ["scripts/build-deb", "scripts/common", "scripts/locks"]

_SLOWLY_S = 600.0  # for downloads and compilers; only a failure waits that long


def said(*command: object, **environment: str) -> str:
    """What a program that succeeds prints; of one that fails, all it says."""
    done = subprocess.run(
        [str(word) for word in command],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_SLOWLY_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@contextmanager
def started(*command: object, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a program beside the block, which it does not outlive; what it says is one text."""
    with subprocess.Popen(
        [str(word) for word in command],
        env=os.environ | environment,
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


def ended(process: subprocess.Popen[str]) -> str:
    """What a program said that was started and has succeeded."""
    output, _ = process.communicate(timeout=_SLOWLY_S)
    assert process.returncode == 0, f"{process.args!r}: {output}"
    return output


@dataclass
class System:
    """A root directory in namespaces of its own."""

    holder: subprocess.Popen[str]
    root: Path
    mirror: str
    proxy: dict[str, str]

    @property
    def seen(self) -> Path:
        """The root directory as it is seen from here."""
        return Path(f"/proc/{self.holder.pid}/root") / self.root.relative_to("/")

    @property
    def enter(self) -> list[str]:
        """What runs the program named after it in the namespaces."""
        namespaces = f"/proc/{self.holder.pid}/ns"
        return [
            "nsenter",
            f"--mount={namespaces}/mnt",
            f"--pid={namespaces}/pid_for_children",
        ]

    @property
    def inside(self) -> list[str]:
        """What runs the program named after it as if this were all there is."""
        variables = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C.UTF-8",
            "DEBIAN_FRONTEND": "noninteractive",
            **self.proxy,
        }
        words = [f"{name}={value}" for name, value in variables.items()]
        return [*self.enter, "chroot", str(self.root), "env", "--ignore-environment", *words]

    def run(self, *command: object) -> str:
        """What a program of this system prints, which succeeds."""
        return said(*self.inside, *command)

    def paths(self) -> set[Path]:
        """All there is where programs might leave something."""
        return {
            path
            for top in ("home", "mnt", "root", "tmp", "usr", "var")
            for path in (self.seen / top).rglob("*")
        }

    def apt_get(self, *words: str) -> str:
        """What apt says, asked to do something."""
        options = ["-o", "Acquire::https::CAInfo=/run/authorities.pem"]
        return self.run("apt-get", "--yes", "--no-install-recommends", *options, *words)


def configured_mirror() -> tuple[str, str]:
    """The release of this machine, and where apt is set up to get it from."""
    release = re.search(
        r"^VERSION_CODENAME=(\S+)$", Path("/etc/os-release").read_text(), re.MULTILINE
    )
    assert release
    form = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    targets = said("apt-get", "indextargets", "--format", form, "Created-By: Packages")
    for target in targets.splitlines():
        address, suite, component = target.split()
        if (suite, component) == (release[1], "main"):
            return release[1], address
    pytest.fail(f"apt is not set up to get the packages of {release[1]}:\n{targets}")


def configured_proxies() -> dict[str, str]:
    """By which proxies apt is set up to go, as other programs take it."""
    found = {}
    for scheme in ("http", "https"):
        value = said("apt-config", "dump", "--format", "%v%n", f"Acquire::{scheme}::Proxy").strip()
        value = value or os.environ.get(f"{scheme}_proxy", "")
        if value and value != "DIRECT":
            found[f"{scheme}_proxy"] = value
    return found


@pytest.fixture(scope="module")
def scratch() -> Iterator[Path]:
    """A directory that goes when the tests have run."""
    with TemporaryDirectory(prefix="attachfs-deb-") as directory:
        yield Path(directory)


@pytest.fixture(scope="module")
def rising(scratch: Path) -> Iterator[tuple[System, subprocess.Popen[str]]]:
    """A system, and the debootstrap that makes it meanwhile."""
    release, mirror = configured_mirror()
    root = scratch / "root"
    root.mkdir()
    hold = 'mount -t tmpfs -o mode=755 tmpfs "$0" && echo made && exec cat'
    with subprocess.Popen(
        [
            *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("sh", "-c", hold, root),
        ],
        stdin=subprocess.PIPE,  # closed by its end, by ours at the latest: then cat ends, and all
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "made\n", "namespaces and a tmpfs are root's to make"
        system = System(holder, root, mirror, configured_proxies())
        command = [*system.enter, "debootstrap", "--variant=minbase", release, root, mirror]
        with started(*command, DEBIAN_FRONTEND="noninteractive", **system.proxy) as making:
            try:
                yield system, making
            finally:
                holder.kill()  # and --kill-child kills the first process there, thus all of them


@pytest.fixture(scope="module")
def package(scratch: Path, rising: tuple[System, subprocess.Popen[str]]) -> Path:
    """The package, built of this checkout while the system is made that it is for."""
    assert rising
    return Path(said(SCRIPT, scratch / "out").removesuffix("\n"))


@pytest.fixture(scope="module")
def members(package: Path) -> dict[str, tarfile.TarInfo]:
    """What the package would unpack, by name."""
    with files(package) as archive:
        return {member.name.removeprefix("./"): member for member in archive}


@pytest.fixture(scope="module")
def again(
    scratch: Path, package: Path, members: dict[str, tarfile.TarInfo]
) -> Iterator[subprocess.Popen[str]]:
    """A second build, under way, of a copy elsewhere of this checkout without its history."""
    copy = scratch / "a copy"
    for part in PARTS:
        (copy / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part)
        else:
            shutil.copy(ROOT / part, copy / part)
    (copy / "build").symlink_to(ROOT / "build")
    assert package.is_file()
    epoch = str(members[PRIVATE].mtime)
    with started(copy / "scripts/build-deb", SOURCE_DATE_EPOCH=epoch) as building:
        yield building


@pytest.fixture(scope="module")
def system(
    package: Path,
    rising: tuple[System, subprocess.Popen[str]],
    again: subprocess.Popen[str],
) -> System:
    """A minimal system on which apt has installed the package, and what it depends on."""
    assert again.pid
    system, making = rising
    ended(making)
    seen = system.seen
    (seen / "etc/dpkg/dpkg.cfg.d/unsafe").write_text("force-unsafe-io\n")
    (seen / "dev/fuse").touch()
    for kind, source, target in [
        ("--types=proc", "proc", "proc"),
        ("--types=tmpfs", "tmpfs", "run"),
        ("--bind", "/dev/fuse", "dev/fuse"),
    ]:
        said(*system.enter, "mount", kind, source, system.root / target)
    if system.mirror.startswith("https:"):  # which is before there are ca-certificates there
        shutil.copy("/etc/ssl/certs/ca-certificates.crt", seen / "run/authorities.pem")
    shutil.copy(package, seen / package.name)
    system.apt_get("install", f"/{package.name}")
    (seen / package.name).unlink()
    return system


@contextmanager
def files(package: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package, as an archive."""
    done = subprocess.run(
        ["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE, check=True
    )
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        yield archive


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_says_how_to_build(flag: str) -> None:
    """Asked for help, the script prints its usage and does nothing."""
    assert said(SCRIPT, flag).startswith("Usage: scripts/build-deb [DIR]\n")


@pytest.mark.parametrize("arguments", [["--fast"], ["here", "there"], [""]])
def test_what_is_no_directory_is_refused(arguments: list[str], tmp_path: Path) -> None:
    """Arguments that cannot be meant are a usage error, before anything is done."""
    done = subprocess.run(
        [SCRIPT, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")
    assert list(tmp_path.iterdir()) == []


def test_the_package_is_named_for_version_and_architecture(package: Path, scratch: Path) -> None:
    """Both stand in its name and in its control file; it is all that is left where it was put."""
    version = said("dpkg-deb", "--field", package, "Version").strip()
    architecture = said("dpkg", "--print-architecture").strip()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert package == scratch / f"out/attachfs_{version}_{architecture}.deb"
    assert list(package.parent.iterdir()) == [package]


def test_it_depends_on_what_it_was_compiled_for_and_needs(package: Path) -> None:
    """Python is of the minor version it was built by, libfuse of the one it is linked with."""
    depends = said("dpkg-deb", "--field", package, "Depends").strip().split(", ")
    told = said("/usr/bin/python3", "-Ic", "import sys; print(*sys.version_info[:2])").split()
    major, minor = (int(number) for number in told)
    assert depends[:4] == [
        f"python3 (>= {major}.{minor})",
        f"python3 (<< {major}.{minor + 1})",
        "fuse3",
        "ca-certificates",
    ]
    assert any(re.fullmatch(r"libfuse3-\d+ \(>= [\d.]+\)", name) for name in depends), depends
    assert said("dpkg-deb", "--field", package, "Recommends").strip() == ""


def test_only_the_program_is_on_the_path(members: dict[str, tarfile.TarInfo]) -> None:
    """No program of a dependency is, nor does anything lie where others have their modules."""
    programs = [name for name, member in members.items() if member.isfile() and member.mode & 0o111]
    assert programs == ["usr/bin/attachfs"]
    assert not [name for name in members if "dist-packages" in name or "/bin/" in name[4:]]


def test_files_are_roots_with_plain_modes_and_of_one_time(
    members: dict[str, tarfile.TarInfo],
) -> None:
    """Who builds, when and with which umask leaves no trace."""
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert {member.mode & 0o7777 for member in members.values()} == {0o755, 0o644}
    times = {member.mtime for member in members.values()}
    if (ROOT / ".git").exists():
        assert times == {int(said("git", "-C", ROOT, "log", "-1", "--format=%ct"))}
    assert len(times) == 1


def test_no_file_names_where_it_was_built(package: Path, scratch: Path) -> None:
    """Neither the checkout nor a temporary directory is told, by notes of pip or by compilers."""
    traces = [os.fsencode(path) for path in (ROOT, scratch, Path("/tmp/attachfs-deb"))]  # noqa: S108
    with files(package) as archive:
        for member in archive:
            file = archive.extractfile(member)
            content = file.read() if file else b""
            assert not [trace for trace in traces if trace in content], member.name
            assert Path(member.name).name not in ("RECORD", "INSTALLER", "direct_url.json")


def test_every_module_is_compiled_for_good(package: Path) -> None:
    """No run has to look whether a source has changed, or to write below /usr."""
    with files(package) as archive:
        names = {name.removeprefix("./") for name in archive.getnames()}
        sources = [Path(x) for x in names if x.startswith(PRIVATE) and x.endswith(".py")]
        assert Path(PRIVATE, "attachfs/__main__.py") in sources
        tag = said("/usr/bin/python3", "-Ic", "import sys; print(sys.implementation.cache_tag)")
        for source in sources:
            compiled = source.parent / "__pycache__" / f"{source.stem}.{tag.strip()}.pyc"
            file = archive.extractfile(f"./{compiled}")
            assert file
            assert file.read(8)[4:] == b"\x01\0\0\0"  # unchecked: PEP 552


def test_what_comes_with_the_program_is_where_others_look_for_it(
    members: dict[str, tarfile.TarInfo],
) -> None:
    """Manual pages, completions, units, license and changes are packaged, as many as there are."""
    docs = ROOT / "docs"
    share = "usr/share"
    expected = {f"{share}/doc/attachfs/copyright", f"{share}/doc/attachfs/changelog.gz"}
    expected |= {f"lib/systemd/system/{x.name}" for x in (docs / "systemd").glob("*.service")}
    expected |= {f"usr/lib/systemd/user/{x.name}" for x in (docs / "systemd/user").iterdir()}
    for page in docs.glob("man/*"):
        expected.add(f"{share}/man/man{page.suffix[1:]}/{page.name}.gz")
    shells = {
        "attachfs.bash": "bash-completion/completions/attachfs",
        "_attachfs": "zsh/vendor-completions/_attachfs",
        "attachfs.fish": "fish/vendor_completions.d/attachfs.fish",
    }
    expected |= {f"{share}/{shells[x.name]}" for x in docs.glob("completions/*")}
    assert f"{PRIVATE}/attachfs" in members
    assert f"{PRIVATE}/share" not in members
    private = (f"{PRIVATE}/", "usr/bin/")
    assert expected == {
        name for name, member in members.items() if member.isfile() and not name.startswith(private)
    }


@pytest.mark.mount
def test_the_installed_program_runs(system: System) -> None:
    """It knows its version, and says how it is used."""
    version = system.run("dpkg-query", "--show", "--showformat", "${Version}", "attachfs")
    assert system.run("attachfs", "--version") == f"attachfs {version}\n"
    assert system.run("attachfs", "--help").startswith("Usage: attachfs ")


@pytest.mark.mount
def test_nobody_else_decides_what_it_imports(system: System) -> None:
    """Modules of a user, a variable, the machine's administrator or where one is are not found."""
    local = said(
        "/usr/bin/python3", "-Ic", "import sys; print('python%d.%d' % sys.version_info[:2])"
    )
    strange = ["srv/strange", f"root/.local/lib/{local.strip()}/site-packages"]
    strange += [f"usr/local/lib/{local.strip()}/dist-packages", "usr/lib/python3/dist-packages"]
    with ExitStack() as stack:
        for directory in strange:
            path = system.seen / directory
            path.mkdir(parents=True, exist_ok=True)
            for module in ("attachfs", "click", "json", "sitecustomize", "usercustomize"):
                file = path / f"{module}.py"
                assert not file.exists()
                stack.callback(file.unlink)
                file.write_text("raise SystemExit(f'imported {__file__}')\n")
        run = f'cd /{strange[0]} && "$@"'
        variables = ["env", f"PYTHONPATH=/{strange[0]}", f"PYTHONHOME=/{strange[0]}"]
        system.run("sh", "-c", "! python3 -c pass 2>/dev/null")
        assert "attachfs" in system.run("sh", "-c", run, "sh", *variables, "attachfs", "--version")


@pytest.mark.mount
def test_a_demonstration_is_mounted_read_and_taken_down(system: System) -> None:
    """Programs of the system read and verify files, until a signal ends it; nothing is left."""
    before = system.paths()
    mountpoint = "/mnt/evidence"
    asset = f"{mountpoint}/assets/{SAMPLE['asset:container']}"
    # The shell tells the number of the process that the program then is.
    command = ["sh", "-c", 'echo $$; exec attachfs demo "$0"', mountpoint]
    with started(*system.inside, *command) as demo:
        assert demo.stdout
        watchdog = threading.Timer(PATIENCE_S, demo.kill)
        watchdog.start()
        try:
            number = demo.stdout.readline().strip()
            told = [demo.stdout.readline() for _ in range(3)]
            assert told[1] == f"A sample archive is mounted on {mountpoint}\n", told

            assert f"{mountpoint} fuse" in system.run("cat", "/proc/self/mounts")
            verified = system.run("sh", "-c", f"cd {asset} && sha256sum -c SHA256SUMS")
            assert re.fullmatch(r"(\S+: OK\n)+", verified)
            record = json.loads(system.run("cat", f"{asset}/asset.json"))
            assert record["identity"] == f"assets/{SAMPLE['asset:container']}"

            system.run("sh", "-c", f"kill -TERM {number}")
            rest, _ = demo.communicate(timeout=PATIENCE_S)
        finally:
            watchdog.cancel()
    assert demo.returncode == 0, rest
    assert "Traceback" not in rest
    assert mountpoint not in system.run("cat", "/proc/self/mounts")
    assert system.paths() == before


@pytest.mark.mount
def test_a_purge_leaves_nothing(system: System) -> None:
    """Neither files of the package nor any it made are there afterwards."""
    found = ["find", "/", "-xdev", "-name", "*attachfs*"]
    assert f"/{PRIVATE}\n" in system.run(*found)
    system.apt_get("purge", "attachfs")
    assert system.run(*found) == ""


def test_the_same_checkout_makes_the_same_package(
    package: Path, again: subprocess.Popen[str]
) -> None:
    """Built elsewhere and later, it is the same to the last byte."""
    second = Path(ended(again).splitlines()[-1])
    assert second.name == package.name
    assert second.parent.parent.name == "a copy"
    assert second.read_bytes() == package.read_bytes()
