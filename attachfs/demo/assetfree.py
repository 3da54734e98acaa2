"""Asset-free events: the preview interface of 2025 (contract §9)."""

import hashlib
import os
import re
import uuid as uuids
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from attachfs.demo import attributes
from attachfs.demo.errors import ApiError
from attachfs.demo.ledger import TENANT, TENANT_UUID
from attachfs.demo.storage import Selection, Storage
from attachfs.demo.wire import Record

MAX_BODY_BYTES = 64 * 1024
MAX_TOP = 50

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>\d+)|(?P<any>trails/any\(\s*(\w+)\s*:\s*\4\s+eq\s+)"
    r"|(?P<word>[\w/]+)|(?P<sign>[()]))"
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: bool(left == right),
    "ne": lambda left, right: bool(left != right),
    "gt": lambda left, right: bool(left > right),
    "ge": lambda left, right: bool(left >= right),
    "lt": lambda left, right: bool(left < right),
    "le": lambda left, right: bool(left <= right),
}
_FIELDS = ("event_type", "origin_tenant", "created_by", "created_at")
_LEDGER_FIELDS = ("index", "idtimestamp", "content_hash")

Matches = Callable[[Record], bool]


class AssetFreeEvents:
    """Creates, reads and searches asset-free events.

    Args:
        storage: Where they are kept.
        now: The clock, returning an aware time.
    """

    def __init__(self, storage: Storage, now: Callable[[], datetime]) -> None:
        self._storage = storage
        self._now = now

    def create(self, body: Mapping[str, Any], created_by: str) -> Record:
        """Record an event and return it.

        Raises:
            ApiError: 400, attributes, trails or type are malformed.
        """
        given = attributes.checked(body.get("attributes"), "attributes")
        trails, kind = body.get("trails") or [], body.get("event_type") or ""
        if not isinstance(trails, list) or not all(isinstance(item, str) for item in trails):
            raise ApiError.invalid("trails: a list of strings is expected")
        if not isinstance(kind, str):
            raise ApiError.invalid("event_type: a string is expected")
        created_ms = int(self._now().astimezone(UTC).timestamp() * 1000)
        uuid = _uuid7(created_ms)
        content = msgspec.json.encode([given, trails, kind], order="sorted")
        leaf = self._storage.next_seq()
        event: Record = {
            "identity": f"events/{uuid}",
            "attributes": given,
            "trails": trails,
            "event_type": kind,
            "origin_tenant": TENANT,
            "created_by": created_by,
            "created_at": created_ms,
            "confirmation_status": "STORED",
            "ledger_entry": {
                "index": str(2 * leaf - leaf.bit_count()),
                "idtimestamp": f"{created_ms:012x}{leaf & 0xFFFF:04x}00",
                "content_hash": hashlib.sha256(content).hexdigest(),
                "hash_schema": "v0",
                "log_id": TENANT_UUID,
            },
        }
        self._storage.add("free", uuid, "", event)
        return event

    def get(self, uuid: str) -> Record:
        """Return an event.

        Raises:
            ApiError: 404, there is none.
        """
        row = self._storage.get("free", uuid)
        if row is None:
            raise ApiError.missing("event")
        return row.record

    def search(self, text: str, top: int, skip: int) -> tuple[list[Record], int]:
        """Return one page of matching events, newest first, and how many match.

        Args:
            text: An OData filter; empty matches all.
            top: Most events to return, at most `MAX_TOP`.
            skip: Events to leave out.

        Raises:
            ApiError: 400, the filter is malformed or `top` too large.
        """
        if not 0 <= top <= MAX_TOP or skip < 0:
            raise ApiError.invalid(f"top must be 0 to {MAX_TOP}, skip not negative")
        matches = _Parser(text).parse() if text.strip() else (lambda _: True)
        found = [
            row.record
            for row, _ in self._storage.select(Selection(kind="free"))
            if matches(row.record)
        ]
        return found[skip : skip + top], len(found)


class _Parser:
    """Recursive descent over the few forms of OData that are documented."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position, end = 0, len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise ApiError.invalid(f"malformed filter: {text}")
            kind = next(name for name, value in match.groupdict().items() if value is not None)
            self._tokens.append((kind, match[kind]))
            position = match.end()
        self._tokens.append(("end", ""))

    def parse(self) -> Matches:
        matches = self._either()
        self._take("end")
        return matches

    def _take(self, kind: str, *allowed: str) -> str:
        found, text = self._tokens[0]
        if found != kind or (allowed and text not in allowed):
            raise ApiError.invalid(f"malformed filter near {text!r}")
        self._tokens.pop(0)
        return text

    def _next_is(self, word: str) -> bool:
        return self._tokens[0][1] == word and self._tokens[0][0] in ("word", "sign")

    def _either(self) -> Matches:
        terms = [self._both()]
        while self._next_is("or"):
            self._take("word")
            terms.append(self._both())
        return lambda event: any(term(event) for term in terms)

    def _both(self) -> Matches:
        terms = [self._single()]
        while self._next_is("and"):
            self._take("word")
            terms.append(self._single())
        return lambda event: all(term(event) for term in terms)

    def _single(self) -> Matches:
        if self._next_is("not"):
            self._take("word")
            inner = self._single()
            return lambda event: not inner(event)
        if self._next_is("("):
            self._take("sign")
            inner = self._either()
            self._take("sign", ")")
            return inner
        if self._tokens[0][0] == "any":
            self._take("any")
            trail = self._value()
            self._take("sign", ")")
            return lambda event: trail in event["trails"]
        path = self._take("word").split("/")
        known = path[0] in _FIELDS if len(path) == 1 else path[1:] and path[0] == "ledger_entry"
        if not known or (len(path) > 1 and (path[1] not in _LEDGER_FIELDS or path[2:])):
            raise ApiError.invalid(f"unknown field: {'/'.join(path)}")
        compare = _COMPARE[self._take("word", *_COMPARE)]
        value = self._value()

        def matches(event: Record) -> bool:
            found = event[path[0]] if len(path) == 1 else event["ledger_entry"][path[1]]
            same = isinstance(found, int) == isinstance(value, int)
            return compare(found, value) if same else compare(str(found), str(value))

        return matches

    def _value(self) -> str | int:
        if self._tokens[0][0] == "number":
            return int(self._take("number"))
        return self._take("text")[1:-1].replace("''", "'")


def _uuid7(elapsed_ms: int) -> str:
    raw = bytearray(elapsed_ms.to_bytes(6, "big") + os.urandom(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(uuids.UUID(bytes=bytes(raw)))
