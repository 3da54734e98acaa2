"""Which names are those of sidecars."""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.endpoints import ScanPolicy
from attachfs.errors import NotFound
from attachfs.tree.files import SidecarFile
from attachfs.tree.holders import HolderDirectory
from attachfs.tree.inodes import InodeTable
from attachfs.tree.names import SIDECAR_SUFFIX
from attachfs.tree.nodes import Estate
from attachfs.tree.places import Place, View
from tests.support.archives import ATTACHMENT, HOLDER

_NOTHING: Any = None  # a name alone tells: neither catalog nor content is asked


async def _attachment_of_sidecar(name: str) -> str | None:
    estate = Estate(_NOTHING, _NOTHING, InodeTable("https://host", b"root"), ScanPolicy.BLOCK_BAD)
    try:
        node = await HolderDirectory(estate, Place(View(), HOLDER)).find(name)
    except NotFound:
        return None
    return node.attachment if isinstance(node, SidecarFile) else None


@given(st.uuids())
async def test_a_sidecar_is_a_uuid_and_its_suffix(uuid: UUID) -> None:
    """And names that UUID."""
    assert await _attachment_of_sidecar(f"{uuid}{SIDECAR_SUFFIX}") == str(uuid)


@pytest.mark.parametrize(
    "name",
    ["", SIDECAR_SUFFIX, ATTACHMENT, f"{ATTACHMENT}.info", f"{ATTACHMENT}.json", "asset.json",
     f"{ATTACHMENT.upper()}.info.json", f"{ATTACHMENT}.INFO.JSON", f"x{ATTACHMENT}.info.json",
     f"{ATTACHMENT}.info.json.info.json", f"{ATTACHMENT}.info.json~", f".{ATTACHMENT}.info.json"],
)  # fmt: skip
async def test_other_names_are_no_sidecars(name: str) -> None:
    """Not in capitals, not with more before or behind."""
    assert await _attachment_of_sidecar(name) is None


@given(st.text())
async def test_no_text_is_taken_for_a_sidecar(name: str) -> None:
    """Without the suffix behind a canonical UUID there is none."""
    found = await _attachment_of_sidecar(name)
    assert found is None or name == f"{UUID(found)}{SIDECAR_SUFFIX}"
