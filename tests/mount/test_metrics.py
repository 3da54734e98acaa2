"""What a mount measures: every metric moves when it should, and is documented."""

import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from attachfs.demo.estate import SAMPLE
from attachfs.mount.metrics import MEASURES
from tests.support.mounts import Mount, Steering
from tests.support.plain import NO_AUTHORITIES
from tests.support.programs import Done, sentence

pytestmark = pytest.mark.mount

Run = Callable[..., Done]
Samples = Mapping[tuple[str, ...], float]


def _samples(text: str) -> Samples:
    """Return values by name and the values of their labels, as these are sorted by name."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def _unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return port


@pytest.fixture
def measured(attachfs: Run) -> Callable[[Mount], Samples]:
    """Return what `attachfs metrics` prints."""

    def measure(mounted: Mount) -> Samples:
        done = attachfs("metrics", mounted.path)
        assert (done.returncode, done.stderr) == (0, "")
        return _samples(done.stdout)

    return measure


def test_every_metric_is_there_and_documented(
    mounted: Mount, measured: Callable[[Mount], Samples]
) -> None:
    """With its labels and its meaning, as `# HELP` has it."""
    documented = Path("docs/metrics.md").read_text()
    for measure in MEASURES:
        labels = ", ".join(f"`{label}`" for label in measure.labels)
        assert f"| `{measure.name}` | {labels} | {measure.meaning} |\n" in documented
    list((mounted.path / "nowhere").parent.iterdir())
    assert not (mounted.path / "nowhere").exists()
    names = {name for name, *_ in measured(mounted)}
    seldom = {"attachfs_request_failures_total", "attachfs_operation_errors_total"}
    assert {measure.name for measure in MEASURES} - seldom <= names
    assert {"process_resident_memory_bytes", "process_open_fds"} <= names
    assert set(re.findall(r"\| `(attachfs_\w+)` \|", documented)) == {m.name for m in MEASURES}


def test_reads_count_by_where_the_bytes_were(
    mounted: Mount, measured: Callable[[Mount], Samples]
) -> None:
    """Once at the archive, then in memory; bytes, requests and operations with them."""
    photo = mounted.asset("container") / SAMPLE["blob:container-photo"]
    size_bytes = len(photo.read_bytes())
    first = measured(mounted)
    assert first["attachfs_bodies_total", "archive"] >= 1
    assert first["attachfs_body_bytes_total",] >= size_bytes
    assert first["attachfs_requests_total", "200"] >= 3
    assert first["attachfs_operations_total", "open"] == 1
    assert first["attachfs_store_bytes",] >= size_bytes
    assert first["attachfs_lookups_total", "archive"] >= 2
    assert 0 < first["attachfs_token_left_seconds",] < 40 * 86400


def test_errors_count_and_so_do_mismatches(
    mounted: Mount, archive: Steering, measured: Callable[[Mount], Samples]
) -> None:
    """By operation and kind."""
    mounted.expected_warnings |= {"the bytes are not those", "SCANNED_BAD"}
    photo = mounted.asset("container") / SAMPLE["blob:container-photo"]
    archive.edit("blobs", photo.name, flip_body_byte=photo.stat().st_size - 1)
    with pytest.raises(OSError, match="Input/output error"):
        photo.read_bytes()
    samples = measured(mounted)
    assert samples["attachfs_mismatches_total",] >= 1
    assert samples["attachfs_operation_errors_total", "Mismatch", "read"] >= 1


def test_they_are_served_where_asked_for(
    mount: Callable[..., Mount], archive: Steering, attachfs: Run
) -> None:
    """On this machine alone; a port that is taken is told before the mount."""
    port = _unused_port()
    mounted = mount("--metrics-port", port)
    answer = httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, verify=NO_AUTHORITIES)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert _samples(answer.text)["attachfs_server_up",] == 1
    other = mounted.path.parent / "other"
    other.mkdir()
    where = ("--url", archive.url, "--token-file", archive.token_file)
    done = attachfs("mount", other, *where, "--metrics-port", port, "--foreground")
    assert done.returncode == 2
    assert f"cannot serve metrics on 127.0.0.1:{port}: Address already in use" in sentence(done)


def test_which_mount_must_be_said_where_there_are_several(
    mount: Callable[..., Mount], attachfs: Run
) -> None:
    """Of one, it need not be."""
    mounts = [mount(), mount()]
    done = attachfs("metrics")
    assert done.returncode == 2
    said = sentence(done)
    assert all(str(mounted.path) in said for mounted in mounts)
