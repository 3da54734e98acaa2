"""Names, and which of them can exist at all."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.tree.names import SIDECAR_SUFFIX, attachment_of_sidecar
from tests.support.archives import ATTACHMENT


@given(st.uuids())
def test_a_sidecar_is_a_uuid_and_its_suffix(uuid: UUID) -> None:
    """And names that UUID."""
    assert attachment_of_sidecar(f"{uuid}{SIDECAR_SUFFIX}") == str(uuid)


@pytest.mark.parametrize(
    "name",
    ["", SIDECAR_SUFFIX, ATTACHMENT, f"{ATTACHMENT}.info", f"{ATTACHMENT}.json", "asset.json",
     f"{ATTACHMENT.upper()}.info.json", f"{ATTACHMENT}.INFO.JSON", f"x{ATTACHMENT}.info.json",
     f"{ATTACHMENT}.info.json.info.json", f"{ATTACHMENT}.info.json~", f".{ATTACHMENT}.info.json"],
)  # fmt: skip
def test_other_names_are_no_sidecars(name: str) -> None:
    """Not in capitals, not with more before or behind."""
    assert attachment_of_sidecar(name) is None


@given(st.text())
def test_no_text_is_taken_for_a_sidecar(name: str) -> None:
    """Without the suffix behind a canonical UUID there is none."""
    found = attachment_of_sidecar(name)
    assert found is None or name == f"{UUID(found)}{SIDECAR_SUFFIX}"
