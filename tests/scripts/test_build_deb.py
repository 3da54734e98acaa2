"""The Debian package: how it is built, and what is in it."""

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from tests.support.debian import SLOWLY_S, built_package, said

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts/build-deb"
PRIVATE = "usr/lib/attachfs"
PARTS = ["attachfs", "docs", "pyproject.toml", "CHANGELOG.md", "LICENSE", "README.md"]
PARTS += ["scripts/build-deb", "scripts/common", "scripts/locks"]

pytestmark = pytest.mark.timeout(SLOWLY_S)  # dependencies may have to be compiled


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, built from this checkout."""
    return built_package(tmp_path_factory)


@pytest.fixture(scope="module")
def members(package: Path) -> dict[str, tarfile.TarInfo]:
    """What the package would unpack, by name."""
    with files(package) as archive:
        return {member.name.removeprefix("./"): member for member in archive}


@contextmanager
def files(package: Path) -> Iterator[tarfile.TarFile]:
    """The files of a package, as an archive."""
    with TemporaryFile() as unpacked:  # 40 MB
        subprocess.run(["dpkg-deb", "--fsys-tarfile", package], stdout=unpacked, check=True)
        unpacked.seek(0)
        with tarfile.open(fileobj=unpacked) as archive:
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


def test_the_package_is_named_for_version_and_architecture(package: Path) -> None:
    """Both stand in its name and in its control file; it is all that is left where it was put."""
    version = said("dpkg-deb", "--field", package, "Version").strip()
    architecture = said("dpkg", "--print-architecture").strip()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()
    assert package.name == f"attachfs_{version}_{architecture}.deb"
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


def test_no_file_names_where_it_was_built(package: Path) -> None:
    """Neither the checkout nor a temporary directory is told, by notes of pip or by compilers."""
    traces = [os.fsencode(path) for path in (ROOT, package.parent, Path("/tmp/attachfs-deb"))]  # noqa: S108
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


def test_another_checkout_at_another_time_makes_the_same_package(
    package: Path, members: dict[str, tarfile.TarInfo], tmp_path: Path
) -> None:
    """Elsewhere, without history, under another umask and time zone: the same bytes."""
    copy = tmp_path / "a copy"
    for part in PARTS:
        (copy / part).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part)
        else:
            shutil.copy(ROOT / part, copy / part)
    (copy / "build").symlink_to(ROOT / "build")
    second = copy / "dist" / package.name
    printed = said(
        *("sh", "-c", 'umask 077 && exec "$0"', copy / "scripts/build-deb"),
        SOURCE_DATE_EPOCH=str(members[PRIVATE].mtime),
        TZ="Asia/Tokyo",
    )
    assert printed == f"{second}\n"
    assert second.read_bytes() == package.read_bytes()
