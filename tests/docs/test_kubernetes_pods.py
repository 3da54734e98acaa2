"""What the manifests for Kubernetes rely on, tried as far as it can be without a cluster."""

import os
import shlex
import signal
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from attachfs.archive.credentials import TokenFile
from attachfs.demo.estate import SAMPLE
from attachfs.errors import CredentialsExposed
from tests.support.archives import token_of
from tests.support.kubelets import SecretVolume, inside, node, printed
from tests.support.manifests import Manifest, PodSpec, pod_specs
from tests.support.mounts import PATIENCE_S, Mount, Steering, archive, environment, mount
from tests.support.outcomes import outcome, until
from tests.support.programs import PROGRAM
from tests.support.reports import rows_of

__all__ = ["archive", "environment", "mount"]

_PHOTO = f"assets/{SAMPLE['asset:container']}/{SAMPLE['blob:container-photo']}"
_OTHER_PHOTO = f"assets/{SAMPLE['asset:sensor']}/{SAMPLE['blob:sensor-photo']}"
_NOBODY = 1000
_needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="a kubelet is root")


def _pod(name: str) -> PodSpec:
    (pod,) = (pod for pod in pod_specs() if pod.name == name)
    return pod


@pytest.fixture
def secret(tmp_path: Path) -> SecretVolume:
    """The volume of a Secret, with nothing in it yet."""
    volume = SecretVolume(tmp_path / "credentials")
    volume.root.mkdir()
    return volume


def test_a_secret_is_read_through_its_links(secret: SecretVolume) -> None:
    """Links to a file of mode 0400 are as good as the file; a new Secret is a new token."""
    secret.write({"token": "first.token.x"})
    assert (secret.root / "token").is_symlink()
    assert stat.S_IMODE((secret.root / "token").stat().st_mode) == 0o400
    credentials = TokenFile(secret.root / "token")
    assert _token(credentials) == "first.token.x"
    secret.write({"token": "later.token.x"})
    assert _token(credentials) == "later.token.x"


def _token(credentials: TokenFile) -> str:
    token = credentials.current()
    assert token is not None
    return token.reveal()


@pytest.mark.parametrize(("mode", "gid"), [(0o644, None), (0o440, None), (0o400, os.getgid())])
def test_a_secret_that_a_group_can_read_is_refused(
    secret: SecretVolume, mode: int, gid: int | None
) -> None:
    """As the default mode has it, and as fsGroup has it whatever the mode is."""
    secret.mode, secret.gid = mode, gid
    secret.write({"token": "a.token.x"})
    with pytest.raises(CredentialsExposed):
        TokenFile(secret.root / "token")


@pytest.mark.mount
def test_a_mount_takes_the_token_of_a_renewed_secret(
    mount: Callable[..., Mount], archive: Steering, secret: SecretVolume
) -> None:
    """A refused one is EACCES until the Secret is renewed; nothing is mounted again."""
    good = token_of(archive.running)
    secret.write({"token": good})
    options = ("--metadata-ttl", "0s", "--negative-ttl", "0s")
    mounted = mount("--token-file", secret.root / "token", *options, credentials=False)
    mounted.expected_warnings.add("the server answered 401")
    assert (mounted.path / _PHOTO).read_bytes()
    secret.write({"token": f"{good}-forged"})
    assert outcome((mounted.path / _OTHER_PHOTO).read_bytes) == "EACCES"
    secret.write({"token": good})
    assert (mounted.path / _OTHER_PHOTO).read_bytes()


class Pod:
    """A container of a manifest's, with its volumes in directories of this machine."""

    def __init__(
        self,
        container: Manifest,
        places: Mapping[str, Path],
        environment: Mapping[str, str],
        fields: Mapping[str, str] = {},
    ) -> None:
        self.container = container
        self._places = places
        programs = places["/programs"]
        programs.mkdir(exist_ok=True)
        (programs / "attachfs").write_text(f'#!/bin/sh\nexec {shlex.join(PROGRAM)} "$@"\n')
        (programs / "attachfs").chmod(0o755)
        told = {each["name"]: each["value"] for each in container["env"] if "value" in each}
        self._fields = {
            each["name"]: fields[each["valueFrom"]["fieldRef"]["fieldPath"]]
            for each in container["env"]
            if "fieldRef" in each.get("valueFrom", {})
        }
        own = {"ATTACHFS_URL": environment["ATTACHFS_URL"]}
        path = {"PATH": f"{programs}:{os.environ['PATH']}"}
        self.environment = {**environment, **told, **self._fields, **own, **path}
        if "HOME" in told:
            self.environment["HOME"] = self.placed(told["HOME"])

    def placed(self, word: str) -> str:
        """Return a word with its variables expanded, and the paths that stand for those in it."""
        for inside_it, here in self._places.items():
            word = word.replace(f"{inside_it}/", f"{here}/")
        for name, value in self._fields.items():
            word = word.replace(f"$({name})", value)
        return word

    def words(self) -> list[str]:
        """Return what the container runs."""
        return [self.placed(word) for word in (*self.container["command"], *self.container["args"])]

    def asks(self, *command: str) -> list[str]:
        """Return a probe's or a hook's command."""
        return [self.placed(word) for word in command]


@pytest.fixture
def ground() -> Iterator[Path]:
    """A directory that any user may go through."""
    with tempfile.TemporaryDirectory(prefix="attachfs-node-", dir="/var/tmp") as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.fixture
def away(archive: Steering, environment: dict[str, str], secret: SecretVolume) -> dict[str, str]:
    """The environment of a pod, with the credentials where its Secret is."""
    secret.write({"client-secret": archive.running.client_secret_file.read_text()})
    return environment | {"ATTACHFS_URL": archive.url}


@_needs_root
@pytest.mark.mount
@pytest.mark.parametrize("name", ["attachfs", "reader-with-archive"])
def test_what_a_container_mounts_others_see(
    name: str, ground: Path, away: dict[str, str], secret: SecretVolume
) -> None:
    """Also after the process was killed, and not after preStop: by the manifest's own commands."""
    container = next(each for each in _pod(name).containers if each["name"] == "attachfs")
    evidence = ground / "evidence"
    evidence.mkdir()
    places = {
        "/evidence": evidence,
        "/cache": ground / "cache",
        "/credentials": secret.root,
        "/programs": ground / "programs",
    }
    pod = Pod(container, places, away)
    seen = evidence / "archive"
    with (
        node(evidence) as machine,
        machine.container("Bidirectional") as mounter,
        machine.container("HostToContainer") as reader,
        machine.container("None") as other,
    ):
        with _running(pod, mounter) as process:
            _await_probe(pod, mounter, seen)
            assert "assets" in printed(reader, "ls", seen)
            assert "assets" not in printed(other, "ls", seen)
            as_nobody = ("setpriv", f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups")
            assert "OK" in printed(
                reader,
                *as_nobody,
                *("sh", "-c", f"cd {seen}/{Path(_PHOTO).parent} && sha256sum --check SHA256SUMS"),
            )
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE_S)
            assert "not connected" in printed(reader, "ls", seen)
        with _running(pod, mounter) as process:
            _await_probe(pod, mounter, seen)
            assert "assets" in printed(reader, "ls", seen)
            hook = pod.asks(*container["lifecycle"]["preStop"]["exec"]["command"])
            subprocess.run(inside(mounter, *hook), env=pod.environment, check=True)
            assert process.wait(PATIENCE_S) == 0
        assert printed(reader, "ls", seen) == ""


@contextmanager
def _running(pod: Pod, mounter: subprocess.Popen[str]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(inside(mounter, *pod.words()), env=pod.environment) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                process.terminate()


def _await_probe(pod: Pod, mounter: subprocess.Popen[str], mountpoint: Path) -> None:
    probe = pod.asks(*pod.container["startupProbe"]["exec"]["command"])
    assert pod.container["startupProbe"]["exec"] == pod.container["livenessProbe"]["exec"]
    command = inside(mounter, *probe)

    def is_well() -> bool:
        done = subprocess.run(command, env=pod.environment, capture_output=True, check=False)
        return done.returncode == 0

    # A probe takes 0.3 s of CPU. The first may be made once there is a mount that answers.
    until(lambda: "assets" in printed(mounter, "ls", mountpoint), pause_s=0.05)
    until(is_well)


def test_the_job_verifies_without_a_mount(
    ground: Path, away: dict[str, str], secret: SecretVolume
) -> None:
    """By its own command line, with the secret in its environment; 1 says that not all is well."""
    (container,) = _pod("attachfs-verify").containers
    work = ground / "work"
    work.mkdir()
    fields = {"metadata.labels['batch.kubernetes.io/job-name']": "attachfs-verify-29"}
    pod = Pod(container, {"/work": work, "/programs": ground / "programs"}, away, fields)
    key = (secret.root / "client-secret").read_text().strip()
    done = subprocess.run(
        pod.words(),
        env=pod.environment | {"DATATRAILS_APPREG_SECRET": key},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "bad scan" in done.stdout.replace("_", " ")
    assert {row["verdict"] for row in rows_of(work / "attachfs-verify-29.parquet")} == {
        "verified",
        "bad scan",
    }
