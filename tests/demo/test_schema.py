"""The archive keeps to the service's own OpenAPI documents, as far as these are right."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from attachfs.demo import SAMPLE, ArchiveConfig, RunningArchive

DOCUMENTS = Path(__file__).parents[1] / "data" / "swagger"
EXAMPLES = 12
# What the documents do not list, but the contract finds (§3.1, 4, 5.5, 10).
REFUSALS = ("400", "401", "404", "501")
NULLABLE = ("commit", "confirm", "unequivocal")
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


def corrected(name: str) -> dict[str, Any]:
    """Return a document with its known errors mended, each where the contract says so."""
    document: dict[str, Any] = json.loads((DOCUMENTS / f"{name}.swagger.json").read_text())
    definitions = document["definitions"]
    if "v2Attribute" in definitions:
        # On the wire an attribute is the value itself (§5.4) ...
        definitions["v2Attribute"] = {}
        # ... these are numbers (§5.3) ...
        event = definitions["v2EventResponse"]["properties"]
        for field in ("block_number", "transaction_index"):
            event[field] = {"type": "integer"}
        # ... and these may be null (§5.3).
        entry = definitions["v2MerkleLogEntry"]["properties"]
        for field in NULLABLE:
            entry[field] = {"x-nullable": True, "type": "object"}
    for shape in ("v1AttachmentsResponse", "v1BlobsResponse"):
        if shape in definitions:
            # It is empty until the scan (§3.2).
            definitions[shape]["properties"]["scanned_timestamp"] = {"type": "string"}
    for path in document["paths"].values():
        for operation in path.values():
            for status in REFUSALS:
                operation["responses"].setdefault(status, {"description": "refused"})
            # The bracket spelling is an artefact of the generator (§5.6).
            operation["parameters"] = [
                parameter
                for parameter in operation.get("parameters", [])
                if "[string]" not in parameter["name"]
            ]
    return document


def operations() -> list[tuple[str, str, str]]:
    """Return document, path and verb of every operation."""
    return [
        (file.name.split(".")[0], path, method)
        for file in sorted(DOCUMENTS.glob("*.json"))
        for path, methods in json.loads(file.read_text())["paths"].items()
        for method in methods
    ]


def existing(document: str, path: str) -> dict[str, str]:
    """Return path parameters that name a thing of the sample estate."""
    public = document.startswith("public") or path.endswith(":publicurl")
    asset = SAMPLE["asset:conformity" if public else "asset:container"]
    event = SAMPLE["event:conformity-renewal" if public else "event:container-loading"]
    blob = SAMPLE["blob:statement-note" if public else "blob:packing-list"]
    if "attachments" in document and "events" not in path:
        blob = SAMPLE["blob:certificate"]
    if "attachments" in document or document.startswith("blobs"):
        return {"asset_uuid": asset, "event_uuid": event, "uuid": blob}
    return {"asset_uuid": asset, "uuid": event if "{asset_uuid}" in path else asset}


def test_every_document_is_there() -> None:
    """All five are checked."""
    assert len({document for document, _, _ in operations()}) == 5


@pytest.mark.parametrize(("document", "path", "method"), operations())
def test_answers_conform(
    serve: Callable[[ArchiveConfig], RunningArchive], document: str, path: str, method: str
) -> None:
    """Whatever is sent, status, type and shape of the answer are documented."""
    running = serve(ArchiveConfig())
    name, _, value = running.token_file.read_text().strip().partition(": ")
    operation = schemathesis.openapi.from_dict(corrected(document))[path][method.upper()]
    found: list[int] = []
    with requests.Session() as session:

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(), real=st.booleans(), bare=st.booleans())
        def check(case: schemathesis.Case[Any], *, real: bool, bare: bool) -> None:
            if real:
                case.path_parameters = {
                    key: existing(document, path)[key] for key in case.path_parameters or {}
                }
            if bare:
                case.query = {}
            response = case.call(
                base_url=running.url, session=session, headers={name: value}, timeout=20
            )
            found.append(response.status_code)
            case.validate_response(response, checks=CHECKS)

        check()
    assert running.archive.traffic.tracebacks == []
    if method == "get":
        # Otherwise nothing but refusals would have been checked.
        assert 200 in found
