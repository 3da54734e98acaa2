"""The official SDK drives the archive over a real socket, as it would the service."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from archivist.archivist import Archivist  # type: ignore[import-untyped]
from archivist.errors import (  # type: ignore[import-untyped]
    ArchivistBadRequestError,
    ArchivistForbiddenError,
    ArchivistNotFoundError,
    ArchivistNotImplementedError,
    ArchivistTooManyRequestsError,
    ArchivistUnauthenticatedError,
    ArchivistUnavailableError,
)

from attachfs.demo import SAMPLE, ArchiveConfig, RunningArchive

CONTENT = b"Delivery note: 12 pallets\n"


@pytest.fixture
def running(serve: Callable[[ArchiveConfig], RunningArchive]) -> RunningArchive:
    """An archive without a sample estate, in a thread of its own: the SDK blocks."""
    return serve(ArchiveConfig(empty=True))


@pytest.fixture
def sdk(running: RunningArchive) -> Iterator[Any]:
    """The SDK, fetching its tokens with the client's secret."""
    secret = running.client_secret_file.read_text().strip()
    with Archivist(running.url, (running.client_id, secret), max_time=10) as sdk:
        yield sdk


@pytest.fixture
def note(tmp_path: Path) -> Path:
    """A file to attach."""
    path = tmp_path / "note.txt"
    path.write_bytes(CONTENT)
    return path


def attached(sdk: Any, path: Path) -> dict[str, str]:
    """Upload a file and return the dict that attaches it."""
    made: dict[str, str] = sdk.attachments.create(
        {"filename": str(path), "content_type": "image/jpg", "display_name": "note"}
    )
    return made


def test_an_upload_is_downloaded_again(sdk: Any, note: Path) -> None:
    """Blob, metadata and the parameters of the scan work as in the SDK's functional tests."""
    with note.open("rb") as file:
        blob = sdk.attachments.upload(file)
    info = sdk.attachments.info(blob["identity"])
    assert (info["hash"]["value"], info["size"]) == (
        hashlib.sha256(CONTENT).hexdigest(),
        len(CONTENT),
    )
    for params in (None, {"allow_insecure": "true"}):
        target = io.BytesIO()
        response = sdk.attachments.download(blob["identity"], target, params=params)
        assert target.getvalue() == CONTENT
        assert response.headers["content-type"] == info["mime_type"]
    with pytest.raises(ArchivistBadRequestError):
        sdk.attachments.download(blob["identity"], io.BytesIO(), params={"strict": "true"})


def test_assets_and_events_are_created_and_confirmed(sdk: Any, note: Path) -> None:
    """Attachments of both are read through the attachments endpoints."""
    asset = sdk.assets.create(
        attrs={"arc_display_name": "Container", "note": attached(sdk, note)}, confirm=True
    )
    event = sdk.events.create(
        asset["identity"],
        {"operation": "Record", "behaviour": "RecordEvidence"},
        {"arc_display_type": "Delivery", "own": attached(sdk, note)},
        asset_attrs={"state": "delivered"},
        confirm=True,
    )
    assert (asset["confirmation_status"], event["confirmation_status"]) == ("COMMITTED",) * 2
    assert sdk.assets.read(asset["identity"])["attributes"]["state"] == "delivered"
    for owner, attachment in (
        (asset, asset["attributes"]["note"]),
        (event, event["event_attributes"]["own"]),
    ):
        target = io.BytesIO()
        blob = attachment["arc_blob_identity"]
        sdk.assetattachments.download(owner["identity"], blob, target)
        assert target.getvalue() == CONTENT
        info = sdk.assetattachments.info(owner["identity"], blob)
        assert info["hash"]["value"] == attachment["arc_blob_hash_value"]


def test_lists_are_paged_counted_and_searched(sdk: Any) -> None:
    """The SDK resumes with the token and the page size alone, and sees every match once."""
    for number in range(7):
        sdk.assets.create(attrs={"n": str(number), "odd": str(number % 2)})
    found = [a["attributes"]["n"] for a in sdk.assets.list(page_size=2, attrs={"odd": "0"})]
    assert found == ["6", "4", "2", "0"]
    assert (sdk.assets.count(), sdk.assets.count(attrs={"odd": "1"})) == (7, 3)
    assert len(list(sdk.events.list(page_size=3))) == sdk.events.count() == 7
    assert sdk.assets.read_by_signature(attrs={"n": "5"})["attributes"]["odd"] == "1"
    with pytest.raises(ArchivistNotFoundError):
        sdk.assets.read_by_signature(attrs={"n": "9"})
    assert sdk.assets.wait_for_confirmed()
    assert sdk.events.wait_for_confirmed()


def test_the_public_client_needs_no_token(sdk: Any, note: Path) -> None:
    """It goes from the public URL to record, events and attachment by itself."""
    asset = sdk.assets.create(
        props={"public": True}, attrs={"note": attached(sdk, note)}, confirm=True
    )
    blob = asset["attributes"]["note"]["arc_blob_identity"]
    with sdk.Public as public:
        url = sdk.assets.publicurl(asset["identity"])
        assert public.assets.read(url)["attributes"] == asset["attributes"]
        assert public.events.count(asset_id=url) == 1
        (event,) = public.events.list(asset_id=url)
        event_url = sdk.events.publicurl(event["identity"].removeprefix("public"))
        assert public.events.read(event_url) == event
        for place in (url, event_url):
            target = io.BytesIO()
            public.assetattachments.download(place, blob, target)
            assert target.getvalue() == CONTENT
            assert public.assetattachments.info(place, blob)["size"] == len(CONTENT)


def test_a_story_runs(sdk: Any, note: Path) -> None:
    """The SDK's runner creates an asset once, attaches files to its events, and counts."""
    create: dict[str, Any] = {
        "step": {
            "action": "ASSETS_CREATE_IF_NOT_EXISTS",
            "description": "a door",
            "asset_label": "door",
        },
        "selector": [{"attributes": ["arc_display_name"]}],
        "behaviours": ["RecordEvidence"],
        "attributes": {"arc_display_name": "Door", "arc_display_type": "door"},
        "attachments": [{"filename": str(note), "content_type": "text/plain"}],
        "confirm": True,
    }
    event = {
        "step": {"action": "EVENTS_CREATE", "asset_label": "door"},
        "operation": "Record",
        "behaviour": "RecordEvidence",
        "event_attributes": {"arc_description": "opened"},
        "attachments": [
            {"filename": str(note), "content_type": "text/plain", "attachment": "proof"}
        ],
        "confirm": True,
    }
    count = {"step": {"action": "EVENTS_COUNT", "asset_label": "door", "print_response": True}}
    estate = {"step": {"action": "COMPOSITE_ESTATE_INFO"}}
    again = {**create, "step": dict(create["step"])}
    sdk.runner.run_steps({"steps": [create, event, count, estate, again]})
    (door,) = sdk.assets.list()
    # The key that the SDK makes of a path keeps its slashes (contract §6.1).
    assert str(note).replace(".", "_") in door["attributes"]
    assert sdk.events.count(asset_id=door["identity"]) == 2


def test_applications_and_tenancies_are_driven(sdk: Any) -> None:
    """Create, read, list, update, regenerate and delete, and a token for the new secret."""
    made = sdk.applications.create("TrafficLight101", {"serial_number": "TL1"})
    identity = made["identity"]
    assert sdk.applications.read(identity)["client_id"] == made["client_id"]
    listed = list(sdk.applications.list(display_name="TrafficLight101"))
    assert [entry["identity"] for entry in listed] == [identity]
    assert sdk.applications.update(identity, display_name="new")["display_name"] == "new"
    renewed = sdk.applications.regenerate(identity)
    secret = renewed["credentials"][0]["secret"]
    assert sdk.appidp.token(made["client_id"], secret)["token_type"] == "Bearer"
    with pytest.raises(ArchivistUnauthenticatedError):
        sdk.appidp.token(made["client_id"], made["credentials"][0]["secret"])
    assert sdk.applications.delete(identity) == {}
    tenant = sdk.assets.create()["identity"]
    info = sdk.tenancies.publicinfo(sdk.assets.read(tenant)["tenant_identity"])
    assert info["verified_domain"] == "archive.example"


def test_failures_are_told_apart(sdk: Any, running: RunningArchive) -> None:
    """Every status the SDK knows by name arrives as that."""
    for status, error in (
        (401, ArchivistUnauthenticatedError),
        (403, ArchivistForbiddenError),
        (501, ArchivistNotImplementedError),
        (503, ArchivistUnavailableError),
    ):
        running.archive.fail_next(path_regex="/v2/assets", status=status)
        with pytest.raises(error):
            sdk.assets.count()


def test_the_rate_limit_is_waited_for(sdk: Any, running: RunningArchive) -> None:
    """The SDK retries after the header's seconds, and gives up without the header."""
    running.archive.set_switches(rate_limit_reset_s=0.001)
    running.archive.fail_next(path_regex="/v2/assets/", status=429, times=2)
    asset = sdk.assets.create()["identity"]
    assert sdk.assets.read(asset)["identity"] == asset
    running.archive.set_switches(rate_limit_header="none")
    running.archive.fail_next(path_regex="/v2/assets/", status=429)
    with pytest.raises(ArchivistTooManyRequestsError):
        sdk.assets.read(asset)


def test_tokens_are_refreshed(sdk: Any, running: RunningArchive) -> None:
    """A lifetime below the SDK's margin of 10 s makes it fetch one for every request."""
    running.archive.set_switches(token_lifetime_s=5)
    for _ in range(3):
        sdk.assets.count()
    assert len(running.archive.requests("appidp/token")) == 3


def test_the_sample_estate_is_readable(
    serve: Callable[[ArchiveConfig], RunningArchive],
) -> None:
    """With the token file's JWT the SDK finds the container and its primary image."""
    running = serve(ArchiveConfig())
    token = running.token_file.read_text().rsplit(" ", 1)[1].strip()
    with Archivist(running.url, token) as sdk:
        asset = sdk.assets.read_by_signature(attrs={"arc_display_type": "Refrigerated container"})
        assert asset["identity"] == f"assets/{SAMPLE['asset:container']}"
        target = io.BytesIO()
        image = asset.primary_image["arc_blob_identity"]
        sdk.assetattachments.download(asset["identity"], image, target)
        assert target.getvalue().startswith(b"\xff\xd8\xff")
        light = sdk.assets.read(f"assets/{SAMPLE['asset:light']}")
        assert light.primary_image["arc_attachment_identity"].endswith(SAMPLE["blob:light-photo"])
