"""What the malware scan found decides which attachments may be opened, as the user wants it."""

import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import WELL, outcome
from tests.support.plain import NO_AUTHORITIES
from tests.support.programs import Done

pytestmark = pytest.mark.mount

_TEXT = {
    "SCANNED_BAD": b"stands in for malware",
    "SCANNED_OK": b"Lamp, timing and housing conform.",
    "NOT_SCANNED": b"60 bags of 69 kg",
}


def _files(mounted: Mount) -> dict[str, Path]:
    """Return an attachment of each scan status."""
    delivery = mounted.event("coffee-delivery", of="coffee")
    return {
        "SCANNED_BAD": delivery / SAMPLE["blob:bad-invoice"],
        "SCANNED_OK": mounted.event("light-attach", of="light") / SAMPLE["blob:light-report"],
        "NOT_SCANNED": delivery / SAMPLE["blob:delivery-note"],
    }


def _attach_again(archive: Steering, content: bytes, *, to: str) -> str:
    """Upload bytes once more and attach them to a sample asset; return the new UUID."""
    headers = {"Authorization": archive.token_file.read_text().strip().partition(": ")[2]}
    url = f"{archive.url}/archivist/v1/blobs"
    sent = httpx.post(
        url,
        headers=headers,
        files={"file": ("twin", content)},
        trust_env=False,
        verify=NO_AUTHORITIES,
    )
    blob = sent.raise_for_status().json()
    attribute = {
        "arc_attribute_type": "arc_attachment",
        "arc_blob_identity": blob["identity"],
        "arc_blob_hash_alg": blob["hash"]["alg"],
        "arc_blob_hash_value": blob["hash"]["value"],
    }
    archive.edit("assets", SAMPLE[f"asset:{to}"], attributes={"twin": attribute})
    return str(blob["identity"].removeprefix("blobs/"))


@pytest.mark.parametrize(
    ("options", "readable", "query"),
    [
        (["--scan-policy", "allow"], {*_TEXT}, "allow_insecure=true"),
        (["--scan-policy", "block-bad"], {"SCANNED_OK", "NOT_SCANNED"}, ""),
        ([], {"SCANNED_OK", "NOT_SCANNED"}, ""),
        (["--scan-policy", "require-ok"], {"SCANNED_OK"}, "strict=true"),
    ],
    ids=["allow", "block-bad", "default", "require-ok"],
)
def test_each_policy_opens_what_it_allows(
    mount: Callable[..., Mount],
    archive: Steering,
    options: list[str],
    readable: set[str],
    query: str,
) -> None:
    """What it forbids is EACCES at open and never asked for; downloads alone tell the server."""
    mounted = mount(*options)
    mounted.expected_warnings.update(
        f"events/{path.parent.name}/{path.name}: {status}"
        for status, path in _files(mounted).items()
        if status not in readable
    )
    archive.reset()
    for status, path in _files(mounted).items():
        opened = outcome(lambda path=path: os.close(os.open(path, os.O_RDONLY)))  # type: ignore[misc]
        assert opened == (WELL if status in readable else "EACCES"), status
        if status in readable:
            assert _TEXT[status] in path.read_bytes()
    queries = {request["path"]: request["query"] for request in archive.requests()}
    downloads = {path for path in queries if "/attachments/" in path and path[-5:] != "/info"}
    assert {path.rpartition("/")[2] for path in downloads} == {
        _files(mounted)[status].name for status in readable
    }
    assert {path for path, asked in queries.items() if asked} == (downloads if query else set())
    assert {queries[path] for path in downloads} == {query}


def test_all_but_the_bytes_of_a_blocked_file_is_there(
    shared: Mount, run: Callable[..., Done]
) -> None:
    """`ls`, `stat`, sidecar and extended attributes work before and after the refusal."""
    path = _files(shared)["SCANNED_BAD"]
    reason = "stand-in for malware, harmless"
    shared.expected_warnings.add(f"SCANNED_BAD: {reason}")
    assert path.name in run("ls", "-l", path.parent).stdout
    assert path.stat().st_size == int(os.getxattr(path, "user.archivist.size"))
    assert os.getxattr(path, "user.archivist.scanned_status") == b"SCANNED_BAD"
    assert "user.archivist.last_error" not in os.listxattr(path)
    assert outcome(path.read_bytes) == "EACCES"
    assert reason in os.getxattr(path, "user.archivist.last_error").decode()
    assert os.getxattr(path, "user.archivist.scanned_bad_reason").decode() == reason
    assert reason in path.with_name(f"{path.name}.info.json").read_text()
    assert path in path.parent.iterdir()


def test_the_same_bytes_are_refused_under_another_name(
    shared: Mount, shared_archive: Steering
) -> None:
    """Once a digest was seen to be bad, a second upload of it is EACCES too, scanned or not."""
    twin = _attach_again(shared_archive, _TEXT["NOT_SCANNED"], to="container")
    original = _attach_again(shared_archive, _TEXT["NOT_SCANNED"], to="sensor")
    shared.expected_warnings.add("SCANNED_BAD")
    shared_archive.edit("blobs", original, scanned_status="SCANNED_BAD", scanned_bad_reason="worm")
    bad, same = shared.asset("sensor") / original, shared.asset("container") / twin
    assert same.read_bytes() == _TEXT["NOT_SCANNED"]
    assert outcome(bad.read_bytes) == "EACCES"
    shared_archive.reset()
    assert outcome(same.read_bytes) == "EACCES"
    assert "under another name" in os.getxattr(same, "user.archivist.last_error").decode()
    assert f"# {twin}: SCANNED_BAD under another name" in (same.with_name("SHA256SUMS").read_text())
    assert shared_archive.paths(f"{twin}$") == []


def test_a_file_found_bad_after_it_was_looked_at_is_refused_by_the_server(
    shared: Mount, shared_archive: Steering
) -> None:
    """The scan status may be an hour old: the download's 400 is EACCES as well, and is told."""
    shared.expected_warnings.add("this attachment is not safe")
    path = _files(shared)["NOT_SCANNED"]
    assert path.stat().st_size > 0
    shared_archive.edit("blobs", path.name, scanned_status="SCANNED_BAD")
    shared_archive.reset()
    assert outcome(path.read_bytes) == "EACCES"
    assert outcome(path.read_bytes) == "EACCES"
    assert len(shared_archive.paths(f"{path.name}$")) == 1
    assert "not safe" in os.getxattr(path, "user.archivist.last_error").decode()


def test_sums_comment_on_what_may_not_be_read(
    mount: Callable[..., Mount], run: Callable[..., Done]
) -> None:
    """With require-ok each line but that of SCANNED_OK is a comment that says why."""
    mounted = mount("--scan-policy", "require-ok")
    light = mounted.asset("light")
    photo, report = SAMPLE["blob:light-photo"], SAMPLE["blob:light-report"]
    lines = (light / "SHA256SUMS").read_text().splitlines()
    assert f"# {photo}: NOT_SCANNED, and --scan-policy is require-ok" in lines
    assert f"{os.getxattr(light / report, 'user.archivist.hash_value').decode()}  {report}" in lines
    checked = run("sha256sum", "-c", "SHA256SUMS", cwd=light)
    assert (checked.returncode, checked.stdout) == (0, f"{report}: OK\n"), checked.stderr
    assert outcome((mounted.event("container-loading", of="container") / "SHA256SUMS").stat) == (
        "ENOENT"
    )
