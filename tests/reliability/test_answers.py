"""Answers that are wrong are errors at once, with the right errno; nothing of them is believed."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from math import inf
from typing import Any
from uuid import UUID

import pytest

from tests.support import faultproxy
from tests.support.faultproxy import Exchange, Fault
from tests.support.grounds import (
    BODIES,
    INFO,
    LARGE,
    LARGE_BYTES,
    LISTING,
    METADATA,
    OPEN,
    PLACES,
    RECORD,
    SMALL,
    SMALL_BYTES,
    Case,
    Met,
    all_played,
    grounds,
    judge,
)
from tests.support.outcomes import WELL

pytestmark = pytest.mark.mount

_TIMEOUT_S = 9.0
_MOUNTS = 3
_ELSEWHERE = UUID(int=7)


@dataclass(frozen=True)
class _Endless(Fault):
    """Pages that each name another one: the first one that was asked for, again and again."""

    token: str = "again-{}"
    numbers: Iterator[int] = field(default_factory=count)
    pages: list[dict[str, Any]] = field(default_factory=list)

    async def play(self, exchange: Exchange) -> None:
        if not self.pages:
            self.pages.append(json.loads(await (await exchange.ask()).whole()))
        page = self.pages[0] | {"next_page_token": self.token.format(next(self.numbers))}
        body = json.dumps(page).encode()
        await exchange.say("200 OK", {"content-type": "application/json"}, body)


def _case(name: str, fault: Fault, ends: Mapping[str, str] | str) -> Case:
    everywhere = dict.fromkeys(PLACES, ends) if isinstance(ends, str) else dict(ends)
    return Case(name, fault, everywhere, inf)


def _status(code: int, ends: Mapping[str, str] | str) -> Case:
    said = json.dumps({"error": "no", "message": f"because of {code}"}).encode()
    return _case(str(code), faultproxy.Status(code, {}, said), ends)


def _bodies(name: str, fault: Fault, small: str = "EIO", large: str = "EIO") -> Case:
    return _case(name, fault, {SMALL: small, LARGE: large})


def _json(name: str, change: Callable[[Any], Any], ends: Mapping[str, str]) -> Case:
    return _case(name, faultproxy.RewriteJson(change), ends)


def _info(name: str, end: str, **changes: Any) -> Case:
    return _json(f"/info: {name}", lambda info: info | changes, {OPEN: end})


def _page(name: str, end: str, change: Callable[[list[Any]], list[Any]]) -> Case:
    def changed(page: dict[str, Any]) -> dict[str, Any]:
        return page | {"events": change(page["events"])}

    return _json(f"a page {name}", changed, {LISTING: end})


_GARBAGE: list[Any] = [None, 5, "x", [], {}, {"identity": 5}, {"identity": "assets/../.."}]
_LOGIN = faultproxy.OtherBody(b"<html>Please log in</html>", "text/html")
_GONE = dict.fromkeys((RECORD, INFO, OPEN), "ENOENT") | dict.fromkeys(BODIES, "ESTALE")
# That what exists has no list is not a shorter answer: nothing is known of it.
_GONE[LISTING] = "EIO"
_CASES = (
    _status(400, "EIO"),
    _status(401, "EACCES"),
    _status(402, "EIO"),
    _status(403, "EACCES"),
    _status(404, _GONE),
    _status(410, _GONE),
    _case("200 with a login page", _LOGIN, "EIO"),
    _case("200 with nothing", faultproxy.OtherBody(b""), "EIO"),
    _case("a compressed answer", faultproxy.Compressed(), "EIO"),
    _case("a bomb of 4 GiB, compressed", faultproxy.Bomb(), "EIO"),
    _case("4 MiB of headers", faultproxy.HugeHeaders(), "EIO"),
    _case("a redirect to itself", faultproxy.Redirect(""), "EIO"),
    _case("a redirect to another host", faultproxy.Redirect("http://localhost:9/"), "EIO"),
    _case("a redirect to nowhere", faultproxy.Redirect("http://[bad"), "EIO"),
    _bodies("a body one byte too long", faultproxy.LongBody()),
    _bodies("a body one byte too long, not announced", faultproxy.LongBody(announced=False)),
    _bodies("a body one byte too short, rightly framed", faultproxy.ShortBody()),
    _case("a small body of another file", faultproxy.OtherBody(bytes(SMALL_BYTES)), {SMALL: "EIO"}),
    _case("a large body of another file", faultproxy.OtherBody(bytes(LARGE_BYTES)), {LARGE: "EIO"}),
    *(
        _case(name, faultproxy.OtherBody(body, "application/json"), dict.fromkeys(METADATA, "EIO"))
        for name, body in {
            "not JSON": b"{",
            "JSON of another kind": b"[]",
            "JSON nested 100,000 deep": b"[" * 100_000,
            "JSON without what is needed": b"{}",
            "text that is no UTF-8": b'{"identity": "\xff\xfe"}',
        }.items()
    ),
    _info("size of another type", "EIO", size=[5]),
    _info("size that contradicts the bytes", "EIO", size=5),
    _info("negative size", "EIO", size=-1),
    _info("size beyond all measure", "EIO", size=10**400),
    _info("size that is no number", "EIO", size=float("nan")),
    _info("hash of another type: the record's counts", WELL, hash=5),
    _info("no hash: the record's counts", WELL, hash=None),
    _info("hash that contradicts the record", "EIO", hash={"alg": "SHA256", "value": "0" * 64}),
    _page("with entries that are none", WELL, lambda entries: _GARBAGE + entries),
    _page("with an entry twice", WELL, lambda entries: entries + entries),
    _json("a page whose entries are none", lambda page: page | {"events": 5}, {LISTING: "EIO"}),
    _case("pages without end", _Endless(), {LISTING: "EIO"}),
    _case("a page token repeated", _Endless("the same"), {LISTING: "EIO"}),
    _json(
        "a record of another event",
        lambda record: record | {"identity": f"{record['asset_identity']}/events/{_ELSEWHERE}"},
        {RECORD: "EIO"},
    ),
)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, list[Met]]]:
    """What became of all cases."""
    directory = tmp_path_factory.mktemp("answers")
    expected = ["[warning", "Mismatch"]  # each of them is one
    with grounds(directory, _MOUNTS, timeout_s=_TIMEOUT_S, expected_warnings=expected) as made:
        yield all_played(made, _CASES)


@pytest.mark.parametrize("case", _CASES, ids=lambda case: case.name)
def test_it_is_answered(played: Mapping[str, list[Met]], case: Case) -> None:
    """Every reader gets the errno for it, or what is right of it, and the mount goes on."""
    judge("Answers", case, played[case.name], timeout_s=_TIMEOUT_S)
