"""The view as-of/, at its edges (beside test_views)."""

import json
from datetime import UTC, datetime

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import BadReply, Denied, NotFound, Unauthenticated
from tests.support.archives import ASSET, declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import ls, read, stat


def _asset(estate: Estate, at: str, **attributes: object) -> Holder:
    body = {"attributes": attributes}
    return Holder(uuid_in(estate.demo.create_asset(body, at=datetime.fromisoformat(at))))


async def _asked(estate: Estate) -> list[str]:
    return [request.query for request in await estate.requests() if "at_time" in request.query]


async def test_a_time_that_cannot_be_costs_no_request(estate: Estate) -> None:
    """Nor does any other name than assets below one that can."""
    async with estate.mounted() as mounted:
        for path in ("now", ".git", "2024-06-31", "2024-06-01T12:00:00", "9999-01-01",
                     "2024-06-01/events", "2024-06-01/by-name", "2024-06-01/publicassets",
                     "2024-06-01/2024-06-01", f"2024-06-01/{ASSET}",
                     "2024-06-01/assets/x"):  # fmt: skip
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"as-of/{path}")
        for path in ("2024-06-01", "2024-06-01T12:00:00.5+01:00/assets"):
            assert (await stat(mounted.fs, f"as-of/{path}")).is_directory
        assert await estate.count() == 0


async def test_two_spellings_of_one_time_are_two_directories_and_one_request(
    estate: Estate,
) -> None:
    """The kernel keeps directories apart; what the archive said is the same."""
    holder = _asset(estate, "2023-01-01T00:00:00Z", colour="blue")
    async with estate.mounted() as mounted:
        paths = [f"as-of/{time}/assets/{holder.asset}"
                 for time in ("2024-06-01T12:00:00Z", "2024-06-01T13:00:00+01:00")]  # fmt: skip
        first, second = [(await stat(mounted.fs, path)).ino for path in paths]
        assert first != second
        for path in paths:
            assert b"blue" in await read(mounted.fs, f"{path}/asset.json")
        assert await _asked(estate) == ["at_time=2024-06-01T12%3A00%3A00Z"]


async def test_a_date_has_all_that_was_recorded_on_that_day(estate: Estate) -> None:
    """To its last second; the day before has none of it."""
    holder = _asset(estate, "2023-01-01T00:00:00Z")
    event, _ = estate.event(holder, at="2024-06-01T23:59:59Z", on_asset={"colour": "red"})
    async with estate.mounted() as mounted:
        for date, there in (("2024-05-31", False), ("2024-06-01", True), ("2024-06-02", True)):
            path = f"as-of/{date}/assets/{holder.asset}"
            assert (event.event in await ls(mounted.fs, f"{path}/events")) is there
            assert (b"red" in await read(mounted.fs, f"{path}/asset.json")) is there


async def test_an_event_is_there_from_the_second_it_was_accepted_in(estate: Estate) -> None:
    """Its directory has what any event's has; before, it is neither listed nor found."""
    holder = _asset(estate, "2023-01-01T00:00:00Z")
    event, (own,) = estate.event(holder, b"two", at="2024-06-01T12:00:00Z")
    async with estate.mounted() as mounted:
        before, at = (f"as-of/2024-06-01T{time}Z/assets/{holder.asset}/events"
                      for time in ("11:59:59.999", "12:00:00"))  # fmt: skip
        assert len(await ls(mounted.fs, before)) == 1
        for name in ("", "/event.json", f"/{own}"):
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"{before}/{event.event}{name}")
        assert await ls(mounted.fs, at) == [event.event, *await ls(mounted.fs, before)]
        assert await read(mounted.fs, f"{at}/{event.event}/{own}") == b"two"


async def test_events_are_chosen_across_pages(estate: Estate) -> None:
    """Pages of nothing but newer events are passed over."""
    estate.demo.set_switches(max_page_limit=2)
    holder = _asset(estate, "2023-01-01T00:00:00Z")
    made = [estate.event(holder, at=f"2024-{month:02}-01T00:00:00Z")[0].event or ""
            for month in range(1, 10)]  # fmt: skip
    async with estate.mounted() as mounted:
        path = f"as-of/2024-02-15/assets/{holder.asset}/events"
        assert (await ls(mounted.fs, path))[:-1] == [made[1], made[0]]


async def test_an_asset_not_yet_there_is_neither_listed_nor_found(estate: Estate) -> None:
    """From the second it was created in, it is both."""
    estate.demo.set_switches(max_page_limit=3)
    made = [_asset(estate, f"2024-06-{day:02}T00:00:00Z") for day in range(1, 9)]
    async with estate.mounted() as mounted:
        for day in (0, 1, 5, 8):
            directory = f"as-of/2024-06-{day:02}/assets" if day else "as-of/2024-05-31/assets"
            there, later = made[:day], made[day:]
            assert await ls(mounted.fs, directory) == [one.asset for one in reversed(there)]
            for holder in there:
                assert (await stat(mounted.fs, f"{directory}/{holder.asset}/events")).is_directory
            for holder in later:
                for name in ("", "/asset.json", "/events", "/SHA256SUMS", f"/{ASSET}"):
                    with pytest.raises(NotFound):
                        await stat(mounted.fs, f"{directory}/{holder.asset}{name}")


async def test_an_asset_that_may_not_be_seen_is_listed_as_of_any_time(estate: Estate) -> None:
    """Whether it existed then is not known, and not taken for no."""
    denied, seen = (_asset(estate, "2023-01-01T00:00:00Z") for _ in range(2))
    async with estate.mounted() as mounted:
        assert len(await ls(mounted.fs, "assets")) == 2
        estate.demo.edit_asset(denied.asset, deny=True)
        directory = "as-of/2024-05-01/assets"
        assert set(await ls(mounted.fs, directory)) == {denied.asset, seen.asset}
        with pytest.raises(Denied):
            await ls(mounted.fs, f"{directory}/{denied.asset}")


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(("status", "error"), [(500, BadReply), (401, Unauthenticated)])
async def test_a_past_that_cannot_be_asked_for_makes_no_short_listing(
    estate: Estate, status: int, error: type[Exception]
) -> None:
    """It is an error, up to which all has been listed; asked again, it is whole."""
    made = [_asset(estate, "2023-01-01T00:00:00Z") for _ in range(5)]
    async with estate.mounted(negative_ttl_s=0) as mounted:
        estate.demo.fail_next(path_regex=f"{made[2].asset}$", status=status, times=200)
        fh = await mounted.fs.opendir((await stat(mounted.fs, "as-of/2024-05-01/assets")).ino)
        listed = mounted.fs.entries(fh)
        names: list[str] = []

        async def go_on() -> None:
            while (entry := await listed.wait(len(names))) is not None:
                names.append(entry.name)

        with pytest.raises(error):
            await go_on()
        assert len(names) == 2
        await estate.reset()
        await go_on()
        assert names == [one.asset for one in reversed(made)]


async def test_a_past_listing_asks_for_each_asset_once(estate: Estate) -> None:
    """What existed at a time that is past is known for good, and what did not for a while."""
    made = [_asset(estate, f"202{3 + number % 2}-06-01T00:00:00Z") for number in range(80)]
    async with estate.mounted(negative_ttl_s=0) as mounted:
        for _ in range(2):
            names = await ls(mounted.fs, "as-of/2024-05-01/assets")
            assert names == [one.asset for one in reversed(made[::2])]
        for name in names:
            await stat(mounted.fs, f"as-of/2024-05-01/assets/{name}/asset.json")
        assert len(await _asked(estate)) == len(made)
        await mounted.fs.refresh("")
        assert await ls(mounted.fs, "as-of/2024-05-01/assets") == names
        assert len(await _asked(estate)) == len(made) + len(made[1::2])


@pytest.mark.usefixtures("quick_retries")
async def test_a_past_listing_stays_while_the_server_is_in_trouble(estate: Estate) -> None:
    """As long as any other; what was never asked for is an error then."""
    early, later = (_asset(estate, f"202{year}-06-01T00:00:00Z") for year in (3, 4))
    directory, other = "as-of/2024-05-01/assets", "as-of/2024-05-02/assets"
    for stale_ok_s in (3600, 0):
        async with estate.mounted(
            metadata_ttl_s=0, negative_ttl_s=0, stale_ok_s=stale_ok_s
        ) as mounted:
            assert await ls(mounted.fs, directory) == [early.asset]
            estate.demo.fail_next(status=500, times=10_000)
            if stale_ok_s:
                assert await ls(mounted.fs, directory) == [early.asset]
                with pytest.raises(NotFound):
                    await stat(mounted.fs, f"{directory}/{later.asset}")
            for path in (other,) if stale_ok_s else (directory, other):
                with pytest.raises(BadReply):
                    await ls(mounted.fs, path)
            await estate.reset()


async def test_records_of_all_times_are_files_of_their_own(estate: Estate) -> None:
    """Only attachments and events are the same at any time."""
    holder = _asset(estate, "2023-01-01T00:00:00Z", proof=declared(estate.blob(b"one")))
    estate.event(holder, at="2024-06-01T12:00:00Z", on_asset={"colour": "red"})
    async with estate.mounted() as mounted:
        (attachment,) = [n for n in await ls(mounted.fs, holder.path) if len(n) == 36]
        event = (await ls(mounted.fs, f"{holder.path}/events"))[-1]
        homes = [holder.path, *(f"as-of/{date}/assets/{holder.asset}"
                                for date in ("2024-05-01", "2024-07-01"))]  # fmt: skip

        async def inos(name: str) -> int:
            return len({(await stat(mounted.fs, f"{home}/{name}")).ino for home in homes})

        for name in ("asset.json", "events", "SHA256SUMS", f"events/{event}"):
            assert await inos(name) == 3, name
        for name in (attachment, f"{attachment}.info.json", f"events/{event}/event.json"):
            assert await inos(name) == 1, name
        colours = [json.loads(await read(mounted.fs, f"{home}/asset.json"))["attributes"].get(
            "colour") for home in homes]  # fmt: skip
        assert colours == ["red", None, "red"]


async def test_an_asset_of_then_is_no_newer_than_then(estate: Estate) -> None:
    """Backups compare times: they are those of the record, and the same whenever one looks."""
    holder = _asset(estate, "2023-01-01T00:00:00Z")
    estate.event(holder, at="2024-06-01T12:00:00Z")
    async with estate.mounted() as mounted:
        await ls(mounted.fs, f"{holder.path}/events")
        moment = datetime(2024, 5, 1, 12, tzinfo=UTC)
        attrs = await stat(mounted.fs, f"as-of/2024-05-01T12:00:00Z/assets/{holder.asset}")
        assert attrs.mtime_ns <= moment.timestamp() * 10**9


async def test_what_lies_ahead_is_asked_for_again(estate: Estate) -> None:
    """A time that has not come may still change; the past may not, whatever is refreshed."""
    holder = _asset(estate, "2023-01-01T00:00:00Z")
    async with estate.mounted(metadata_ttl_s=0) as mounted:
        for date, requests in (("2100-01-01", 2), ("2024-01-01", 1)):
            await estate.reset()
            for _ in range(2):
                await stat(mounted.fs, f"as-of/{date}/assets/{holder.asset}")
            assert len(await _asked(estate)) == requests
