"""A job in parts tells what it does by itself, and each part of it whole."""

import trio

from attachfs.audit.events import Begun, Checked, Covered, Event, Progress, Total
from attachfs.audit.parts import Pieces, Tally, in_parts
from attachfs.audit.report import Finding
from attachfs.audit.verify import Verify
from tests.support.estates import Estate
from tests.support.jobs import told_by

_ASSETS = 7
_PER_ASSET = 3  # its own, which the event that made it shows as well, and that of another event


async def _told(estate: Estate, *paths: str, done: frozenset[str] = frozenset()) -> list[Event]:
    events: list[Event] = []

    async def tell(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        events.append(event)

    async with estate.mounted() as mounted:
        await in_parts(Verify(paths), mounted.fs, tell, done)
    return events


def _fill(estate: Estate) -> list[str]:
    """Make assets with an attachment each, and an event with another; return their paths."""
    paths = []
    for number in range(_ASSETS):
        holder, _ = estate.asset(b"of asset %d" % number)
        estate.event(holder, b"of event %d" % number)
        paths.append(holder.path)
    return paths


def _findings(events: list[Event]) -> dict[str, Finding]:
    return {event.finding.path: event.finding for event in events if isinstance(event, Checked)}


async def test_it_tells_what_one_run_tells(estate: Estate) -> None:
    """The same findings, bytes and total; what it begins with is told first."""
    _fill(estate)
    events = await _told(estate, "")
    async with estate.mounted() as mounted:
        alone = await told_by(mounted.fs, Verify(("",)))
    assert _findings(events).keys() == _findings(alone).keys()
    assert len(_findings(events)) == _PER_ASSET * _ASSETS
    assert (events[0], events[-1]) == (
        alone[0],
        Total(_PER_ASSET * _ASSETS, _bytes(alone), final=True),
    )
    assert isinstance(events[0], Begun)
    assert _bytes(events) == _bytes(alone)


def _bytes(events: list[Event]) -> int:
    return sum(event.size_bytes for event in events if isinstance(event, Progress))


async def test_each_part_is_told_whole(estate: Estate) -> None:
    """Nothing of another one is between its first finding and its end."""
    paths = _fill(estate)
    covered: list[str] = []
    since: list[str] = []
    for event in await _told(estate, "assets"):
        match event:
            case Checked(finding):
                since.append(finding.path)
            case Covered(of):
                assert all(path.startswith(of) for path in since)
                assert len(since) == _PER_ASSET * len(of)
                covered += of
                since = []
            case _:
                pass
    assert sorted(covered) == sorted(paths)
    assert since == []


async def test_what_is_done_is_left_out(estate: Estate) -> None:
    """It is not even looked into."""
    done, *others = _fill(estate)
    events = await _told(estate, "assets", done=frozenset({done}))
    assert {path.split("/")[1] for path in _findings(events)} == {
        path.split("/")[1] for path in others
    }


async def test_a_directory_that_cannot_be_listed_is_told_in_the_end(estate: Estate) -> None:
    """As trouble that no part covers: another run meets it again."""
    _fill(estate)
    estate.demo.fail_next(path_regex="/assets$", status=403, times=99)
    events = await _told(estate, "assets")
    (finding,) = _findings(events).values()
    assert (finding.path, str(finding.verdict)) == ("assets", "unreadable")
    assert not any(isinstance(event, Covered) for event in events)


async def test_pieces_are_counted_once_they_are_known(estate: Estate) -> None:
    """So that what is missing can be told."""
    paths = _fill(estate)
    async with estate.mounted() as mounted:
        pieces = Pieces(mounted.fs, Verify(("assets",)), {paths[0]})
        first = await pieces.take(2)
        assert (len(first), pieces.count) == (2, None)
        rest = await pieces.take(100)
        assert pieces.count == len(first) + len(rest) == _ASSETS - 1
        assert await pieces.take(1) == ()


def test_parts_grow_until_they_take_two_seconds() -> None:
    """And what there is in all is reckoned from those that are done."""
    tally = Tally()
    assert tally.part_size() == 1
    tally.take(1, [Total(3, 30, final=True)], 0.1)
    assert tally.part_size() == 20
    assert tally.total(None) == Total(3, 30, final=False)
    assert tally.total(4) == Total(12, 120, final=False, estimated=True)
    tally.take(20, [Total(57, 570, final=True)], 60.0)
    assert tally.part_size() == 1
    assert tally.end() == Total(60, 600, final=True)
    tally.take(50, [], 0.0)
    assert tally.part_size() <= 100
