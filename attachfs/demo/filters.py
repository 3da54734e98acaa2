"""Filters of the list endpoints: query parameters become predicates (contract §5.6)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from attachfs.demo.errors import ApiError
from attachfs.demo.wire import Record, parse_time

Predicate = Callable[[Record, Record], bool]
"""Tells whether a record matches, given it and the asset it belongs to."""

TRUST = ("PENDING", "STORED", "COMMITTED", "CONFIRMED", "UNEQUIVOCAL")
"""Confirmation statuses in order of rising trust (contract §5.2)."""

_ENUMS: dict[str, tuple[str, ...]] = {
    "confirmation_status": ("CONFIRMATION_STATUS_UNSPECIFIED", *TRUST, "FAILED"),
    "minimum_trust": ("CONFIRMATION_STATUS_UNSPECIFIED", *TRUST, "FAILED"),
    "tracked": ("TRACKED_STATUS_UNSPECIFIED", "TRACKED", "NOT_TRACKED", "ANY"),
    "proof_mechanism": ("PROOF_MECHANISM_UNSPECIFIED", "RESERVED1", "SIMPLE_HASH", "MERKLE_LOG"),
    "privacy": ("PRIVACY_UNSPECIFIED", "RESTRICTED", "PUBLIC"),
}
_TIMES = frozenset(
    f"timestamp_{which}_{side}"
    for which in ("accepted", "committed", "declared")
    for side in ("since", "before")
)
_PRINCIPALS = frozenset(
    f"principal_{which}.{part}"
    for which in ("declared", "accepted")
    for part in ("issuer", "subject", "display_name", "email")
)
_ASSET_NAMES = frozenset(("tracked", "confirmation_status", "proof_mechanism", "chain_id"))
_EVENT_NAMES = frozenset(
    ("operation", "behaviour", "confirmation_status", "from", "transaction_id")
)
_TERM = re.compile(
    r"\s*(?P<name>[^=]+?)\s*=\s*"
    r"(?:'(?P<quoted>(?:[^'\\]|\\.)*)'|(?P<bare>[^'\s].*?|))\s*(?P<end>\sor\s|$)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Grammar:
    """The parameters that one kind of list knows.

    `maps` are the attribute maps, by their prefix in parameter names; `kind` is as in storage.
    """

    kind: str
    maps: dict[str, Callable[[Record, Record], Any]]
    names: frozenset[str]
    special: frozenset[str]

    def term(self, name: str, value: str) -> Predicate:
        """Turn one `name=value` into a predicate.

        Raises:
            ApiError: 400, the name is unknown or the value malformed (contract §5.5).
        """
        if ".." in name or name.endswith(".") or not name:
            raise ApiError.invalid(f"malformed query parameter: {name}")
        for prefix, attributes_of in self.maps.items():
            if name.startswith(f"{prefix}."):
                return _attribute_term(name[len(prefix) + 1 :], value, attributes_of)
        if name in self.names or name in self.special:
            return _named_term(name, value)
        raise ApiError.invalid(f"invalid query parameter not in proto: {name}")

    def either(self, text: str) -> Predicate:
        """Turn the value of `filters`, terms joined by `or`, into a predicate.

        Raises:
            ApiError: 400, it is malformed.
        """
        terms: list[Predicate] = []
        position = 0
        while True:
            match = _TERM.match(text, position)
            if match is None:
                raise ApiError.invalid(f"malformed filter: {text}")
            quoted = match["quoted"]
            value = match["bare"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            terms.append(self.term(match["name"], value))
            position = match.end()
            if not match["end"]:
                return lambda record, asset: any(term(record, asset) for term in terms)

    def compile(self, query: Sequence[tuple[str, str]]) -> list[Predicate]:
        """Turn all filters of a query into predicates that must all hold."""
        return [
            self.either(value) if name == "filters" else self.term(name, value)
            for name, value in query
        ]


ASSETS = Grammar(
    "asset",
    {"attributes": lambda record, _: record["attributes"]},
    _ASSET_NAMES,
    frozenset(("privacy",)),
)
EVENTS = Grammar(
    "event",
    {
        "event_attributes": lambda record, _: record["event_attributes"],
        "asset_attributes": lambda record, _: record["asset_attributes"],
        "asset.attributes": lambda _, asset: asset.get("attributes", {}),
    },
    _EVENT_NAMES | _PRINCIPALS,
    _TIMES | {"proof_mechanism", "minimum_trust", "mmr_index"},
)


def _attribute_term(
    path: str, value: str, attributes_of: Callable[[Record, Record], Any]
) -> Predicate:
    absent = path.endswith("!") and value == "*"
    key, dot, inner = path.removesuffix("!" if absent else "").partition(".")
    in_list = key.endswith("[]")
    key = key.removesuffix("[]")
    if not key or "." in inner or (in_list and not inner) or (dot and not inner):
        raise ApiError.invalid(f"malformed query parameter: {path}")

    def values(record: Record, asset: Record) -> list[Any]:
        found = attributes_of(record, asset).get(key)
        if in_list:
            entries = found if isinstance(found, list) else []
            return [entry.get(inner) for entry in entries]
        if inner:
            return [found.get(inner)] if isinstance(found, dict) else []
        return [found]

    if absent:
        return lambda record, asset: not any(values(record, asset))
    if value == "*":
        return lambda record, asset: any(values(record, asset))
    return lambda record, asset: value in values(record, asset)


def _named_term(name: str, value: str) -> Predicate:
    allowed = _ENUMS.get(name)
    if allowed is not None:
        if value not in allowed:
            raise ApiError.invalid(f"invalid value for {name}: {value}")
        if value == "ANY" or value.endswith("_UNSPECIFIED"):
            return lambda _record, _asset: True
    if name in _TIMES:
        return _time_term(name, value)
    special = _SPECIAL.get(name)
    if special is not None:
        return special(value)
    if name in _PRINCIPALS:
        principal, part = name.split(".")
        return lambda record, _: bool(record[principal][part] == value)
    return lambda record, _: bool(record.get(name) == value)


def _trust_term(value: str) -> Predicate:
    least = TRUST.index(value) if value in TRUST else len(TRUST)
    return lambda record, _: record["confirmation_status"] in TRUST[least:]


def _index_term(value: str) -> Predicate:
    if not re.fullmatch(r"-?\d{1,19}", value, re.ASCII):
        raise ApiError.invalid(f"invalid value for mmr_index: {value}")
    return lambda record, _: _mmr_index(record) == int(value)


_SPECIAL: dict[str, Callable[[str], Predicate]] = {
    "minimum_trust": _trust_term,
    "mmr_index": _index_term,
    "privacy": lambda value: lambda record, _: bool(record["public"]) == (value == "PUBLIC"),
    # An event has the mechanism of its asset.
    "proof_mechanism": lambda value: lambda _, asset: bool(asset.get("proof_mechanism") == value),
}


def _time_term(name: str, value: str) -> Predicate:
    field, _, side = name.rpartition("_")
    try:
        limit = parse_time(value)
    except ValueError as error:
        raise ApiError.invalid(f"invalid value for {name}: {error}") from error
    if side == "since":
        return lambda record, _: parse_time(record[field]) >= limit
    return lambda record, _: parse_time(record[field]) < limit


def _mmr_index(record: Record) -> int | None:
    commit = (record.get("merklelog_entry") or {}).get("commit") or {}
    return int(commit["index"]) if "index" in commit else None
