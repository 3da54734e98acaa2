"""A machine of a document's own: a home, an archive, the program, and the daemons it tells of."""

import getpass
import json
import os
import re
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.conftest import serving
from tests.support.consoles import Block, Order, check, pieces
from tests.support.forkrelay import forking_attachfs
from tests.support.mounts import Steering, bare_environment
from tests.support.outcomes import until
from tests.support.ports import answers, free_port
from tests.support.programs import left_mounted

_ROOT: Final = Path(__file__).parents[2]
_PATIENCE_S: Final = 60.0
_PAUSE_S: Final = 0.05  # between tries that each start a process
# What documents say instead of what differs from test to test.
_URL: Final = "https://app.datatrails.ai"
_HOME: Final = "/home/user"
_MALWARE: Final = (
    f"attachments/assets/{SAMPLE['asset:coffee']}/events/{SAMPLE['event:coffee-delivery']}"
    f"/{SAMPLE['blob:bad-invoice']}/info"
)


DOCUMENTS: Final = {
    str(path.relative_to(_ROOT)) for path in (*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md"))
}
GUIDES: Final = {"docs/recipes.md", "docs/troubleshooting.md"}


def play(document: str, root: Path) -> None:
    """Do what a document says, below an empty directory; it must leave no mount and no warning."""
    found = list(pieces((_ROOT / document).read_text()))
    if not any(isinstance(piece, Block) for piece in found):
        return
    with ExitStack() as stack:
        stage = Stage(root, stack)
        try:
            for piece in found:
                if isinstance(piece, Order):
                    stage.obey(piece)
                else:
                    stage.perform(piece)
        finally:
            left = stage.left_mounted()
        assert left == []
        assert stage.unexpected() == []


class Stage:
    """Do what a document says, in its order."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._stack = stack
        self._root = root
        self._home = root / "home"
        self._home.mkdir()
        self._archive = _Archive(root / "data")
        stack.callback(self._archive.stop)
        self._environment = self._made_environment()
        self._share = False
        self._passed_over = False
        self._help_only = False
        self.expected_warnings: list[str] = []

    def obey(self, order: Order) -> None:
        """Do what a comment says."""
        words = self._real(order.words)
        match order.verb:
            case "archive":
                self._archive.obey(words)
            case "run":
                self._run(words)
            case "until":
                until(lambda: self._bash(words).returncode == 0, pause_s=_PAUSE_S)
            case "logs":
                self.expected_warnings.append(words)
            case "token":
                self._environment["ATTACHFS_TOKEN_FILE"] = str(self._archive.running.token_file)
            case "clamd":
                self._start_clamd()
            case "samba":
                self._share = True
            case "tested by":
                assert (_ROOT / words).exists(), words
                self._passed_over = True
            case "help":
                self._help_only = True
            case verb:
                raise AssertionError(f"nobody knows how to {verb}")

    def perform(self, block: Block) -> None:
        """Run the commands of a block, each block in a shell of its own, or use what it shows."""
        text = self._real(block.text)
        passed_over, self._passed_over = self._passed_over, False
        help_only, self._help_only = self._help_only, False
        if passed_over:
            return
        if help_only:
            _find_in_help(text)
        elif block.language == "console":
            with self._shell() as shell:
                for example in Block("console", text).examples():
                    check(shell, example)
        elif block.language in ("sh", "bash"):
            self._run(text)
        elif block.language == "python":
            self._run(f"python3 -W error - <<'END'\n{text}END")
        elif block.language == "toml":
            self._configure(text)
        elif self._share:
            self._share = False
            self._start_samba(text)

    def unexpected(self) -> list[str]:
        """Return the warnings of mounts that the document does not explain."""
        logs = (self._home / ".local/state/attachfs/log").glob("*")
        lines = [line for log in logs for line in log.read_text().splitlines()]
        return [
            line
            for line in lines
            if re.search(r"\[(warning|error|critical) *\]|Traceback", line)
            and not any(expected in line for expected in self.expected_warnings)
        ]

    def left_mounted(self) -> list[str]:
        """Return what the document has left mounted, and unmount it."""
        return left_mounted(self._home)

    def _made_environment(self) -> dict[str, str]:
        programs = self._root / "bin"
        programs.mkdir()
        python = f'"{sys.executable}"'
        secret, token = self._archive.running.client_secret_file, self._archive.running.token_file
        for name, script in {
            "attachfs": self._stack.enter_context(forking_attachfs()),
            "python3": f'exec {python} "$@"',
            "editor": f'case $1 in *secret*) cat "{secret}" ;; *) cat "{token}" ;; esac > "$1"',
        }.items():
            (programs / name).write_text(f"#!/bin/sh\n{script}\n")
            (programs / name).chmod(0o755)
        environment = bare_environment(self._root)
        for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "SSL_CERT_FILE"):
            environment.pop(name, None)
        return environment | {
            "ATTACHFS_URL": self._archive.running.url,
            "EDITOR": "editor",
            "HOME": str(self._home),
            "PATH": f"{programs}:{os.environ['PATH']}:/usr/sbin",
        }

    def _real(self, text: str) -> str:
        for name, real in {
            _URL: self._archive.running.url,
            _HOME: str(self._home),
            ".venv/bin/attachfs": "attachfs",
            "<asset>": SAMPLE["asset:container"],
        }.items():
            text = text.replace(name, real)
        return text

    def _run(self, script: str) -> None:
        done = self._bash(script)
        assert done.returncode == 0, (script, done.stdout, done.stderr)

    def _bash(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script],
            cwd=self._home,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
        )

    @contextmanager
    def _shell(self) -> Iterator[subprocess.Popen[str]]:
        with subprocess.Popen(
            ["bash", "--norc"],
            cwd=self._home,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as shell:
            watchdog = threading.Timer(_PATIENCE_S, os.killpg, (shell.pid, signal.SIGKILL))
            watchdog.start()
            try:
                yield shell
                shell.communicate("exit\n")
            finally:
                watchdog.cancel()
                shell.kill()

    def _configure(self, text: str) -> None:
        """See that a configuration is one: for each of its profiles."""
        file = self._root / "shown.toml"
        file.write_text(text)
        for profile in tomllib.loads(text)["profiles"]:
            self._run(f"attachfs config show --config {file} --profile {profile}")

    def _start(self, is_ready: Callable[[], bool], *command: object) -> None:
        """Have a daemon until the document ends."""
        log = self._stack.enter_context((self._root / "daemon.log").open("ab"))
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,  # at whose end smbd would end
            stdout=log,
            stderr=log,
            start_new_session=True,  # smbd ends its whole process group with itself
        )
        assert process.stdin is not None
        self._stack.callback(process.stdin.close)
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)

        def is_ready_or_ended() -> bool:
            assert process.poll() is None, (self._root / "daemon.log").read_text()
            return is_ready()

        until(is_ready_or_ended, pause_s=_PAUSE_S)

    def _start_clamd(self) -> None:
        """Have clamd with one signature, of the sample that is marked as malware."""
        directory = self._root / "clamd"
        directory.mkdir()
        with Steering(self._archive.running) as steering:
            info = steering.record(_MALWARE)
        signature = f"{info['hash']['value']}:{info['size']}:Sample.Malware\n"
        (directory / "sample.hsb").write_text(signature)
        configuration, at = directory / "clamd.conf", directory / "socket"
        configuration.write_text(
            f"LocalSocket {at}\nDatabaseDirectory {directory}\nTemporaryDirectory {directory}\n"
            f"User {getpass.getuser()}\nForeground yes\n"
        )
        self._start(at.exists, "clamd", f"--config-file={configuration}")
        self._define("clamdscan", f'clamdscan --config-file="{configuration}"')

    def _start_samba(self, share: str) -> None:
        """Have smbd with a share, for guests, on a port of its own."""
        directory = self._root / "samba"
        kinds = ("private dir", "lock directory", "state directory", "cache directory")
        paths = {kind: directory / kind.split()[0] for kind in (*kinds, "pid directory")}
        for path in paths.values():
            path.mkdir(parents=True)
        own = "\n".join(f"{kind} = {path}" for kind, path in paths.items())
        share = share.replace("force user = user", f"force user = {getpass.getuser()}")
        share = share.replace("valid users = @auditors", "guest ok = yes")
        port = free_port()
        configuration = directory / "smb.conf"
        configuration.write_text(
            f"[global]\n{own}\nncalrpc dir = {directory / 'ncalrpc'}\nlog file = {directory}/log\n"
            "server role = standalone server\nmap to guest = bad user\ndisable spoolss = yes\n"
            f"load printers = no\ninterfaces = lo\nbind interfaces only = yes\n"
            f"smb ports = {port}\n{share}"
        )
        self._start(
            lambda: answers(port),
            *("smbd", "--foreground", "--no-process-group", f"--configfile={configuration}"),
        )
        self._define("smbclient", f'smbclient --port={port} --no-pass "$@" 2>&1 #')

    def _define(self, program: str, command: str) -> None:
        """Have a program of this name run that command, with what it is given."""
        found = subprocess.check_output(["which", program], text=True).strip()
        path = self._root / "bin" / program
        path.write_text(f'#!/bin/sh\nexec {command.replace(program, found, 1)} "$@"\n')
        path.chmod(0o755)


class _Archive:
    """An archive that a document changes, stops and starts again."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._port = 0
        self.running = self.start()

    def start(self) -> RunningArchive:
        config = ArchiveConfig(data_dir=self._directory, port=self._port)
        self.running = self._stack.enter_context(serving(config))
        self._port = int(self.running.url.rpartition(":")[2])
        return self.running

    def stop(self) -> None:
        self._stack.close()

    def edit(self, kind: str, uuid: str, *changes: str) -> None:
        fields: dict[str, Any] = {}
        for change in changes:
            name, _, value = change.partition("=")
            fields[name] = json.loads(value)
        with Steering(self.running) as steering:
            steering.edit(kind, uuid, **fields)

    def obey(self, order: str) -> None:
        verb, *words = re.findall(r"(?:\{[^}]*\}|\S)+", order)
        getattr(self, verb)(*words)


@cache
def _help_of(script: str) -> str:
    return subprocess.check_output([_ROOT / script, "--help"], text=True)


def _find_in_help(text: str) -> None:
    """See that each script is there, and that its help knows the options."""
    for line in text.splitlines():
        script, *words = line.partition("#")[0].split()
        told = _help_of(script)
        for word in words:
            assert not word.startswith("--") or word in told, line
