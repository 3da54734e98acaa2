"""Every command in the documents is run, and does what stands there."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.consoles import Block, Order, pieces
from tests.support.stages import Stage

pytestmark = pytest.mark.mount

_ROOT = Path(__file__).parents[2]
_DOCUMENTS = sorted(
    str(path.relative_to(_ROOT)) for path in (*_ROOT.glob("*.md"), *_ROOT.glob("docs/*.md"))
)


@pytest.mark.parametrize("document", _DOCUMENTS)
def test_the_commands_do_what_is_said(document: str, tmp_path: Path) -> None:
    """On a machine of their own, with the sample archive where the real service would be."""
    found = list(pieces((_ROOT / document).read_text()))
    if not any(isinstance(piece, Block) for piece in found):
        return
    with ExitStack() as stack:
        stage = Stage(tmp_path, stack)
        try:
            for piece in found:
                if isinstance(piece, Order):
                    stage.obey(piece)
                else:
                    stage.perform(piece)
        finally:
            left = stage.left_mounted()
        assert left == []
        assert stage.unexpected() == []
