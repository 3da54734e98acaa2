"""The source distribution and the wheel: what is in them, and what an installation has.

They are built of a copy, as building leaves things behind, with the locked setuptools and without
a network.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mounts import bare_environment

ROOT = Path(__file__).parents[2]
_PATIENCE_S = 120.0  # for what takes a few seconds; only a failure waits that long

# Where they belong below the prefix of an installation, and where they are kept.
_SHARED = {
    "share/man/man1/attachfs.1": "docs/man/attachfs.1",
    "share/man/man5/attachfs.toml.5": "docs/man/attachfs.toml.5",
    "share/bash-completion/completions/attachfs.bash": "docs/completions/attachfs.bash",
    "share/zsh/site-functions/_attachfs": "docs/completions/_attachfs",
    "share/fish/vendor_completions.d/attachfs.fish": "docs/completions/attachfs.fish",
}


def _said(*command: object, cwd: Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _tracked() -> list[str]:
    """Return every file of the checkout, also those that are to be added."""
    listing = _said(
        *("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"), cwd=ROOT
    )
    return [name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def _version() -> str:
    version: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    return version


@dataclass(frozen=True)
class Built:
    """A source distribution, and the wheel that was built of it."""

    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Both, as they would be published."""
    scratch = tmp_path_factory.mktemp("packages")
    checkout, out = scratch / "checkout", scratch / "out"
    for name in _tracked():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, checkout / name)
    build = f"import setuptools.build_meta as backend; backend.build_sdist({str(out)!r})"
    out.mkdir()
    _said(sys.executable, "-c", build, cwd=checkout)
    (source,) = out.iterdir()
    pip = (sys.executable, "-m", "pip", "--quiet", "wheel", "--no-build-isolation", "--no-index")
    _said(*pip, "--no-deps", "--wheel-dir", out, source, cwd=scratch)
    (wheel,) = out.glob("*.whl")
    return Built(source, wheel)


@pytest.fixture(scope="module")
def in_source(built: Built) -> set[str]:
    """The names of the files in the source distribution."""
    with tarfile.open(built.source) as archive:
        return {member.name.partition("/")[2] for member in archive if member.isfile()}


@pytest.fixture(scope="module")
def in_wheel(built: Built) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(built.wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def prefix(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed; what it imports is taken from here."""
    prefix = tmp_path_factory.mktemp("installed") / "prefix"
    _said(sys.executable, "-m", "venv", "--without-pip", prefix, cwd=prefix.parent)
    python = prefix / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", python, "install", "--no-index")
    _said(*pip, "--no-deps", built.wheel, cwd=prefix.parent)
    # A directory named in a .pth is searched, but its own .pth files, as of this checkout, are not.
    (packages,) = prefix.glob("lib/python3*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return prefix


def test_they_are_named_for_the_version(built: Built) -> None:
    """For any Python of ours, on any machine."""
    assert built.source.name == f"attachfs-{_version()}.tar.gz"
    assert built.wheel.name == f"attachfs-{_version()}-py3-none-any.whl"


def test_the_version_stands_in_one_place() -> None:
    """In pyproject.toml: the program asks its installation."""
    stating = re.compile(rf"(?<![\d.]){re.escape(_version())}(?![\d.])")
    names = [name for name in _tracked() if name.startswith("attachfs/")]
    assert names
    assert [name for name in names if stating.search((ROOT / name).read_text())] == []


def test_the_package_is_whole(in_source: set[str], in_wheel: set[str]) -> None:
    """Every module, and that it is typed; in both."""
    modules = {
        name
        for name in _tracked()
        if name.startswith("attachfs/") and name.endswith((".py", ".html", ".css", ".js", ".typed"))
    }
    assert "attachfs/py.typed" in modules
    assert modules <= in_source
    assert {name for name in in_wheel if name.startswith("attachfs/")} == modules


@pytest.mark.parametrize("kind", ["in_source", "in_wheel"])
def test_no_tests_and_no_tools_are_in_them(kind: str, request: pytest.FixtureRequest) -> None:
    """Nor any of the checkout's other files."""
    names: set[str] = request.getfixturevalue(kind)
    parts = {part for name in names for part in Path(name).parts}
    assert not [part for part in parts if part.startswith("test")]
    assert not [name for name in names if name.startswith((".", "scripts", "build", "dist"))]


def test_licence_and_description_are_in_them(built: Built, in_source: set[str]) -> None:
    """The description is the README."""
    assert {"LICENSE", "README.md", "pyproject.toml"} <= in_source
    with zipfile.ZipFile(built.wheel) as archive:
        about = f"attachfs-{_version()}.dist-info"
        license_text = archive.read(f"{about}/licenses/LICENSE").decode()
        metadata = archive.read(f"{about}/METADATA").decode()
    assert license_text == (ROOT / "LICENSE").read_text()
    assert metadata.partition("\n\n")[2].startswith("# attachfs\n")
    assert "License-Expression: MIT\n" in metadata


def test_manual_pages_and_completions_are_in_them(in_source: set[str], in_wheel: set[str]) -> None:
    """All that are kept here, the wheel's below what will be the prefix."""
    kept = {name for name in _tracked() if name.startswith(("docs/man/", "docs/completions/"))}
    assert kept == set(_SHARED.values())
    assert kept <= in_source
    data = f"attachfs-{_version()}.data/data/"
    placed = {name.removeprefix(data) for name in in_wheel if name.startswith(data)}
    assert placed == set(_SHARED)


def test_an_installation_runs(prefix: Path, tmp_path: Path) -> None:
    """It is itself that is imported, and knows its version."""
    environment = bare_environment(tmp_path)
    del environment["PYTHONPATH"]
    program = prefix / "bin" / "attachfs"
    assert _said(program, "--version", cwd=tmp_path, environment=environment) == (
        f"attachfs {_version()}\n"
    )
    where = "import attachfs, trio; print(attachfs.__file__)"
    found = _said(prefix / "bin/python", "-c", where, cwd=tmp_path, environment=environment)
    assert Path(found.strip()).is_relative_to(prefix)


def test_an_installation_has_them_where_others_look(prefix: Path) -> None:
    """Below the directory above that of the program, where man and shells find them."""
    for place, kept in _SHARED.items():
        assert (prefix / place).read_bytes() == (ROOT / kept).read_bytes()


@pytest.mark.parametrize(("page", "section"), [("attachfs", 1), ("attachfs.toml", 5)])
def test_man_finds_the_pages(page: str, section: int, prefix: Path) -> None:
    """By their names, among those of the installation."""
    man = "mman" if shutil.which("mman") else "man"  # mandoc's, which Debian calls otherwise
    said = _said(man, "-M", prefix / "share/man", "-w", page, cwd=prefix)
    assert Path(said.strip()) == prefix / f"share/man/man{section}/{page}.{section}"
