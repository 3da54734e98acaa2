"""What was found bad: each attachment keeps its own word, also over a restart."""

from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import permutations
from pathlib import Path

import pytest
import trio

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.catalog import bad_digests
from attachfs.catalog.bad_digests import BadDigests
from attachfs.catalog.clock import Clock
from attachfs.catalog.index import Index
from attachfs.catalog.keys import BAD
from tests.catalog.collections import uuid
from tests.support.archives import sha256

_EVIL, _OTHER = sha256(b"evil"), sha256(b"other")
_PATHS = [
    AttachmentPath(Holder(uuid(1)), uuid(7)),
    AttachmentPath(Holder(uuid(1), uuid(2)), uuid(7)),
    AttachmentPath(Holder(uuid(1), public=True), uuid(7)),
]
_FIRST, _SECOND, _THIRD = _PATHS

Reopen = Callable[[], BadDigests]


@pytest.fixture
def reopen(tmp_path: Path) -> Iterator[Reopen]:
    """Close the index, if it was opened before, and read what is bad from it."""
    indexes: list[Index] = []

    def read() -> BadDigests:
        for index in indexes:
            index.close()
        indexes.append(Index.open(tmp_path / "index"))
        return BadDigests(indexes[-1], Clock())

    yield read
    for index in indexes:
        index.close()


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("marked", [*permutations(_PATHS)])
@pytest.mark.parametrize("cleared", [*permutations(_PATHS)])
async def test_a_digest_is_bad_until_the_last_attachment_takes_its_mark_back(
    reopen: Reopen,
    marked: tuple[AttachmentPath, ...],
    cleared: tuple[AttachmentPath, ...],
    *,
    restarted: bool,
) -> None:
    """In whatever order they are marked and cleared, over a restart at every step."""
    bad = reopen()
    for path in marked:
        bad.mark(path, {_EVIL})
        bad = reopen() if restarted else bad
    for path in cleared:
        assert bad.has({_EVIL})
        bad.clear(path)
        bad = reopen() if restarted else bad
    assert not bad.has({_EVIL})
    assert not bad.holders


async def test_a_mark_is_on_every_digest_of_an_attachment(reopen: Reopen) -> None:
    """And on no other; one bad digest is enough for whoever has several."""
    bad = reopen()
    bad.mark(_FIRST, {_EVIL, _OTHER})
    assert bad.has({_EVIL})
    assert bad.has({_OTHER})
    assert bad.has({sha256(b"good"), _OTHER})
    assert not bad.has({sha256(b"good")})
    assert not bad.has(())


async def test_clearing_one_attachment_leaves_the_digests_of_others(reopen: Reopen) -> None:
    """Also those that both have."""
    bad = reopen()
    bad.mark(_FIRST, {_EVIL, _OTHER})
    bad.mark(_SECOND, {_OTHER})
    bad.clear(_FIRST)
    for again in (bad, reopen()):
        assert not again.has({_EVIL})
        assert again.has({_OTHER})


async def test_an_attachment_that_was_never_marked_clears_nothing(reopen: Reopen) -> None:
    """Its word is about itself."""
    bad = reopen()
    bad.mark(_FIRST, {_EVIL})
    bad.clear(_SECOND)
    assert bad.has({_EVIL})


async def test_own_marks_can_be_left_out(reopen: Reopen) -> None:
    """Then the word of others counts."""
    bad = reopen()
    bad.mark(_FIRST, {_EVIL})
    assert not bad.has({_EVIL}, besides=_FIRST)
    assert bad.has({_EVIL}, besides=_SECOND)
    bad.mark(_SECOND, {_EVIL})
    assert bad.has({_EVIL}, besides=_FIRST)


@pytest.mark.parametrize("restarted", [False, True])
@pytest.mark.parametrize("known", [set[str](), {_OTHER}])
async def test_a_digest_that_is_learnt_later_is_bad_from_then_on(
    reopen: Reopen, known: set[str], *, restarted: bool
) -> None:
    """Where the attachment was marked before, with whatever digests; not where it is good."""
    bad = reopen()
    bad.mark(_FIRST, known)
    assert bad.holders
    bad = reopen() if restarted else bad
    assert set(bad.holders) == {_FIRST.holder}
    bad.learn(_SECOND, {_EVIL})
    assert not bad.has({_EVIL})
    bad.learn(_FIRST, {_EVIL})
    for again in (bad, reopen()):
        assert again.has({_EVIL})
    again.clear(_FIRST)
    for again in (again, reopen()):  # noqa: B020 - the one before, then the one after a restart
        assert not again.holders
        assert not again.holders


async def test_a_holder_is_attended_to_while_one_of_its_attachments_is_bad(reopen: Reopen) -> None:
    """Each marked as often as it likes."""
    bad = reopen()
    sibling = AttachmentPath(_FIRST.holder, uuid(8))
    for path in (_FIRST, _FIRST, sibling):
        bad.mark(path, {_EVIL})
    bad.clear(_FIRST)
    assert _FIRST.holder in bad.holders
    bad.clear(sibling)
    assert _FIRST.holder not in bad.holders


async def test_what_was_marked_first_goes_where_there_are_too_many(
    reopen: Reopen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server cannot fill the memory."""
    monkeypatch.setattr(bad_digests, "_MAX_ENTRIES", 20)
    bad = reopen()
    for number in range(100):
        bad.mark(AttachmentPath(Holder(uuid(number)), uuid(7)), {sha256(bytes([number]))})
    assert [number for number in range(100) if bad.has({sha256(bytes([number]))})] == [
        *range(90, 100)
    ]
    assert len(bad.holders) == 10


async def test_a_mark_is_as_old_as_the_info_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for what a record declared: an old entry may be removed while `/info` still says bad."""
    clock = Clock()
    index = Index.open(tmp_path / "index")
    try:
        bad = BadDigests(index, clock)
        bad.mark(_FIRST, {_EVIL})
        bad.learn(_FIRST, {_OTHER})
        later_s = clock.now_s() + 1_000
        monkeypatch.setattr(clock, "now_s", lambda: later_s)
        bad.mark(_FIRST, {_EVIL})
        entries = [index.get(key) for key in index.keys(BAD, 10)]
        assert [entry.at_s for entry in entries if entry is not None] == [later_s] * 3
    finally:
        index.close()


async def test_a_mark_of_another_process_holds_from_when_it_is_written(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """A mount that is already running learns it, for `has` and `paths`; one that is apart does not.

    What waits to be removed here is not learnt again.
    """
    with (
        closing(Index.open(tmp_path / "index")) as ours,
        closing(Index.open(tmp_path / "index")) as theirs,
    ):
        for index in (ours, theirs):
            index.start(nursery)
        mine, other = BadDigests(ours, Clock()), BadDigests(theirs, Clock())
        apart = BadDigests(ours, Clock(), apart=True)
        assert not mine.has({_EVIL})
        other.mark(_FIRST, {_EVIL})
        await theirs.settle()
        assert mine.has({_OTHER, _EVIL})
        assert mine.has({_EVIL}, besides=_SECOND)
        assert not mine.has({_EVIL}, besides=_FIRST)
        assert mine.paths(_EVIL) == [_FIRST]
        assert _FIRST.holder in mine.holders
        assert not apart.has({_EVIL})
        mine.clear(_FIRST)
        assert not mine.has({_EVIL})
        await ours.settle()
        assert not mine.has({_EVIL})
