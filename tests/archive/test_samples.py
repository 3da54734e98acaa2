"""Every recorded or documented answer of the service, parsed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from attachfs.archive.models import (
    Info,
    Page,
    Record,
    parse_asset,
    parse_assets_page,
    parse_event,
    parse_events_page,
    parse_info,
)
from attachfs.errors import BadReply

_CAT = "75debbfc7a4d988f2321dfb158fe65c62dabe50d4d7b6efb961e83be43a8aa77"
_EICAR = "e1105070ba828007508566e28a2b8d4c65d192e9eaf3b7868382b7cae747b397"
_LIGHT = "246c316e2cd6971ce5c83a3e61f9880fa6e2f14ae2976ee03500eb282fd03a60"
_ADELE = "cf0dd630dcfb6e2eac65c362bf7d5ff382a4241ebf45a69a2541ee43320d4af6"
_ATTACH = "042aea10a0f14f2d391373599be69d53a75dde9951fc3d3cd10b6100aa7a9f24"
_REPORT = "8a1eef8ab0ad431b7e2a900fc15ad8216f010fd8e4bf739604cec39fb1f94049"
_CARD = "f84b351f15f942fd8ab53a959da446112f4c04b919942ea378ca1e6981dbf71e"
_DATA_CARD = "5147787c57a0943e823e78416135aa89c1fa317a3f020e27a2a7b7719dc9a436"
_SET = "5594fb3ae1f345a03796c3678c84164d812379f326abf3e1c8942df2f8f610bf"
_XRAY = "52e8cefae041d3a7ca9efd08538b61976c64b41c43f788bef1e8979c96b1cdff"

# Per attachment: UUID, key, file name, display name, digest.
_Row = tuple[str, str, str, str, str]
_CAT_IMAGE: _Row = (
    "08838336-c357-460d-902a-3aba9528dd22",
    "arc_primary_image",
    "cat.jpeg",
    "arc_primary_image",
    _CAT,
)
_ADELE_IMAGE: _Row = (
    "a39ed534-d1b3-4b23-84e0-01a2cceea9a2",
    "arc_primary_image",
    "pexels-andrea-turner-707697.jpeg",
    "arc_primary_image",
    _ADELE,
)
_ASSETS: dict[str, tuple[str, list[_Row]]] = {
    "asset_create_response_pending": ("c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb", [_CAT_IMAGE]),
    "asset_current_form": ("c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb", [_CAT_IMAGE]),
    "asset_legacy_list_form": (
        "d3847507-7c4b-4205-93c4-02cd815d4722",
        [
            (
                "af91d06c-1d0b-4750-9112-de7723bbde6d",
                "arc_attachments",
                "",
                "arc_primary_image",
                _LIGHT,
            )
        ],
    ),
    "asset_mixed_list_and_dict_forms": (
        "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb",
        [
            (
                "87b1a84c-1c6f-442b-923e-a97516f4d275",
                "arc_attachments",
                "",
                "arc_secondary_image",
                _LIGHT,
            )
        ],
    ),
    "asset_public_recorded_2022": ("86b61c4b-030e-4c07-9400-463612e6cee4", []),
    "asset_rkvst_2023_recorded": ("17a59a16-3d5c-4d58-8ea6-1b86465ff32f", [_ADELE_IMAGE]),
    "asset_sdk_default_keys": (
        "c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb",
        [
            (
                "0d0d7a3c-5a0f-4f0c-9b64-0e6b1f1b3f11",
                "functests/test_resources/doors/assets/entry_terminal_jpg",
                "entry_terminal.jpg",
                "",
                _CAT,
            ),
            (
                "b2678528-0136-4876-ad56-904e12c4b4c6",
                "https://secure_eicar_org/eicarcom2_zip",
                "",
                "",
                _EICAR,
            ),
        ],
    ),
}
_CAT_EVENT = "de834094-f6c3-4e38-9b37-8c61dea312c9"
_EVENTS: dict[str, tuple[str, str, list[_Row]]] = {
    "event_create_response_pending": (
        _CAT_EVENT,
        "2024-09-04T23:45:20Z",
        [
            (_CAT_IMAGE[0], "conformance_report", "conformance.pdf", "Conformance Report", _CAT),
            (
                "1754b920-cf20-4d7e-9d36-9ed7d479744d",
                "security_report",
                "security-report.pdf",
                "Security Report",
                _CAT,
            ),
        ],
    ),
    "event_external_content_not_an_attachment": (_CAT_EVENT, "2024-09-04T23:45:20Z", []),
    "event_legacy_attach_operation": (
        _CAT_EVENT,
        "2024-09-04T23:45:20Z",
        [
            (
                "1754b920-cf20-4d7e-9d36-9ed7d479744d",
                "arc_append_attachments",
                "",
                "an attachment 1",
                _ATTACH,
            )
        ],
    ),
    "event_legacy_list_form": (
        _CAT_EVENT,
        "2024-09-04T23:45:20Z",
        [
            (
                "e2a1d16c-03cd-45a1-8cd0-690831df1273",
                "arc_attachments",
                "",
                "Conformance Report",
                _REPORT,
            )
        ],
    ),
    "event_public_newasset_recorded_2024": (
        "a022f458-8e55-4d63-a200-4172a42fc2aa",
        "2024-05-24T07:26:58Z",
        [],
    ),
    "event_rkvst_2023_recorded_asset_attachment": (
        "11065c00-fd3b-4a76-9935-0703bcf30d68",
        "2023-06-02T21:02:01Z",
        [_ADELE_IMAGE],
    ),
}
_LIST_2024 = [
    ("d55d6843-6f8a-449d-862b-99126f186c1b", "d53b9530-85af-4ce2-b88a-14e3c1381f8e",
     "document_document", "BCD_ModelCard_v2.pdf", "published_document", _CARD),
    ("87d9a1a5-5120-4613-bf40-6918297e093c", "ede0c293-0341-4def-a81a-739246680625",
     "model_card", "BCD_ModelCard_v2.pdf", "model_card", _CARD),
    ("40bdad1c-3a2c-4774-be67-e57102a19c99", "2460e045-1f1a-4aa5-a467-136f2491168d",
     "document_document", "BCD_DataCard_v2.pdf", "published_document", _DATA_CARD),
    ("3b60a93e-65a7-4d12-96ea-70ef8d85b24f", "b14f6c25-cf9a-475b-ba47-d4e8f9957a8b",
     "dataset", "breast-cancer_v3.data", "data_set", _SET),
    ("3b60a93e-65a7-4d12-96ea-70ef8d85b24f", "368966c7-e196-4f66-8f7b-8fdfb5d45b91",
     "data_card", "BCD_DataCard_v2.pdf", "data_card", _DATA_CARD),
    ("99c77eae-d1d7-4210-b55f-e2be638b974b", "f9e458b5-3b34-43fe-9546-49f952a607fc",
     "arc_primary_image", "pexels-jason-deines-6246853.jpg", "arc_primary_image", _XRAY),
    ("99c77eae-d1d7-4210-b55f-e2be638b974b", "c2b4fdc9-d8a6-4bea-9402-0c1ff6f93695",
     "document_document", "pexels-jason-deines-6246853.jpg", "ai_image", _XRAY),
]  # fmt: skip
# Per answer: size, digest, type, status.
_INFOS = {
    "attachment_info_minimal_2021": (31424, _CAT, "image/jpeg", "NOT_SCANNED"),
    "attachment_info_not_scanned": (None, None, None, "NOT_SCANNED"),
    "attachment_info_scanned_bad": (308, _EICAR, "application/zip", "SCANNED_BAD"),
    "attachment_info_scanned_ok": (81254, _CAT, "image/jpeg", "SCANNED_OK"),
    "blob_upload_response_2023": (None, None, None, "NOT_SCANNED"),
    "blob_upload_response_2025": (None, None, None, "NOT_SCANNED"),
}
_PAGES = {
    "assets_list_page", "assets_list_empty", "events_list_public_recorded_2024",
    "assetfree_events_search_response",
}  # fmt: skip
# Answers of endpoints that attachfs does not ask, requests, and errors (see test_faults).
_OTHERS = {
    "application_create_response", "assetfree_event_recorded_2025", "caps", "errors",
    "publicurl_asset", "publicurl_asset_old_form", "publicurl_event", "tenancy_publicinfo",
    "token_jwt_payload", "token_response", "request_create_asset", "request_create_event",
    "request_create_assetfree_event", "request_create_event_stop_tracking",
    "request_search_assetfree_events",
}  # fmt: skip


def _rows(record: Record) -> list[_Row]:
    return [
        (a.id, a.key, a.file_name, a.display_name, ",".join(a.record_digests))
        for a in record.attachments
    ]


def test_no_sample_is_left_out(samples: Path) -> None:
    """Each file is in one of the tables here, so a new one cannot be forgotten."""
    known = {*_ASSETS, *_EVENTS, *_INFOS, *_PAGES, *_OTHERS}
    assert {path.stem for path in samples.glob("*.json")} == known


@pytest.mark.parametrize("name", _ASSETS)
def test_assets_declare_what_their_source_says(samples: Path, name: str) -> None:
    """Each asset has the identity and the attachments that it was recorded with."""
    identity, rows = _ASSETS[name]
    record = parse_asset((samples / f"{name}.json").read_bytes(), asset=identity)
    assert (record.id, _rows(record), record.accepted_ns) == (identity, rows, 0)


@pytest.mark.parametrize("name", _EVENTS)
def test_events_declare_what_their_source_says(samples: Path, name: str) -> None:
    """Each event has its own attachments and those it set on its asset, each once."""
    identity, accepted, rows = _EVENTS[name]
    record = parse_event((samples / f"{name}.json").read_bytes(), event=identity)
    assert (record.id, _rows(record)) == (identity, rows)
    assert f"{accepted[:-1]}+00:00" == _iso(record.accepted_ns)


def test_the_recorded_list_of_2024_has_13_events_and_7_attachments(samples: Path) -> None:
    """All of a real list is found, in its order, in whatever attribute map it stands."""
    page = parse_events_page((samples / "events_list_public_recorded_2024.json").read_bytes())
    assert (len(page.entries), page.skipped, page.next_token) == (13, 0, "")
    records = [parse_event(entry.raw) for entry in page.entries]
    found = [(record.id, *row) for record in records for row in _rows(record)]
    assert found == _LIST_2024
    times = [entry.accepted_ns for entry in page.entries]
    assert times == [record.accepted_ns for record in records]
    assert times == sorted(times, reverse=True)


def test_pages_of_assets_are_read(samples: Path) -> None:
    """A page has its assets in order, an empty one none."""
    page = parse_assets_page((samples / "assets_list_page.json").read_bytes())
    assert [(entry.id, _rows(parse_asset(entry.raw))) for entry in page.entries] == [
        ("c04d5ecf-02e0-4be2-a014-ffbbf0e8ddeb", [_CAT_IMAGE]),
        ("cef61346-2453-4aeb-921c-e6fa93d5b032", []),
    ]
    assert parse_assets_page((samples / "assets_list_empty.json").read_bytes()) == Page((), "")


@pytest.mark.parametrize("name", _INFOS)
def test_every_info_is_read(samples: Path, name: str) -> None:
    """Size, digest, type and status are those of the file; what an old one lacks is harmless."""
    raw = (samples / f"{name}.json").read_bytes()
    written = json.loads(raw)
    size, digest, mime_type, status = _INFOS[name]
    info: Info = parse_info(raw)
    assert info.size_bytes == (written["size"] if size is None else size)
    assert info.sha256 == (written["hash"]["value"] if digest is None else digest)
    assert info.mime_type == (mime_type or written["mime_type"])
    assert info.scanned_status == status
    assert f"{written['timestamp_accepted'][:-1]}+00:00" == _iso(info.accepted_ns)
    assert (info.raw, info.fields) == (raw, written)


@pytest.mark.parametrize("name", sorted(_OTHERS - {"assetfree_event_recorded_2025"}))
def test_other_answers_are_not_taken_for_records(samples: Path, name: str) -> None:
    """An answer of another kind is a bad reply to every parser but harmless."""
    raw = (samples / f"{name}.json").read_bytes()
    for parse in (parse_assets_page, parse_events_page, parse_info):
        with pytest.raises(BadReply):
            parse(raw)


def test_an_asset_free_event_is_an_event_without_attachments_of_an_asset(samples: Path) -> None:
    """Its identity, a UUID of version 7, is read; its `attributes` belong to another API."""
    record = parse_event((samples / "assetfree_event_recorded_2025.json").read_bytes())
    assert record.id == "0194b168-bac0-75e6-bbc4-a47cc45bdbf5"
    assert record.attachments == ()


def _iso(moment_ns: int) -> str:
    return datetime.fromtimestamp(moment_ns / 1e9, UTC).isoformat()
