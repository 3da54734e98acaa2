"""Answers that overtake each other, refreshes in between, and clocks that were wrong."""

import pytest
import trio
from trio.testing import MockClock

from attachfs.catalog.clock import Clock
from attachfs.catalog.memo import Codec, Memo
from attachfs.errors import BadReply, Denied, NotFound, Unreachable
from tests.catalog.bases import TEXT, Source, basis
from tests.support.archives import index_in_memory

_DAY_S = 86400.0
Changes = list[tuple[str, str, str | None]]


def _load(_key: str, data: bytes) -> str:
    text = data.decode()
    if "?" in text:
        raise BadReply("unreadable")
    return text


_WORDS: Codec[str, str] = Codec(
    pack=str.encode,
    dump=str.encode,
    load=_load,
    same=lambda old, new: sorted(old.split()) == sorted(new.split()),
)


@pytest.fixture
def changes() -> Changes:
    """What a memo has told as changed."""
    return []


@pytest.fixture
def memo(nursery: trio.Nursery, changes: Changes) -> Memo[str, str]:
    """A memo of words, whose order does not count."""
    return Memo(
        basis(nursery, stale_ok_s=100),
        _WORDS,
        max_entries=100,
        on_change=lambda key, old, new: changes.append((key, old, new)),
    )


def _now_s(memo: Memo[str, str]) -> float:
    return memo._basis.clock.now_s()


def _learn(memo: Memo[str, str], answers: dict[str, bytes], at_s: float) -> None:
    memo.update(memo.compare(list(answers.items())), at_s)


async def _refusal() -> str:
    await trio.lowlevel.checkpoint()
    raise Denied("no")


async def test_a_page_brings_what_is_new_and_tells_what_has_changed(
    memo: Memo[str, str], changes: Changes, autojump_clock: MockClock
) -> None:
    """What says nothing new stays the same object, and is as young as the page."""
    for key in ("equal", "shuffled", "changed"):
        memo.put(key, "one two", _now_s(memo))
    before = {key: memo.peek(key) for key in ("equal", "shuffled")}
    autojump_clock.jump(100)
    answers = {
        "new": b"three",
        "equal": b"one two",
        "shuffled": b"two one",
        "changed": b"one",
    }
    _learn(memo, answers, _now_s(memo))
    assert changes == [("changed", "one two", "one")]
    assert (memo.peek("new"), memo.peek("changed")) == ("three", "one")
    assert all(memo.peek(key) is value for key, value in before.items())
    source = Source()
    for key in answers:
        await memo.get(key, source, max_age_s=1)
    assert source.asked == 0


@pytest.mark.parametrize("data", [b"?", b"fine"])
async def test_a_page_replaces_what_cannot_be_read(memo: Memo[str, str], data: bytes) -> None:
    """Whichever of the two is damaged, nothing is raised, and it is asked for at worst."""
    memo._basis.index.put(b"key", b"?", _now_s(memo))
    _learn(memo, {"key": data}, _now_s(memo))
    assert memo.peek("key") == (None if data == b"?" else "fine")


async def test_a_damaged_entry_is_a_miss(memo: Memo[str, str], changes: Changes) -> None:
    """It is removed, and asked for."""
    memo._basis.index.put(b"key", b"?", _now_s(memo))
    assert memo.known("key") is None
    assert memo._basis.index.get(b"key") is None
    assert await memo.get("key", Source(), max_age_s=60) == "value 1"
    assert changes == []


async def test_an_older_answer_says_nothing(
    memo: Memo[str, str], changes: Changes, autojump_clock: MockClock
) -> None:
    """Neither an answer nor a page that was asked for before what is known."""
    began_s = _now_s(memo)
    autojump_clock.jump(1)
    memo.put("key", "new", _now_s(memo))
    _learn(memo, {"key": b"old"}, began_s)
    assert memo.put("key", "old", began_s) == "new"
    assert (memo.known("key"), changes) == (("new", _now_s(memo)), [])


@pytest.mark.parametrize("page", [b"old", b"new"])
async def test_an_answer_that_comes_while_a_page_is_compared_is_not_undone(
    memo: Memo[str, str], autojump_clock: MockClock, page: bytes
) -> None:
    """A large page is read in a thread: meanwhile, something newer may be learnt."""
    memo.put("key", "old", _now_s(memo))
    began_s = _now_s(memo)
    autojump_clock.jump(1)
    updates = memo.compare([("key", page)])
    memo.put("key", "new", _now_s(memo))
    memo.update(updates, began_s)
    assert memo.known("key") == ("new", _now_s(memo))
    assert memo._basis.index.get(b"key") == (b"new", _now_s(memo))


@pytest.mark.parametrize("known", [True, False])
async def test_a_page_asked_for_before_a_refusal_does_not_undo_it(
    memo: Memo[str, str], autojump_clock: MockClock, *, known: bool
) -> None:
    """It is slower to come: the right was withdrawn after the server had written it."""
    if known:
        memo.put("key", "secret", _now_s(memo))
    began_s = _now_s(memo)
    updates = memo.compare([("key", b"secret")])
    autojump_clock.jump(1)
    with pytest.raises(Denied):
        await memo.get("key", _refusal, max_age_s=0)
    memo.update(updates, began_s)
    memo.put("key", "secret", began_s)
    assert memo.peek("key") is None
    with pytest.raises(Denied):
        await memo.get("key", Source(), max_age_s=60)
    autojump_clock.jump(1)
    _learn(memo, {"key": b"secret again"}, _now_s(memo))
    assert await memo.get("key", Source(), max_age_s=60) == "secret again"


@pytest.mark.usefixtures("autojump_clock")
async def test_a_refresh_during_a_fetch_asks_again(
    memo: Memo[str, str],
    autojump_clock: MockClock,  # noqa: ARG001 - it passes the time
) -> None:
    """What was asked for before a refresh does not answer who comes after it."""
    source = Source()
    source.delay_s = 5
    got: list[str] = []

    async def ask() -> None:
        got.append(await memo.get("key", source, max_age_s=60))

    async with trio.open_nursery() as readers:
        readers.start_soon(ask)
        await trio.sleep(1)
        memo.expire("key")
        readers.start_soon(ask)
    assert (got, source.asked) == (["value 2", "value 2"], 2)
    memo.expire_all()
    assert await memo.get("key", source, max_age_s=60) == "value 2"


@pytest.mark.parametrize("everything", [True, False])
async def test_what_is_told_to_be_asked_for_again_is(
    memo: Memo[str, str], autojump_clock: MockClock, *, everything: bool
) -> None:
    """Once, and refusals too; only what can never change is believed for good."""
    source = Source()
    for key in ("key", "for good"):
        await memo.get(key, source, max_age_s=60)
    with pytest.raises(Denied):
        await memo.get("refused", _refusal, max_age_s=60)
    autojump_clock.jump(1)
    if everything:
        memo.expire_all()
    else:
        for key in ("key", "for good", "refused"):
            memo.expire(key)
    autojump_clock.jump(1)
    for _ in range(2):
        assert await memo.get("key", source, max_age_s=60) == "value 3"
        assert await memo.get("for good", source, max_age_s=float("inf")) == "value 2"
    assert await memo.get("refused", source, max_age_s=60) == "value 4"


async def test_an_answer_of_the_future_is_believed_by_no_one(
    memo: Memo[str, str], autojump_clock: MockClock
) -> None:
    """The machine's clock was a day ahead when it came: it is asked for, and replaced."""
    memo._basis.index.put(b"key", b"of tomorrow", _now_s(memo) + _DAY_S)
    source = Source()
    assert await memo.get("key", source, max_age_s=60) == "value 1"
    assert memo.known("key") == ("value 1", _now_s(memo))
    autojump_clock.jump(1)
    assert await memo.get("key", source, max_age_s=60) == "value 1"
    assert source.asked == 1


async def test_a_page_replaces_an_answer_of_the_future(memo: Memo[str, str]) -> None:
    """What is listed is as young as the listing."""
    now_s = _now_s(memo)
    for key in ("equal", "other"):
        memo._basis.index.put(key.encode(), b"one two", now_s + _DAY_S)
    memo.peek("equal")
    _learn(memo, {"equal": b"one two", "other": b"three"}, now_s)
    assert memo.known("equal") == ("one two", now_s)
    assert memo.known("other") == ("three", now_s)


async def test_an_answer_of_the_far_future_is_not_served_instead(memo: Memo[str, str]) -> None:
    """Nobody knows how old it is, so that it may be older than is good."""
    source = Source()
    source.error = Unreachable("away")
    memo._basis.index.put(b"key", b"of tomorrow", _now_s(memo) + _DAY_S)
    for strict in (True, False):
        with pytest.raises(Unreachable):
            await memo.get("key", source, max_age_s=60, strict=strict)


async def test_what_was_known_outlives_a_restart(nursery: trio.Nursery) -> None:
    """A second memo on the same index asks nothing; what was refused is asked for."""
    index = index_in_memory(nursery)
    clock, source = Clock(), Source()
    for _ in range(2):
        memo: Memo[str, str] = Memo(basis(nursery, index=index, clock=clock), TEXT, max_entries=9)
        assert await memo.get("key", source, max_age_s=60) == "value 1"
        source.error = NotFound("no")
        with pytest.raises(NotFound):
            await memo.get("other", source, max_age_s=60)
        source.error = None
    assert source.asked == 3
