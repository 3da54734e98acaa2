"""Every command in the documents is run, and does what the document says."""

from pathlib import Path

import pytest

from tests.support.stages import DOCUMENTS, GUIDES, play

pytestmark = pytest.mark.mount


@pytest.mark.parametrize("document", sorted(DOCUMENTS - GUIDES))
def test_commands_of_a_document_do_what_it_says(document: str, tmp_path: Path) -> None:
    """On a machine of their own, with the sample archive where the real service would be."""
    play(document, tmp_path)
