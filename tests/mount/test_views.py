"""The estate by name, in public and in the past: the same files, whatever strangers called them."""

import filecmp
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.tree.naming import directory_name, short_id
from tests.support.archives import declared, uuid_in
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import outcome
from tests.support.plain import NO_AUTHORITIES
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_LONG = "x" * 4096
_TEXTS = (
    "../x", "../../../etc/passwd", "/abs", "a\nb", "a\r\tb", "nul\0byte", "", " ", ".", "..", _LONG,
    "é" * 4096, "SHA256SUMS", "events", "event.json", "asset.json", "x.info.json", "-rf", "*",
    "\x1b[31mred", "\u202egpj.exe", "\ufeff", "\\", "'\"`$(id)", "a b", "a  b", "a\u00a0b",
)  # fmt: skip
# What a key may be (contract section 5.4): no control characters, no full stop, at most 1,024.
_KEYS = (
    "a/b",
    "/",
    "//etc/passwd",
    "events",
    "SHA256SUMS",
    " ",
    "'\"`$(id)",
    "\u202ex",
    "k" * 1024,
)
_STATEMENT = SAMPLE["asset:conformity"]


class _Api:
    """Fill an archive as its users do."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def blob(self, content: bytes) -> dict[str, Any]:
        return self._sent("v1/blobs", files={"file": ("filename", content)})

    def asset(self, attributes: dict[str, Any]) -> str:
        return uuid_in(self._sent("v2/assets", json={"attributes": attributes}))

    def event(self, asset: str, attributes: dict[str, Any]) -> str:
        body = {
            "operation": "Record",
            "behaviour": "RecordEvidence",
            "event_attributes": attributes,
        }
        return uuid_in(self._sent(f"v2/assets/{asset}/events", json=body))

    def _sent(self, path: str, **body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self._http.post(path, **body).raise_for_status().json()
        return answer


@pytest.fixture(scope="module")
def api(shared_archive: Steering) -> Iterator[_Api]:
    """A user of the shared archive."""
    authorization = shared_archive.token_file.read_text().strip().partition(": ")[2]
    with httpx.Client(
        base_url=f"{shared_archive.url}/archivist/",
        headers={"Authorization": authorization},
        trust_env=False,
        verify=NO_AUTHORITIES,
    ) as http:
        yield _Api(http)


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def _by_name(mounted: Mount, asset: str, name: str) -> Path:
    return mounted.path / "by-name" / directory_name(name, asset)


def test_people_find_what_they_named(shared: Mount) -> None:
    """Assets, events and attachments have the names they were given, no two of them the same."""
    coffee = _by_name(shared, SAMPLE["asset:coffee"], "Coffee lot 2024-017")
    assert coffee.name == f"Coffee lot 2024-017~{short_id(SAMPLE['asset:coffee'])}"
    assert coffee.name in _names(coffee.parent)
    cupping = short_id(SAMPLE["event:coffee-cupping"])
    event = coffee / "events" / f"2024-06-12T09:30:00Z Cupping~{cupping}"
    assert event.name in _names(coffee / "events")
    tables = [f"table~{short_id(SAMPLE[f'blob:cupping-{n}'])}.txt" for n in (1, 2)]
    sidecars = [f"{name}.info.json" for name in tables]
    assert _names(event) == sorted(["event.json", "SHA256SUMS", *tables, *sidecars])
    assert (event / tables[0]).read_text() == "Cupping, table 1: 84.25\n"
    assert outcome((event / "table.txt").stat) == "ENOENT"
    assert outcome((event / SAMPLE["blob:cupping-1"]).stat) == "ENOENT"


@pytest.mark.parametrize("view", ["assets", "by-name"])
def test_every_tool_goes_through_every_view(
    shared: Mount, run: Run, tmp_path: Path, view: str
) -> None:
    """`ls -lR`, `find`, `cp -r`, `tar` and `sha256sum -c` agree on what is there."""
    shared.expected_warnings.add("SCANNED_BAD")
    root = shared.path / view
    listed = run("ls", "-lR", root)
    assert (listed.returncode, listed.stderr) == (0, "")
    found = run("find", root, "-type", "f", "-printf", "%s %P\\0").stdout.split("\0")[:-1]
    sizes = {path: int(size) for size, _, path in (row.partition(" ") for row in found)}
    assert len(sizes) > 60
    assert sum(line.startswith("-r--r--r--") for line in listed.stdout.splitlines()) == len(sizes)
    copied = run("cp", "-r", root, tmp_path / "copy")
    assert len(copied.stderr.splitlines()) == 1  # the bad one
    copies = {
        str(path.relative_to(tmp_path / "copy")): path
        for path in (tmp_path / "copy").rglob("*")
        if path.is_file()
    }
    assert len(copies) == len(sizes) - 1
    assert {path: copy.stat().st_size for path, copy in copies.items()} == {
        path: size for path, size in sizes.items() if path in copies
    }
    for path, copy in copies.items():
        if copy.name == "SHA256SUMS":
            for sums in (root / path, copy):
                checked = run("sha256sum", "-c", sums.name, cwd=sums.parent)
                assert checked.returncode == 0, checked.stdout + checked.stderr


def test_assets_of_one_name_are_told_apart(
    api: _Api, shared_mount: Callable[..., Mount], tmp_path: Path
) -> None:
    """Each has its own bytes; a newcomer renames nothing that was there."""
    mounted = shared_mount("--metadata-ttl", "0s", "--cache-dir", tmp_path / "cache")
    texts = (b"the first pump", b"the second pump")
    pumps: list[Path] = []
    for text in texts:
        photo = declared(api.blob(text), arc_file_name="photo.txt")
        asset = api.asset({"arc_display_name": "Pump", "photo": photo})
        pumps.append(_by_name(mounted, asset, "Pump"))
        assert {pump.name for pump in pumps} == {
            name for name in _names(mounted.path / "by-name") if name.startswith("Pump")
        }
        assert [(pump / "photo.txt").read_bytes() for pump in pumps] == [*texts[: len(pumps)]]


def _hostile(api: _Api) -> tuple[dict[str, Any], set[str]]:
    """Return attributes with keys and names of strangers', and the digests of what they attach."""
    attributes: dict[str, Any] = {}
    digests: set[str] = set()
    for number, text in enumerate(_TEXTS):
        blob = api.blob(f"evidence {number}".encode())
        key = _KEYS[number] if number < len(_KEYS) else f"../{number}".replace(".", "·")
        # All of a request is at most 51,200 bytes; the first with 4,096 characters has room.
        name = text if text == _LONG else text[:300]
        attributes[key] = declared(blob, arc_file_name=name, arc_display_name=name[:100])
        digests.add(blob["hash"]["value"])
    return attributes, digests


def test_hostile_names_lead_nowhere(
    api: _Api,
    shared_archive: Steering,
    shared_mount: Callable[..., Mount],
    run: Run,
    tmp_path: Path,
) -> None:
    """Every program lists and reads every attachment, in its directory and nowhere else."""
    attributes, digests = _hostile(api)
    assets = [api.asset({"arc_display_name": text}) for text in _TEXTS]
    assets.append(api.asset({"arc_display_name": "hostile", **attributes}))
    for text in _TEXTS:
        api.event(assets[0], {"arc_display_type": text})
    api.event(assets[-1], {"arc_display_type": _LONG, **attributes})
    mounted = shared_mount("--cache-dir", tmp_path / "cache")
    by_name = mounted.path / "by-name"
    roots = [
        path for path in by_name.iterdir() for uuid in assets if path.name.endswith(short_id(uuid))
    ]
    assert len(roots) == len(assets)
    for root in roots:
        found = run("find", root, "-print0")
        assert (found.returncode, found.stderr) == (0, "")
        for path in filter(None, found.stdout.split("\0")):
            assert os.path.realpath(path) == path
            assert path.isprintable()
            parts = Path(path).relative_to(by_name).parts
            assert not any(part.startswith(("-", ".")) for part in parts)
    (root,) = (path for path in roots if path.name.startswith("hostile~"))
    copied = run("cp", "-r", root, tmp_path / "copy")
    assert (copied.returncode, copied.stderr) == (0, "")
    (event,) = (path for path in (root / "events").iterdir() if "xxx" in path.name)
    for directory in (root, event):
        checked = run("sha256sum", "-c", "SHA256SUMS", cwd=directory)
        assert checked.returncode == 0, checked.stdout + checked.stderr
    for directory in (tmp_path / "copy", tmp_path / "copy" / "events" / event.name):
        files = [path for path in directory.iterdir() if path.is_file()]
        assert digests <= {hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    first = mounted.path / "assets" / assets[0] / "events"
    (named,) = (path for path in roots if path.name.endswith(short_id(assets[0])))
    assert len(_names(named / "events")) == len(_names(first)) == len(_TEXTS) + 1
    assert sorted(_names(mounted.path / "assets")) == sorted(
        uuid_in(asset) for asset in shared_archive.record("assets?page_size=500")["assets"]
    )


def test_the_public_alone_is_there_without_credentials(
    shared_archive: Steering, shared_mount: Callable[..., Mount], run: Run, tmp_path: Path
) -> None:
    """Records, attachments, events and sums of what was named; no token goes out."""
    shared_archive.reset()
    url = f"{shared_archive.url}/archivist/publicassets/{_STATEMENT}"
    mounted = shared_mount(
        *("--public", "--public-asset", url, "--public-asset", _STATEMENT),
        *("--cache-dir", tmp_path / "cache"),
        credentials=False,
    )
    assert _names(mounted.path) == ["publicassets"]
    public = mounted.path / "publicassets"
    assert _names(public) == [_STATEMENT]
    copied = run("cp", "-r", public, tmp_path / "copy")
    assert (copied.returncode, copied.stderr) == (0, "")
    statement = public / _STATEMENT
    renewal = statement / "events" / SAMPLE["event:conformity-renewal"]
    note = renewal / SAMPLE["blob:statement-note"]
    assert "Gültig bis" in note.read_text(encoding="utf-8")
    assert filecmp.cmp(note, tmp_path / "copy" / note.relative_to(public), shallow=False)
    for directory in (statement, renewal):
        checked = run("sha256sum", "-c", "SHA256SUMS", cwd=directory)
        assert (checked.returncode, checked.stderr) == (0, "")
    for name in ("assets", "by-name", "as-of"):
        assert outcome((mounted.path / name).stat) == "ENOENT"
    assert outcome((public / SAMPLE["asset:coffee"]).stat) == "ENOENT"
    assert _names(public) == [_STATEMENT]
    assert shared_archive.requests()
    assert not [r for r in shared_archive.requests() if r["has_authorization"]]


def test_a_token_is_not_sent_for_what_is_public(
    shared: Mount, shared_archive: Steering, run: Run
) -> None:
    """In a mount that has one; an asset that was looked up is listed from then on."""
    public = shared.path / "publicassets"
    assert _names(public) == []
    shared_archive.reset()
    assert run("find", public / _STATEMENT).returncode == 0
    assert (public / _STATEMENT / SAMPLE["blob:certificate"]).read_bytes().startswith(b"%PDF")
    assert _names(public) == [_STATEMENT]
    asked = shared_archive.requests("/publicassets/")
    assert asked
    assert not [request for request in asked if request["has_authorization"]]
    twin = shared.path / "assets" / _STATEMENT / SAMPLE["blob:certificate"]
    assert (public / _STATEMENT / twin.name).read_bytes() == twin.read_bytes()


def test_the_past_has_what_was_there_then(shared: Mount, run: Run, tmp_path: Path) -> None:
    """The bill of materials that was superseded since, by any spelling of the time, as one file."""
    old, new = SAMPLE["blob:firmware-1"], SAMPLE["blob:firmware-2"]
    sensor, as_of = SAMPLE["asset:sensor"], shared.path / "as-of"
    assert _names(as_of) == []
    moments = ("2023-06-30", "2023-06-30T12:00:00Z", "2023-06-30T12:00:00.000+02:00")
    for moment in moments:
        assert _names(as_of / moment) == ["assets"]
        then = as_of / moment / "assets" / sensor
        assert old in _names(then)
        assert new not in _names(then)
        assert set(_names(then / "events")) == {
            SAMPLE["event:sensor-created"],
            SAMPLE["event:sensor-firmware-1"],
        }
        assert b"1.2.0" in (then / old).read_bytes()
    inodes = {(as_of / moment / "assets" / sensor / old).stat().st_ino for moment in moments}
    assert len(inodes) == 1
    copied = run("cp", "-r", as_of / "2023-06-30" / "assets" / sensor, tmp_path / "copy")
    assert (copied.returncode, copied.stderr) == (0, "")
    assert old in _names(tmp_path / "copy")
    checked = run("sha256sum", "-c", "SHA256SUMS", cwd=tmp_path / "copy")
    assert checked.returncode == 0, checked.stderr
    now = shared.path / "assets" / sensor
    assert new in _names(now)
    assert old not in _names(now)


def test_before_its_creation_an_asset_was_not_there(shared: Mount, run: Run) -> None:
    """Its directory, and whatever is in it today, neither exists nor is listed."""
    then = shared.path / "as-of" / "2023-01-31" / "assets"
    light, sensor = SAMPLE["asset:light"], SAMPLE["asset:sensor"]
    assert outcome((then / sensor).stat) == "ENOENT"
    assert outcome((then / sensor / SAMPLE["blob:sensor-photo"]).read_bytes) == "ENOENT"
    assert outcome(lambda: list((then / sensor / "events").iterdir())) == "ENOENT"
    assert (then / light / SAMPLE["blob:light-photo"]).read_bytes()
    assert set(_names(then / light / "events")) == {
        SAMPLE["event:light-created"],
        SAMPLE["event:light-attach"],
    }
    inspection = then / light / "events" / SAMPLE["event:light-inspection"]
    assert outcome(inspection.stat) == "ENOENT"
    found = run("find", then, "-maxdepth", "1", "-mindepth", "1", "-type", "d")
    assert found.stdout == f"{then / light}\n"
    assert (found.returncode, found.stderr) == (0, "")
    for name in ("2023-13-01", "2023-01-31T25:00:00Z", "yesterday", ".git", "2023-01-31 "):
        assert outcome((then.parent.parent / name).stat) == "ENOENT"
