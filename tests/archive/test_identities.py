"""Identities of assets, events and attachments."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.identities import AttachmentPath, Holder, attachment_path, is_uuid, uuid_of
from tests.support.archives import ASSET, ATTACHMENT, EVENT


@pytest.mark.parametrize(
    "prefix",
    ["", "assets/", "publicassets/", "blobs/", "attachments/", "blobsV1/", "events/",
     f"assets/{EVENT}/events/", f"publicassets/{EVENT}/events/", "/", "https://x/"],
)  # fmt: skip
def test_only_the_last_segment_of_an_identity_counts(prefix: str) -> None:
    """Prefixes changed over the years, the UUID at the end did not."""
    assert uuid_of(prefix + ASSET) == ASSET


def test_identities_are_read_in_lower_case() -> None:
    """A UUID in capitals is the same UUID."""
    assert uuid_of(f"assets/{ASSET.upper()}") == ASSET


@pytest.mark.parametrize(
    "identity",
    [None, 5, "", "assets/", ASSET + "/", ASSET[:-1], ASSET + "0", f"{{{ASSET}}}",
     f"urn:uuid:{ASSET}", ASSET.replace("-", ""), ASSET + "\n", " " + ASSET,
     [ASSET], {"identity": ASSET}, f"{ASSET}?x"],
)  # fmt: skip
def test_what_does_not_end_in_a_uuid_has_none(identity: object) -> None:
    """Everything else has no UUID, whatever its type."""
    assert uuid_of(identity) is None


@given(st.uuids())
def test_every_uuid_is_one_in_canonical_form_alone(uuid: UUID) -> None:
    """Any version counts, in lower case and with hyphens only."""
    assert is_uuid(str(uuid))
    assert uuid_of(f"x/{str(uuid).upper()}") == str(uuid)
    assert not is_uuid(uuid.hex)
    assert is_uuid(str(uuid).upper()) == str(uuid).isupper() or str(uuid).upper() == str(uuid)


@given(st.text())
def test_a_name_is_a_uuid_only_if_it_is_how_python_writes_one(name: str) -> None:
    """No text but the canonical one passes."""
    try:
        canonical = str(UUID(name)) == name
    except ValueError:
        canonical = False
    assert is_uuid(name) is canonical


def test_paths_are_spelled_as_in_urls() -> None:
    """Holders and attachments have the path that the Attachments API gives them."""
    assert Holder(ASSET).path == f"assets/{ASSET}"
    assert Holder(ASSET, EVENT).path == f"assets/{ASSET}/events/{EVENT}"
    path = AttachmentPath(Holder(ASSET, EVENT), ATTACHMENT)
    assert path.path == f"assets/{ASSET}/events/{EVENT}/{ATTACHMENT}"


@pytest.mark.parametrize("public", [False, True])
@pytest.mark.parametrize("event", [None, EVENT])
def test_a_path_is_read_as_it_is_written(event: str | None, public: bool) -> None:  # noqa: FBT001 - a parameter
    """Of an asset or an event, public or not."""
    path = AttachmentPath(Holder(ASSET, event, public), ATTACHMENT)
    assert attachment_path(path.path) == path


@pytest.mark.parametrize(
    "text",
    ["", "assets", f"assets/{ASSET}", f"assets/{ASSET}/events/{EVENT}", f"blobs/{ASSET}/{EVENT}",
     f"assets/{ASSET}/{ATTACHMENT}/", f"assets/{ASSET}/events/x/{ATTACHMENT}"],
)  # fmt: skip
def test_what_is_no_path_is_none(text: str) -> None:
    """Whatever an index holds."""
    assert attachment_path(text) is None
