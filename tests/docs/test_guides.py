"""Every command in the how-to guides is run, and does what the guide says.

They have half of all commands; in a file of their own, another worker can run them.
"""

from pathlib import Path

import pytest

from tests.support.stages import DOCUMENTS, GUIDES, play

pytestmark = pytest.mark.mount


def test_guides_are_documents() -> None:
    """A guide that was renamed is not left out of both files."""
    assert GUIDES < DOCUMENTS


@pytest.mark.parametrize("document", sorted(GUIDES))
def test_commands_of_a_guide_do_what_it_says(document: str, tmp_path: Path) -> None:
    """On a machine of their own, with the sample archive where the real service would be."""
    play(document, tmp_path)
