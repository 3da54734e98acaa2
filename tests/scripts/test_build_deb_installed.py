"""The Debian package on a system that has what the package depends on, and nothing else."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.debian import SLOWLY_S, System, built_package, said, started, system_with
from tests.support.mounts import PATIENCE_S

PRIVATE = "usr/lib/attachfs"

# The first test waits for the package and the system, which may have to be made.
pytestmark = [pytest.mark.mount, pytest.mark.timeout(SLOWLY_S)]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A minimal system on which apt has installed the package: it and no other is missing there."""
    package = built_package(tmp_path_factory)
    depends = said("dpkg-deb", "--field", package, "Depends").split(",")
    with system_with(word.split()[0] for word in depends) as system:
        before = system.packages()
        copy = system.seen / package.name
        copy.write_bytes(package.read_bytes())
        system.apt_get("install", f"/{package.name}")
        copy.unlink()
        assert system.packages() - before == {"attachfs"}
        yield system


def test_installed_program_runs(system: System) -> None:
    """It knows its version, and says how it is used."""
    version = system.run("dpkg-query", "--show", "--showformat", "${Version}", "attachfs")
    assert system.run("attachfs", "--version") == f"attachfs {version}\n"
    assert system.run("attachfs", "--help").startswith("Usage: attachfs ")


def test_modules_of_others_are_not_imported(system: System) -> None:
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


def test_demo_is_mounted_read_and_unmounted(system: System) -> None:
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


def test_purge_leaves_nothing(system: System) -> None:
    """Neither files of the package nor any it made are there afterwards."""
    found = ["find", "/", "-xdev", "-name", "*attachfs*"]
    assert f"/{PRIVATE}\n" in system.run(*found)
    system.apt_get("purge", "attachfs")
    assert system.run(*found) == ""
