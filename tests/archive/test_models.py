"""Parsers of what a stranger sends: values out, or `BadReply`, and nothing else."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.archive.models import (
    LARGE_ANSWER_BYTES,
    NOT_SCANNED,
    Listed,
    parse_asset,
    parse_assets_page,
    parse_event,
    parse_events_page,
    parse_info,
)
from attachfs.errors import BadReply
from tests.support.archives import ASSET, EVENT, OTHER, sha256

_PARSERS: list[Callable[[bytes], Any]] = [
    parse_asset,
    parse_event,
    parse_assets_page,
    parse_events_page,
    parse_info,
]
_SAMPLES = sorted((Path(__file__).parents[1] / "data" / "samples").glob("*.json"))
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=10,
)


def _survives(raw: bytes) -> None:
    for parse in _PARSERS:
        try:
            parse(raw)
        except BadReply:
            continue


def _asset(**changes: Any) -> bytes:
    return json.dumps({"identity": f"assets/{ASSET}", "attributes": {}, **changes}).encode()


def _info(**changes: Any) -> bytes:
    fields = {
        "identity": f"attachments/{OTHER}",
        "hash": {"alg": "SHA256", "value": sha256(b"x")},
        "mime_type": "text/plain",
        "size": 1,
        "timestamp_accepted": "2023-02-06T16:04:31Z",
        **changes,
    }
    return json.dumps({key: value for key, value in fields.items() if value != "gone"}).encode()


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_but_bad_reply(raw: bytes) -> None:
    """Whatever bytes come, a parser returns or raises `BadReply`."""
    _survives(raw)


@given(_JSON)
def test_no_json_raises_anything_but_bad_reply(value: object) -> None:
    """Whatever JSON comes (or nearly JSON: NaN), a parser returns or raises `BadReply`."""
    _survives(json.dumps(value).encode())


@given(data=st.data())
def test_no_damaged_sample_raises_anything_but_bad_reply(data: st.DataObject) -> None:
    """A real answer with some of its bytes changed, cut or repeated is survived."""
    raw = bytearray(data.draw(st.sampled_from(_SAMPLES)).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(raw)))
        end = data.draw(st.integers(start, min(len(raw), start + 20)))
        raw[start:end] = data.draw(st.binary(max_size=6) | st.just(raw[start:end] * 2))
    _survives(bytes(raw))


@given(data=st.data())
def test_no_sample_with_a_value_replaced_raises_anything_but_bad_reply(data: st.DataObject) -> None:
    """A real answer in which any one value is of any other type is survived."""
    value = json.loads(data.draw(st.sampled_from(_SAMPLES)).read_bytes())
    spot = value
    while True:
        keys = list(spot) if isinstance(spot, dict) else list(range(len(spot)))
        key = data.draw(st.sampled_from(keys)) if keys else None
        if key is None:
            break
        if isinstance(spot[key], dict | list) and data.draw(st.booleans()):
            spot = spot[key]
            continue
        spot[key] = data.draw(_JSON)
        break
    _survives(json.dumps(value).encode())


@pytest.mark.parametrize("depth", [10, 500, 900, 1_000, 100_000])
def test_deep_nesting_is_survived(depth: int) -> None:
    """Nesting beyond what the interpreter can take is a bad reply like any other."""
    deep = b"[" * depth + b"]" * depth
    _survives(deep)
    _survives(b'{"identity":"assets/%s","attributes":{"k":%s}}' % (ASSET.encode(), deep))
    _survives(b'{"size":1,"hash":%s}' % deep)


@pytest.mark.parametrize(
    "raw", [b'{"size":1,"x":"\\ud800"}', b'{"size":' + b"9" * 5000 + b"}", b'{"size":1,"x":1e999}',
            b"\xef\xbb\xbf{}", b'{"size":1,"\xff":1}', b'{"size":NaN}', b"", b"null"]
)  # fmt: skip
def test_what_json_forbids_is_a_bad_reply(raw: bytes) -> None:
    """Lone surrogates, numbers out of range, broken UTF-8 and no JSON at all are refused."""
    with pytest.raises(BadReply):
        parse_info(raw)


@pytest.mark.parametrize("identity", [None, 5, "", "assets/", f"assets/{OTHER}", "gone", [ASSET]])
def test_a_record_must_have_the_identity_asked_for(identity: object) -> None:
    """Another asset's record, or one without identity, is not taken for it."""
    with pytest.raises(BadReply, match="identity"):
        parse_asset(_asset(identity=identity), asset=ASSET)
    with pytest.raises(BadReply, match="identity"):
        parse_event(_asset(identity=identity), event=EVENT)


@pytest.mark.parametrize("prefix", ["assets/", "publicassets/", "", "https://elsewhere/"])
def test_the_prefix_of_an_identity_does_not_matter(prefix: str) -> None:
    """Identities changed their prefix over the years."""
    assert parse_asset(_asset(identity=prefix + ASSET.upper()), asset=ASSET).id == ASSET


@pytest.mark.parametrize("timestamp", [None, "", "yesterday", 5, "1970-01-01T00:00:00Z"])
def test_an_event_without_a_time_has_the_epoch(timestamp: object) -> None:
    """Bad and missing times are a constant, so that backups see no change."""
    raw = json.dumps({"identity": EVENT, "timestamp_accepted": timestamp}).encode()
    assert parse_event(raw).accepted_ns == 0


def test_a_record_is_kept_as_served() -> None:
    """The raw JSON is what came, byte by byte."""
    raw = b' {"attributes" :{}, "identity":"' + ASSET.encode() + b'"}\n'
    assert parse_asset(raw).raw == raw


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({}, True),
        ({"at_time": "2024-01-01T00:00:00Z"}, True),
        ({"tracked": "NOT_TRACKED"}, False),
        ({"attributes": {"a": "2", "b": "1"}}, False),
    ],
)
def test_records_are_the_same_whatever_their_key_order(
    changes: dict[str, Any], *, same: bool
) -> None:
    """Only values count, and not the time of reading."""
    value: dict[str, Any] = {"identity": ASSET, "attributes": {"a": "1", "b": "1"}, "tracked": "X"}
    shuffled = dict(reversed({**value, **changes}.items()))
    ours = parse_asset(json.dumps(value).encode())
    theirs = parse_asset(json.dumps(shuffled).encode())
    assert ours.same_as(theirs) is same
    assert theirs.same_as(ours) is same


@pytest.mark.parametrize("depth", [300, 600, 900])
def test_comparing_deeply_nested_answers_does_not_fail(depth: int) -> None:
    """What could be parsed can be compared, or counts as different."""
    deep = b"[" * depth + b"]" * depth
    record = b'{"identity":"%s","x":%s}' % (ASSET.encode(), deep)
    assert parse_asset(record).same_as(parse_asset(record + b" ")) in (True, False)
    info = b'{"size":1,"x":%s}' % deep
    assert parse_info(info).same_as(parse_info(info + b" ")) in (True, False)


@pytest.mark.parametrize("token", ["", None, "gone"])
def test_a_missing_null_or_empty_token_ends_a_listing(token: object) -> None:
    """All three say that there is no further page."""
    page = {"assets": [], "next_page_token": token}
    raw = json.dumps({key: value for key, value in page.items() if value != "gone"}).encode()
    assert parse_assets_page(raw).next_token == ""


@pytest.mark.parametrize(
    "page",
    [{}, {"assets": None}, {"assets": {}}, {"events": []}, {"assets": [], "next_page_token": 5},
     {"assets": "x"}, {"assets": [], "next_page_token": ["x"]}, []],
)  # fmt: skip
def test_a_page_without_its_list_is_a_bad_reply(page: object) -> None:
    """A listing is never taken to be empty because it could not be read."""
    with pytest.raises(BadReply):
        parse_assets_page(json.dumps(page).encode())


@pytest.mark.parametrize("bad", [None, 5, "x", [], {}, {"identity": "assets/x"}, [[]]])
def test_a_garbage_entry_is_counted_and_hides_no_other(bad: object) -> None:
    """Entries without identity are left out, with their number told."""
    good = json.loads(_asset())
    page = parse_assets_page(json.dumps({"assets": [bad, good, bad]}).encode())
    assert ([record.id for record in page.entries], page.skipped) == ([ASSET], 2)


def test_an_entry_of_a_page_is_a_whole_record() -> None:
    """As served; only what a listing needs has been looked at."""
    event = {
        "identity": f"assets/{ASSET}/events/{EVENT}",
        "asset_identity": f"assets/{ASSET}",
        "timestamp_accepted": "1970-01-01T00:00:01Z",
        "operation": "NewAsset",
        "event_attributes": {"k": "é", "n": [{"a": "b"}]},
    }
    raw = json.dumps(event, ensure_ascii=False).encode()
    (entry,) = parse_events_page(b' {"events": [ ' + raw + b' ], "next_page_token": "t"}').entries
    assert entry == Listed(EVENT, raw, ASSET, 10**9, creation=True)
    record = parse_event(entry.raw, event=EVENT)
    assert (record.id, record.accepted_ns, record.raw) == (EVENT, entry.accepted_ns, raw)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Listed(EVENT, b"")),
        ({"asset_identity": "nonsense"}, Listed(EVENT, b"")),
        ({"asset_identity": 5, "operation": ["NewAsset"]}, Listed(EVENT, b"")),
        ({"asset_identity": f"publicassets/{ASSET}"}, Listed(EVENT, b"", ASSET)),
        ({"timestamp_accepted": "soon", "operation": "Record"}, Listed(EVENT, b"")),
        ({"timestamp_accepted": None, "operation": None}, Listed(EVENT, b"")),
    ],
)
def test_an_entry_says_what_it_can(changes: dict[str, Any], expected: Listed) -> None:
    """Fields of other types count as missing."""
    event = {"identity": f"assets/{ASSET}/events/{EVENT}", **changes}
    page = parse_events_page(json.dumps({"events": [event]}).encode())
    assert [entry._replace(raw=b"") for entry in page.entries] == [expected]


@pytest.mark.parametrize(
    ("status", "timestamp", "settled"),
    [
        ("COMMITTED", "2024-01-01T00:00:00Z", True),
        ("CONFIRMED", "2024-01-01T00:00:00Z", True),
        ("UNEQUIVOCAL", "2024-01-01T00:00:00Z", True),
        ("PENDING", "2024-01-01T00:00:00Z", False),
        ("STORED", "2024-01-01T00:00:00Z", False),
        ("FAILED", "2024-01-01T00:00:00Z", False),
        (None, "2024-01-01T00:00:00Z", False),
        (["COMMITTED"], "2024-01-01T00:00:00Z", False),
        ("COMMITTED", "1970-01-01T00:00:00Z", False),
        ("COMMITTED", None, False),
    ],
)
def test_an_event_is_settled_once_it_is_accepted(
    status: object, timestamp: object, *, settled: bool
) -> None:
    """Before, its record may change (contract section 5.2); an asset's always may."""
    value = {
        "identity": EVENT,
        "confirmation_status": status,
        "timestamp_accepted": timestamp,
    }
    assert parse_event(json.dumps(value).encode()).settled is settled
    assert not parse_asset(json.dumps(value).encode()).settled


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"event_attributes": {"arc_display_type": "Sale"}, "operation": "Record"}, "Sale"),
        ({"event_attributes": {"arc_display_type": ""}, "operation": "Record"}, "Record"),
        ({"event_attributes": {"arc_display_type": 5}, "operation": "Record"}, "Record"),
        ({"event_attributes": None, "operation": None}, ""),
    ],
)  # fmt: skip
def test_an_event_is_called_by_its_type_or_its_operation(
    fields: dict[str, Any], label: str
) -> None:
    """Whatever people have written."""
    assert parse_event(json.dumps({"identity": EVENT, **fields}).encode()).label == label


@pytest.mark.parametrize(
    ("attributes", "label"),
    [({"arc_display_name": "Dock 11"}, "Dock 11"), ({"arc_display_name": {}}, ""), ({}, ""),
     (None, ""), ([], "")],
)  # fmt: skip
def test_an_asset_is_called_by_its_display_name(attributes: object, label: str) -> None:
    """Or by nothing."""
    assert parse_asset(_asset(attributes=attributes)).label == label


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0), (81254, 81254), ("81254", 81254), (2**63 - 1, 2**63 - 1)]
)
def test_sizes_are_numbers_or_their_digits(size: object, expected: int) -> None:
    """64-bit numbers may come as text, as elsewhere in this API."""
    assert parse_info(_info(size=size)).size_bytes == expected


@pytest.mark.parametrize(
    "size", ["gone", None, -1, 1.5, True, "", "-1", "1e3", " 1", "\u0661", "9" * 5000, 2**63,
             10**30, [], {}],
)  # fmt: skip
def test_an_impossible_size_is_a_bad_reply(size: object) -> None:
    """Nothing can be served whose size st_size cannot tell."""
    with pytest.raises(BadReply, match="size"):
        parse_info(_info(size=size))


@pytest.mark.parametrize("digest", ["gone", None, 5, "x", [], {}, {"alg": "SHA512", "value": "0"}])
def test_an_info_without_a_usable_digest_has_none(digest: object) -> None:
    """The digest may be missing; whether that is enough is decided where bytes are opened."""
    assert parse_info(_info(hash=digest)).sha256 is None


@pytest.mark.parametrize(
    "status", ["gone", None, 5, [], {}, "", "SCANNED", "scanned_bad", "NOT_SCANNED"]
)
def test_an_unknown_scan_status_is_not_scanned(status: object) -> None:
    """As the service itself has it."""
    assert parse_info(_info(scanned_status=status)).scanned_status == NOT_SCANNED


def test_an_info_of_other_types_is_still_read() -> None:
    """Only the size is indispensable."""
    info = parse_info(_info(mime_type=5, timestamp_accepted=[], scanned_bad_reason={}, issuer=None))
    assert (info.mime_type, info.accepted_ns, info.scanned_bad_reason) == ("", 0, "")
    assert info.fields["issuer"] is None


def test_infos_are_the_same_whatever_their_key_order() -> None:
    """Only values count."""
    value = json.loads(_info())
    shuffled = json.dumps(dict(reversed(value.items()))).encode()
    assert parse_info(_info()).same_as(parse_info(shuffled))
    assert not parse_info(_info()).same_as(parse_info(_info(scanned_status="SCANNED_OK")))


def test_a_page_has_no_more_entries_than_were_asked_for() -> None:
    """As many are a page; one more is an error, because leaving entries out would hide them."""
    page = {"assets": [json.loads(_asset())] * 3}
    raw = json.dumps(page).encode()
    assert len(parse_assets_page(raw, max_entries=3).entries) == 3
    with pytest.raises(BadReply):
        parse_assets_page(raw, max_entries=2)


@pytest.mark.parametrize("entry", [b"0", b"{}", b"[]", b'"x"', b"null"])
@pytest.mark.parametrize("kind", ["assets", "events"])
def test_a_page_of_millions_of_entries_takes_no_memory(kind: str, entry: bytes) -> None:
    """It is refused at the first entry too many, before anything is made of the others."""
    parse = parse_assets_page if kind == "assets" else parse_events_page
    raw = b'{"%s":[%s%s]}' % (kind.encode(), (entry + b",") * 1_000_000, entry)
    tracemalloc.start()
    try:
        with pytest.raises(BadReply):
            parse(raw)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_page_token_is_bounded() -> None:
    """It is sent back in a URL, and kept until the listing ends."""
    page: dict[str, Any] = {"assets": [], "next_page_token": "x" * 8192}
    assert len(parse_assets_page(json.dumps(page).encode()).next_token) == 8192
    page["next_page_token"] += "x"
    with pytest.raises(BadReply):
        parse_assets_page(json.dumps(page).encode())


def test_large_records_are_the_same_where_every_byte_is() -> None:
    """To parse two of 4 MiB takes a second, in which nobody is served."""
    large = {"identity": f"assets/{ASSET}", "attributes": {"x": "y" * LARGE_ANSWER_BYTES}}
    one = parse_asset(json.dumps(large).encode())
    assert one.same_as(parse_asset(json.dumps(large).encode()))
    assert not one.same_as(parse_asset(json.dumps(dict(reversed(large.items()))).encode()))
