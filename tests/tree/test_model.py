"""Whatever happens in whatever order, faults among it: the tree shows what a dictionary holds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import httpx
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from attachfs.errors import AttachfsError
from tests.support.archives import build, said, scripted, sha256
from tests.support.trees import ls, read

T = TypeVar("T")

_TTL_S, _NEGATIVE_TTL_S, _SWEEP_S = 60.0, 5.0, 3600.0
_MOMENT_S = 40.0  # a request with all its retries
_PAGE = 2
_FAULTS = ("500", "503", "429", "reset", "cut", "garbage", "login")
_CHANGES = ("create", "attach", "happen", "withdraw", "restore")
_LOOKS = ("list assets", "list asset", "list events", "read", "read event")
_WAITS_S = {"second": 1.0, "minute": _TTL_S, "hour": _SWEEP_S}
_ASSETS = 3


@dataclass(frozen=True)
class _Step:
    """Something that happens, to which asset, and what befalls which of the requests it takes."""

    what: str
    asset: int = 0
    fault: str = ""
    skip: int = 0
    times: int = 0


_assets = st.integers(0, _ASSETS)
_STEPS = st.lists(
    st.one_of(
        st.builds(_Step, st.sampled_from([*_CHANGES, *_WAITS_S]), _assets),
        st.builds(_Step, st.sampled_from(_LOOKS), _assets),
        st.builds(
            _Step,
            st.sampled_from(_LOOKS),
            _assets,
            st.sampled_from(_FAULTS),
            st.integers(0, 2),
            st.integers(1, 9),
        ),
    ),
    min_size=5,
    max_size=40,
)


_Look = Callable[["_Asset"], Awaitable[None]]


@dataclass
class _Asset:
    """What there is of an asset, and since when it could be seen, or could not any more."""

    uuid: str
    attached: dict[str, bytes] = field(default_factory=dict)
    events: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    visible: bool = True
    created_s: float = 0.0
    turned_s: float = float("-inf")


class _Server:
    """Answer requests from a dictionary of assets; the next few may meet a fault."""

    def __init__(self, clock: MockClock) -> None:
        self._clock = clock
        self.assets: dict[str, _Asset] = {}
        self.since_s: dict[str, float] = {}
        self.step = _Step("")
        self.asked = 0
        self.troubled_s = float("-inf")
        self._pages: dict[str, list[dict[str, Any]]] = {}
        self._numbers = iter(range(1, 10**9))

    def uuid(self) -> str:
        """Return a UUID that nobody has yet."""
        uuid = str(UUID(int=next(self._numbers), version=4))
        self.since_s[uuid] = self._clock.current_time()
        return uuid

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        """Answer, as the archive or as a network does."""
        self.asked += 1
        if 0 < self.asked - self.step.skip <= self.step.times:
            self.troubled_s = self._clock.current_time()
            return self._spoilt(request, self.step.fault)
        return self._answer(request)

    def _spoilt(self, request: httpx.Request, fault: str) -> httpx.Response:
        if fault == "reset":
            raise httpx.ReadError("reset", request=request)
        if fault == "429":
            return said(429, b"", **{"retry-after": "1"})
        if fault == "cut":
            answer = self._answer(request)
            content = b"".join(answer.stream)  # type: ignore[arg-type]
            return said(answer.status_code, content[:-1])
        if fault == "garbage":
            return said(200, b"\0{[")
        if fault == "login":
            return said(200, b"<html>Please log in</html>")
        return said(int(fault), b"")

    def _answer(self, request: httpx.Request) -> httpx.Response:
        parts = request.url.path.removeprefix("/archivist/v2/").split("/")
        query = dict(request.url.params)
        if parts == ["assets"]:
            seen = [each for each in self.assets.values() if each.visible]
            return self._page("assets", [self._record(each) for each in reversed(seen)], query)
        is_attachment = parts[0] == "attachments"
        _, uuid, *rest = parts[is_attachment:]
        asset = self.assets.get(uuid)
        if asset is None:  # as of all events at once, which this server has not
            return said(400 if uuid == "-" else 404, {})
        if not asset.visible:
            return said(403, {})
        return self._attachment(asset, rest) if is_attachment else self._below(asset, rest, query)

    def _below(self, asset: _Asset, rest: list[str], query: dict[str, str]) -> httpx.Response:
        if not rest:
            return said(200, self._record(asset))
        if rest == ["events"]:
            events = [self._event(asset, uuid) for uuid in reversed(asset.events)]
            return self._page("events", events, query)
        known = rest[1] in asset.events
        return said(200, self._event(asset, rest[1])) if known else said(404, {})

    def _attachment(self, asset: _Asset, rest: list[str]) -> httpx.Response:
        held = asset.attached
        if rest[0] == "events":
            held = dict([asset.events[rest[1]]] if rest[1] in asset.events else [])
            rest = rest[2:]
        content = held.get(rest[0])
        if content is None:
            return said(404, {})
        if rest[1:] != ["info"]:
            return said(200, content)
        digest = {"alg": "SHA256", "value": sha256(content)}
        return said(200, {"size": len(content), "hash": digest, "scanned_status": "SCANNED_OK"})

    def _page(self, name: str, entries: list[Any], query: dict[str, str]) -> httpx.Response:
        token = query.get("page_token", "")
        entries = self._pages[token] if token else entries
        page: dict[str, Any] = {name: entries[:_PAGE]}
        if entries[_PAGE:]:
            page["next_page_token"] = f"page {next(self._numbers)}"
            self._pages[page["next_page_token"]] = entries[_PAGE:]
        return said(200, page)

    def _record(self, asset: _Asset) -> dict[str, Any]:
        return {
            "identity": f"assets/{asset.uuid}",
            "attributes": {uuid: _declared(uuid, held) for uuid, held in asset.attached.items()},
        }

    def _event(self, asset: _Asset, event: str) -> dict[str, Any]:
        uuid, content = asset.events[event]
        return {
            "identity": f"assets/{asset.uuid}/events/{event}",
            "asset_identity": f"assets/{asset.uuid}",
            "operation": "Record",
            "timestamp_accepted": "2024-06-01T12:00:00Z",
            "confirmation_status": "CONFIRMED",
            "event_attributes": {uuid: _declared(uuid, content)},
        }


def _declared(uuid: str, content: bytes) -> dict[str, str]:
    return {
        "arc_attribute_type": "arc_attachment",
        "arc_blob_identity": f"blobs/{uuid}",
        "arc_blob_hash_alg": "SHA256",
        "arc_blob_hash_value": sha256(content),
    }


class _World:
    """Do one step after the other, and compare what is shown with what there is, and was."""

    def __init__(self, server: _Server, clock: MockClock, fs: Any) -> None:
        self._server = server
        self._clock = clock
        self._fs = fs
        for number in range(_ASSETS):
            self._create()
            for change in ("attach", "happen"):
                self._change(change, list(server.assets.values())[number])
        clock.jump(2 * _TTL_S)
        self._looks: dict[str, _Look] = {
            "list asset": self._list_asset,
            "list events": self._list_events,
            "read": self._read,
            "read event": self._read_event,
        }

    async def do(self, step: _Step) -> None:
        """Do a step; a look is judged by the time at which it began."""
        self._server.step, self._server.asked = step, 0
        if step.what == "create":
            self._create()
        elif step.what in _WAITS_S:
            self._clock.jump(_WAITS_S[step.what])
        elif step.what == "list assets":
            await self._list_assets()
        else:
            asset = list(self._server.assets.values())[step.asset % len(self._server.assets)]
            if step.what in self._looks:
                await self._looks[step.what](asset)
            else:
                self._change(step.what, asset)
        await wait_all_tasks_blocked()
        self._clock.jump(0.01)

    def _create(self) -> None:
        uuid = self._server.uuid()
        self._server.assets[uuid] = _Asset(uuid, created_s=self._clock.current_time())

    def _change(self, step: str, asset: _Asset) -> None:
        uuid = self._server.uuid()
        content = f"what {uuid} holds".encode()
        if step == "attach":
            asset.attached[uuid] = content
        elif step == "happen":
            asset.events[self._server.uuid()] = uuid, content
        elif asset.visible != (step == "restore"):
            asset.visible = step == "restore"
            asset.turned_s = self._clock.current_time()

    async def _list_assets(self) -> None:
        shown = await self._shown("assets", may_fail=False)
        if shown is None:
            return
        assets = self._server.assets
        must = {uuid for uuid, asset in assets.items() if self._surely(asset)}
        may = {uuid for uuid, asset in assets.items() if asset.visible or self._lately(asset)}
        assert must <= shown <= may, "assets"

    async def _list_asset(self, asset: _Asset) -> None:
        shown = await self._shown(f"assets/{asset.uuid}", may_fail=not self._surely(asset))
        if shown is not None:
            self._assert_whole(shown, asset.attached)
            assert asset.visible or self._within(asset.turned_s, _TTL_S), "withdrawn"

    async def _list_events(self, asset: _Asset) -> None:
        shown = await self._shown(f"assets/{asset.uuid}/events", may_fail=not self._surely(asset))
        if shown is not None:
            self._assert_whole(shown, asset.events)

    async def _read(self, asset: _Asset) -> None:
        for uuid, content in asset.attached.items():
            await self._read_one(asset, f"assets/{asset.uuid}/{uuid}", uuid, content)

    async def _read_event(self, asset: _Asset) -> None:
        for event, (uuid, content) in asset.events.items():
            path = f"assets/{asset.uuid}/events/{event}/{uuid}"
            await self._read_one(asset, path, event, content)

    async def _read_one(self, asset: _Asset, path: str, since: str, content: bytes) -> None:
        new = self._within(self._server.since_s[since], _TTL_S)
        found = await _tried(read(self._fs, path))
        if isinstance(found, AttachfsError):
            assert new or not self._surely(asset) or self._troubled(), found
        else:
            assert found == content, "wrong bytes"
            assert asset.visible or self._within(asset.turned_s, _TTL_S), "withdrawn"

    async def _shown(self, path: str, *, may_fail: bool) -> set[str] | None:
        """Return the UUIDs in a directory; None where it cannot be read, for a reason."""
        names = await _tried(ls(self._fs, path))
        if isinstance(names, AttachfsError):
            assert may_fail or self._troubled(), names
            return None
        assert len(set(names)) == len(names), "twice"
        return set(filter(_is_uuid, names))

    def _assert_whole(self, shown: set[str], there: dict[str, Any]) -> None:
        old = {uuid for uuid in there if not self._within(self._server.since_s[uuid], _TTL_S)}
        assert old <= shown <= set(there), "not whole, or of another"

    def _surely(self, asset: _Asset) -> bool:
        """Tell whether an asset could be seen for as long as anything is believed."""
        recent = max(asset.created_s, asset.turned_s)
        return asset.visible and not self._within(recent, _TTL_S)

    def _lately(self, asset: _Asset) -> bool:
        """Tell whether an asset was there when all of the listing was last asked for."""
        return self._within(asset.turned_s, _SWEEP_S + _TTL_S)

    def _troubled(self) -> bool:
        return self._within(self._server.troubled_s, _NEGATIVE_TTL_S)

    def _within(self, at_s: float, seconds: float) -> bool:
        return self._clock.current_time() - at_s <= seconds + _MOMENT_S


async def _tried(work: Awaitable[T]) -> T | AttachfsError:
    try:
        return await work
    except AttachfsError as error:
        return error


def _is_uuid(name: str) -> bool:
    try:
        return str(UUID(name)) == name
    except ValueError:
        return False


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS)
def test_the_tree_shows_what_there_is(steps: list[_Step]) -> None:
    """Or an error where there was trouble; never wrong bytes, a short listing, or what is past."""

    async def main(clock: MockClock) -> None:
        server = _Server(clock)
        async with scripted(server) as archive, trio.open_nursery() as nursery:
            mounted = build(
                archive,
                nursery,
                Path(),  # nothing is stored
                metadata_ttl_s=_TTL_S,
                negative_ttl_s=_NEGATIVE_TTL_S,
                stale_ok_s=0,
                timeout_s=30,
            )
            world = _World(server, clock, mounted.fs)
            for step in steps:
                await world.do(step)
            nursery.cancel_scope.cancel()

    clock = MockClock(autojump_threshold=0)
    trio.run(partial(main, clock), clock=clock)
