"""The scripts of the checkout: sound, quiet, and the same whatever state they start from.

What they do to a machine is seen in a sandbox: a copy of the scripts, run with a PATH on which
Python, apt, sudo and the rest are stand-ins that write down how they were called.
"""

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    *("scripts/setup", "scripts/demo", "scripts/test", "scripts/bench", "scripts/lock"),
    *(
        "scripts/scale",
        "scripts/soak",
        "scripts/reliability",
        "scripts/build-deb",
        "scripts/manual",
    ),
    ".ci/run",
]
LOCKS = ["build", "demo", "test"]

# Programs the scripts take from any system, as against those they look for.
BASICS = ["bash", "cat", "cp", "dirname", "env", "flock", "ln", "mkdir", "mv", "realpath", "rm"]
BASICS += ["sha256sum", "tail", "true"]
RUNTIME = ["apt-get", "cc", "fusermount3", "pkg-config", "python3", "sudo"]
TOOLS = [
    *("chromium", "clamd", "clamdscan", "cmp", "curl", "file", "find", "findmnt"),
    *(
        "fish",
        "gdk-pixbuf-thumbnailer",
        "getfattr",
        "gio",
        "mandoc",
        "mmdebstrap",
        "mount",
        "nginx",
        "nsenter",
    ),
    *("openssl", "pdfgrep", "rg", "rsync", "setpriv", "smbclient", "smbd", "systemd-analyze"),
    *("tar", "taskset", "unshare", "zsh"),
]

STAND_INS = {
    "id": 'echo "$FAKE_UID"',
    "sudo": '"$@"',
    "apt-get": """
        for word in "$@"; do
            [[ $word != fuse3 ]] || ln -s "$(command -v cc)" "$(dirname "$0")/fusermount3"
        done
    """,
    # Asked whether it is fit, it says so; asked for an environment, it makes one of stand-ins.
    "python3": """
        case "$*" in
            "-I -") if [[ -e $SANDBOX/old ]]; then echo old python3.9; else echo; fi; echo "$0" ;;
            "-I -m venv .venv"*)
                mkdir "$4" "$4/bin"
                for name in attachfs lint-imports mypy pytest python ruff; do
                    cp "$SANDBOX/bin/in-venv" "$4/bin/$name"
                done ;;
            *) exit 9 ;;
        esac
    """,
    "in-venv": """
        case "${0##*/} $*" in
            attachfs*) echo "in $PWD" ;;
            pytest*) echo "need fuse: ${ATTACHFS_REQUIRE_FUSE-no}"; echo "9 passed" ;;
            mypy*) if [[ -e $SANDBOX/untyped ]]; then echo "untyped: no"; exit 1; fi ;;
            "ruff check") if [[ -e $SANDBOX/unsorted ]]; then echo "unsorted: no"; exit 1; fi ;;
            *"pip --quiet"*) if [[ -e $SANDBOX/offline ]]; then echo no route; exit 1; fi ;;
        esac
    """,
}

APT_INSTALL = "apt-get install --yes --no-install-recommends -o DPkg::Lock::Timeout=300"
PROBE = "python -I -c import pip, pyfuse3"
PIP = "python -I -m pip --quiet --disable-pip-version-check --no-input"
MAKE = ["python3 -I -", "python3 -I -m venv .venv"]
EDITABLE = f"{PIP} install --no-deps --no-build-isolation"
EDITABLE += " --config-settings editable_mode=compat --editable ."


def fill(variant: str) -> list[str]:
    """The calls that install the Python packages of a variant."""
    return [
        f"{PIP} install --require-hashes -r scripts/locks/build.txt",
        f"{PIP} install --require-hashes --no-build-isolation -r scripts/locks/{variant}.txt",
        EDITABLE,
    ]


class Sandbox:
    def __init__(self, base: Path) -> None:
        self.base = base
        self.bin = base / "bin"
        self.checkout = base / "check out"  # a space, as in many a home directory
        self.log = base / "log"
        self.uid = 0
        self.bin.mkdir()
        for name in BASICS:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        for name in [*STAND_INS, *RUNTIME, *TOOLS]:
            self.stand_in(name, STAND_INS.get(name, ""))
        locks = [f"scripts/locks/{x}.txt" for x in LOCKS]
        for name in [*SCRIPTS, "scripts/common", "pyproject.toml", *locks]:
            to = self.checkout / name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to)

    def stand_in(self, name: str, body: str) -> None:
        path = self.bin / name
        path.write_text(f'#!/usr/bin/env bash\necho "${{0##*/}} $*" >>"$SANDBOX/log"\n{body}\n')
        path.chmod(0o700)

    def lose(self, *names: str) -> None:
        for name in names:
            (self.bin / name).unlink()

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "PYENV_ROOT": str(self.base / "pyenv"),
            "SANDBOX": str(self.base),
            "FAKE_UID": str(self.uid),
        }

    def run(self, script: str, *args: str, cwd: Path | None = None) -> tuple[int, str, str]:
        """Exit status, standard output and standard error of a script; `calls` starts anew."""
        self.log.unlink(missing_ok=True)
        done = subprocess.run(
            [self.checkout / script, *args],
            cwd=cwd or self.base,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def calls(self) -> list[str]:
        """What was called since, but for questions that change nothing."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [x for x in lines if x != PROBE and not x.startswith(("id ", "pkg-config "))]


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """A checkout nobody has set up, on a machine that has everything."""
    return Sandbox(tmp_path)


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_parses_and_is_executable(script: str) -> None:
    """Bash accepts every script, and the file can be run as it is."""
    subprocess.run(["bash", "-n", ROOT / script], check=True)
    assert os.access(ROOT / script, os.X_OK)


@pytest.mark.parametrize(
    "script", ["scripts/setup", "scripts/demo", "scripts/test", "scripts/lock"]
)
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_says_how_to_use_a_script(script: str, flag: str, sandbox: Sandbox) -> None:
    """Asked for help, a script prints its usage and does nothing."""
    status, out, err = sandbox.run(script, flag)
    assert (status, err) == (0, "")
    assert out.startswith(f"Usage: {script} ")
    assert sandbox.calls() == []


@pytest.mark.parametrize(
    "args", [["production"], ["demo", "test"], [""], ["--python"], ["--python", "three"]]
)
def test_setup_refuses_what_it_does_not_know(args: list[str], sandbox: Sandbox) -> None:
    """An argument that is no variant is a usage error, before anything is done."""
    status, out, err = sandbox.run("scripts/setup", *args)
    assert (status, out) == (2, "")
    assert err.startswith("Usage: ")
    assert sandbox.calls() == []


@pytest.mark.parametrize("lock", LOCKS)
def test_locks_pin_versions_and_hashes_and_name_no_index(lock: str) -> None:
    """Every requirement has one version and its hashes, and no line says where to look."""
    text = (ROOT / f"scripts/locks/{lock}.txt").read_text()
    assert "://" not in text
    lines = re.sub(r"\\\n", " ", text).splitlines()
    requirements = [x for x in lines if x.strip() and not x.lstrip().startswith("#")]
    assert requirements
    for requirement in requirements:
        assert re.fullmatch(
            r"[a-z0-9-]+==[A-Za-z0-9.]+( ; [^#@]+?)?( +--hash=sha256:[0-9a-f]{64})+", requirement
        ), requirement


def test_the_locks_agree_on_what_they_share() -> None:
    """A set-up for the tests never changes a version the demo runs with."""
    pins = {}
    for lock in LOCKS:
        text = (ROOT / f"scripts/locks/{lock}.txt").read_text()
        pins[lock] = set(re.findall(r"^[a-z0-9-]+==[^\s\\]+", text, re.MULTILINE))
    assert pins["demo"] <= pins["test"]


def test_a_fresh_checkout_is_set_up_from_the_locks(sandbox: Sandbox) -> None:
    """The locked build tools come first, then the locked packages, then the package itself."""
    status, out, err = sandbox.run("scripts/setup")
    assert (status, out) == (0, "")
    assert err.count("\n") == 1
    assert "making .venv" in err
    assert sandbox.calls() == [*MAKE, *fill("demo")]


@pytest.mark.parametrize(("first", "then"), [("demo", "demo"), ("test", "test"), ("test", "demo")])
def test_setup_does_nothing_when_there_is_nothing_to_do(
    first: str, then: str, sandbox: Sandbox
) -> None:
    """A second run tries whether the environment works, says so, and changes nothing."""
    sandbox.run("scripts/setup", first)
    assert sandbox.run("scripts/setup", then) == (
        0,
        "attachfs: set up already, nothing to do\n",
        "",
    )
    assert sandbox.calls() == []


def test_the_test_set_up_builds_on_the_demo_one(sandbox: Sandbox) -> None:
    """An environment made for the demo is kept, and filled up for the tests."""
    sandbox.run("scripts/setup", "demo")
    assert sandbox.run("scripts/setup", "test")[0] == 0
    assert sandbox.calls() == ["python3 -I -", *fill("test")]


def test_an_environment_for_measuring_serves_tests_and_demo(sandbox: Sandbox) -> None:
    """It has the packages of the tests, and neither takes any away."""
    assert sandbox.run("scripts/setup", "bench")[0] == 0
    assert fill("test")[1] in sandbox.calls()
    for variant in ("demo", "test", "bench"):
        assert "nothing to do" in sandbox.run("scripts/setup", variant)[1]


def test_changed_locks_are_installed_for_what_the_environment_serves(sandbox: Sandbox) -> None:
    """New locks update an environment, and the demo does not take the tests' packages away."""
    sandbox.run("scripts/setup", "test")
    with (sandbox.checkout / "scripts/locks/demo.txt").open("a") as lock:
        lock.write("# changed\n")
    assert sandbox.run("scripts/setup", "demo")[0] == 0
    assert sandbox.calls() == ["python3 -I -", *fill("test")]
    assert "nothing to do" in sandbox.run("scripts/setup", "test")[1]


def test_a_failed_set_up_tells_why_and_heals(sandbox: Sandbox) -> None:
    """What pip says is shown where it fails, and the next run starts from scratch."""
    (sandbox.base / "offline").touch()
    status, _, err = sandbox.run("scripts/setup")
    assert status == 1
    assert "no route\nattachfs: could not install the Python packages" in err
    (sandbox.base / "offline").unlink()
    assert sandbox.run("scripts/setup")[0] == 0
    assert sandbox.calls() == [*MAKE, *fill("demo")]


def test_a_failed_update_leaves_nothing_to_trust(sandbox: Sandbox) -> None:
    """An environment whose update broke off is not taken for what it was before."""
    sandbox.run("scripts/setup", "demo")
    (sandbox.base / "offline").touch()
    assert sandbox.run("scripts/setup", "test")[0] == 1
    (sandbox.base / "offline").unlink()
    assert sandbox.run("scripts/setup", "demo")[0] == 0
    assert sandbox.calls() == [*MAKE, *fill("demo")]


def damage_python(checkout: Path) -> None:
    """The Python it was made with is gone."""
    python = checkout / ".venv/bin/python"
    python.unlink()
    python.symlink_to(checkout / "gone")


def damage_program(checkout: Path) -> None:
    """The program itself is gone."""
    (checkout / ".venv/bin/attachfs").unlink()


def damage_state(checkout: Path) -> None:
    """It was interrupted."""
    (checkout / ".venv/attachfs-setup").unlink()


def damage_all(checkout: Path) -> None:
    """It is no environment at all."""
    shutil.rmtree(checkout / ".venv")
    (checkout / ".venv").touch()


@pytest.mark.parametrize("damage", [damage_python, damage_program, damage_state, damage_all])
def test_a_broken_environment_is_remade(damage: Callable[[Path], None], sandbox: Sandbox) -> None:
    """An environment that no longer works is not repaired but replaced."""
    sandbox.run("scripts/setup")
    damage(sandbox.checkout)
    assert sandbox.run("scripts/setup")[0] == 0
    assert sandbox.calls() == [*MAKE, *fill("demo")]
    assert "nothing to do" in sandbox.run("scripts/setup")[1]


def test_a_moved_checkout_gets_an_environment_of_its_own(sandbox: Sandbox) -> None:
    """The programs of an environment name its place, so that it cannot follow a move."""
    sandbox.run("scripts/setup")
    sandbox.checkout = sandbox.checkout.rename(sandbox.base / "moved")
    assert sandbox.run("scripts/setup")[0] == 0
    assert sandbox.calls() == [*MAKE, *fill("demo")]


def test_a_second_set_up_waits_for_the_first(sandbox: Sandbox) -> None:
    """While one set-up holds the checkout, another says that it waits, and then runs."""
    with (sandbox.checkout / "scripts/setup").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with subprocess.Popen(
            [sandbox.checkout / "scripts/setup"],
            env=sandbox.environment,
            stderr=subprocess.PIPE,
            text=True,
        ) as second:
            assert second.stderr
            assert "waiting for another set-up" in second.stderr.readline()
            assert not (sandbox.checkout / ".venv").exists()
            fcntl.flock(held, fcntl.LOCK_UN)
            second.communicate()
    assert second.returncode == 0
    assert (sandbox.checkout / ".venv/bin/attachfs").exists()


def test_what_is_missing_is_installed_through_apt(sandbox: Sandbox) -> None:
    """Root installs just what is missing, once the lists are fresh, without questions."""
    sandbox.lose("fusermount3", "rsync")
    status, _, err = sandbox.run("scripts/setup")
    assert status == 0
    assert err.startswith("attachfs: installing system packages: fuse3\n")
    assert [x for x in sandbox.calls() if x.startswith(("apt", "sudo"))] == [
        "apt-get update",
        f"{APT_INSTALL} fuse3",
    ]


def test_apt_is_run_through_sudo_where_not_root(sandbox: Sandbox) -> None:
    """A user who may use sudo gets the packages by it."""
    sandbox.uid = 1000
    sandbox.lose("fusermount3")
    assert sandbox.run("scripts/setup")[0] == 0
    assert [x for x in sandbox.calls() if x.startswith(("apt", "sudo"))] == [
        "sudo env DEBIAN_FRONTEND=noninteractive true",
        "sudo env DEBIAN_FRONTEND=noninteractive apt-get update",
        "apt-get update",
        f"sudo env DEBIAN_FRONTEND=noninteractive {APT_INSTALL} fuse3",
        f"{APT_INSTALL} fuse3",
    ]


def test_without_root_and_sudo_the_command_to_ask_for_is_told(sandbox: Sandbox) -> None:
    """A user who can install nothing is told, in one line, what an administrator has to run."""
    sandbox.uid = 1000
    sandbox.lose("sudo", "fusermount3", "cc", "getfattr")
    status, out, err = sandbox.run("scripts/test")
    assert (status, out) == (1, "")
    assert err == (
        "attachfs: neither root nor sudo: please have an administrator run: "
        "apt-get update && apt-get install gcc libc6-dev fuse3 attr\n"
    )
    assert not (sandbox.checkout / ".venv").exists()
    assert sandbox.calls() == ["python3 -I -"]


def test_a_refusing_sudo_is_asked_once(sandbox: Sandbox) -> None:
    """Where sudo refuses, its reason and the command for an administrator are told."""
    sandbox.uid = 1000
    sandbox.stand_in("sudo", "echo a password is required >&2; exit 1")
    sandbox.lose("fusermount3")
    status, _, err = sandbox.run("scripts/setup")
    assert status == 1
    assert err.splitlines()[1:] == [
        "a password is required",
        "attachfs: please have an administrator run: apt-get update && apt-get install fuse3",
    ]


def test_without_apt_the_packages_are_named(sandbox: Sandbox) -> None:
    """On another distribution, what is missing is told by its Debian name."""
    sandbox.lose("apt-get", "pkg-config", "fusermount3")
    status, out, err = sandbox.run("scripts/setup")
    assert (status, out) == (1, "")
    assert err == (
        "attachfs: please install these first (Debian's names; there is no apt here): "
        "pkg-config libfuse3-dev fuse3\n"
    )


def test_a_finished_set_up_asks_for_no_build_tools(sandbox: Sandbox) -> None:
    """What compiling took may go again once it is done."""
    sandbox.run("scripts/setup")
    sandbox.lose("cc", "pkg-config", "python3")
    assert "nothing to do" in sandbox.run("scripts/setup")[1]


def test_an_old_python_is_refused_in_one_sentence(sandbox: Sandbox) -> None:
    """Where there is a Python, but none new enough, that is said and nothing is installed."""
    (sandbox.base / "old").touch()
    assert sandbox.run("scripts/setup") == (
        1,
        "",
        "attachfs: Python 3.11 or newer is needed, with venv and headers; found only: python3.9\n",
    )


def test_a_newer_python_beside_an_old_one_is_taken(sandbox: Sandbox) -> None:
    """An old python3 is passed over for a newer Python under its own name."""
    (sandbox.base / "old").touch()
    sandbox.stand_in("python3.12", STAND_INS["python3"].replace("/old", "/no-such-file"))
    assert sandbox.run("scripts/setup")[0] == 0
    assert sandbox.calls() == [
        "python3 -I -",
        "python3.12 -I -",
        "python3.12 -I -m venv .venv",
        *fill("demo"),
    ]


def test_demo_hands_over_to_the_program_where_the_user_is(sandbox: Sandbox) -> None:
    """A directory given to the demo is taken from where the user stands, even with spaces."""
    here = sandbox.base / "here"
    here.mkdir()
    status, out, _ = sandbox.run("scripts/demo", "my dir", cwd=here)
    assert (status, out) == (0, f"in {here}\n")
    assert sandbox.calls()[-1] == "attachfs demo my dir"


CHECKS = ["ruff check", "ruff format --check", "lint-imports "]
PARALLEL = "-n 3 --dist loadfile"


@pytest.mark.parametrize(("option", "quick"), [((), ""), (("--quick",), " --quick")])
def test_test_runs_every_check_and_the_tests_last(
    sandbox: Sandbox, option: tuple[str, ...], quick: str
) -> None:
    """The tests end the output; without CI they may lack /dev/fuse. mypy runs beside all this."""
    status, out, _ = sandbox.run("scripts/test", *option)
    assert (status, out) == (0, "need fuse: no\n9 passed\n")
    calls = sandbox.calls()
    calls.remove("mypy ")
    assert calls[-4:] == [*CHECKS, f"pytest {PARALLEL}{quick} --durations 10"]


@pytest.mark.parametrize(
    ("failing", "told"),
    [("untyped", ".venv/bin/mypy"), ("unsorted", ".venv/bin/ruff check")],
)
def test_a_failing_check_fails_test_but_stops_nothing(
    sandbox: Sandbox, failing: str, told: str
) -> None:
    """What comes after a failed check is run all the same, and the exit status tells."""
    (sandbox.base / failing).touch()
    status, out, err = sandbox.run("scripts/test")
    assert status == 1
    assert set(out.splitlines()) == {f"{failing}: no", "need fuse: no", "9 passed"}
    assert f"attachfs: failed: {told}\n" in err
    assert {*CHECKS, "mypy ", f"pytest {PARALLEL} --durations 10"} <= set(sandbox.calls())


def test_test_of_rooms_runs_their_tests_alone(sandbox: Sandbox) -> None:
    """Names of directories below tests/ are those; the checks are left out."""
    for room in ("tree", "mount"):
        (sandbox.checkout / "tests" / room).mkdir(parents=True)
    status, _, _ = sandbox.run("scripts/test", "tree", "mount", cwd=sandbox.checkout)
    assert status == 0
    assert sandbox.calls() == [*MAKE, *fill("test"), f"pytest {PARALLEL} tests/tree tests/mount"]


def test_another_python_gets_an_environment_of_its_own(sandbox: Sandbox) -> None:
    """By its version, beside that of the default; from PATH or from pyenv."""
    pyenv = sandbox.base / "pyenv/versions/3.13.5/bin/python3"
    pyenv.parent.mkdir(parents=True)
    for found in (sandbox.bin / "python3.12", pyenv):
        shutil.copy(sandbox.bin / "python3", found)
    for version in ("3.12", "3.13"):
        status, _, _ = sandbox.run("scripts/test", "--python", version, "-x")
        assert status == 0
        assert sandbox.calls()[-1] == "pytest -x"
        assert (sandbox.checkout / f".venv-{version}/bin/pytest").exists()
    assert not (sandbox.checkout / ".venv").exists()
    status, _, err = sandbox.run("scripts/setup", "--python", "3.14")
    assert (status, err) == (
        1,
        "attachfs: Python 3.14 is neither on PATH nor among pyenv's, with venv and headers\n",
    )


def test_test_with_arguments_is_pytest_with_them(sandbox: Sandbox) -> None:
    """Arguments go to pytest as they are, and the checks are left out."""
    status, _, _ = sandbox.run("scripts/test", "-k", "one or two")
    assert status == 0
    assert sandbox.calls() == [*MAKE, *fill("test"), "pytest -k one or two"]


def test_ci_runs_everything_and_insists_on_fuse(sandbox: Sandbox) -> None:
    """CI runs what a developer runs, but lets no test be skipped for want of /dev/fuse."""
    status, out, _ = sandbox.run(".ci/run")
    assert (status, out) == (0, "need fuse: 1\n9 passed\n")
    assert "lint-imports " in sandbox.calls()
