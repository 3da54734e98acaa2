"""`allow_insecure` and `strict` decide on downloads as the contract's table says (§3.3)."""

from collections.abc import Callable

import httpx
import pytest

from attachfs.demo import Archive

BAD = "this attachment is not safe - if you wish to download it add allow_insecure=true"
UNSURE = (
    "this attachment is potentially not safe - if you wish to download it add allow_insecure=true"
)
BOTH = {"strict": "true", "allow_insecure": "true"}


@pytest.mark.parametrize(
    "row",
    [
        ("SCANNED_OK", {}, None),
        ("SCANNED_OK", {"strict": "true"}, None),
        ("SCANNED_OK", {"allow_insecure": "true"}, None),
        ("SCANNED_OK", BOTH, None),
        ("NOT_SCANNED", {}, None),
        ("NOT_SCANNED", {"strict": "true"}, UNSURE),
        ("NOT_SCANNED", {"allow_insecure": "true"}, None),
        ("NOT_SCANNED", BOTH, None),
        ("SCANNED_BAD", {}, BAD),
        ("SCANNED_BAD", {"strict": "true"}, BAD),
        ("SCANNED_BAD", {"allow_insecure": "true"}, None),
        ("SCANNED_BAD", BOTH, None),
        ("NOT_SCANNED", {"strict": "T"}, UNSURE),
        ("NOT_SCANNED", {"strict": "0"}, None),
        ("NOT_SCANNED", {"strict": ""}, None),
    ],
)
async def test_the_table(
    client: httpx.AsyncClient,
    attach: Callable[..., tuple[str, str]],
    archive: Archive,
    row: tuple[str, dict[str, str], str | None],
) -> None:
    """Attachments and blobs alike are served or refused with 400 and a string for a code."""
    status, query, refusal = row
    asset, blob = attach(b"evidence")
    archive.edit_blob(blob, scanned_status=status)
    for path in (f"/archivist/v2/attachments/assets/{asset}/{blob}", f"/archivist/v1/blobs/{blob}"):
        answer = await client.get(path, params=query)
        if refusal is None:
            assert (answer.status_code, answer.content) == (200, b"evidence")
        else:
            assert answer.status_code == 400
            assert answer.json() == {"code": "400", "message": refusal, "details": []}
        # The metadata of what is refused stay readable.
        assert (await client.get(f"{path}/info")).json()["scanned_status"] == status


@pytest.mark.parametrize("name", ["strict", "allow_insecure"])
async def test_other_truth_values_are_refused(
    client: httpx.AsyncClient, attach: Callable[..., tuple[str, str]], name: str
) -> None:
    """The message names the parameter and lists what it may be."""
    asset, blob = attach()
    answer = await client.get(
        f"/archivist/v2/attachments/assets/{asset}/{blob}", params={name: "yes"}
    )
    assert answer.status_code == 400
    assert answer.json()["message"] == (
        f"illegal value for '{name}' must be truthy value: "
        "1, t, T, TRUE, true, True, 0, f, F, FALSE, false, False"
    )


async def test_a_scan_sets_its_time(archive: Archive) -> None:
    """The timestamp is empty until the scan, and again when it is taken back."""
    uuid = archive.create_blob(b"x")["identity"].split("/")[1]
    assert archive.blobs.record(uuid)["scanned_timestamp"] == ""
    assert archive.edit_blob(uuid, scanned_status="SCANNED_OK")["scanned_timestamp"]
    assert archive.edit_blob(uuid, scanned_status="NOT_SCANNED")["scanned_timestamp"] == ""
