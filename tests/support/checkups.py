"""What the doctor finds, asked without a program."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attachfs.access.checkup.findings import Check, Finding, Outcome, examine
from attachfs.access.checkup.network import Network
from attachfs.access.checkup.rights import Rights
from attachfs.access.settings import Settings
from attachfs.archive.credentials import Credentials

Findings = Mapping[str, Finding]


async def examined(checks: Iterable[Check], *, longest_s: float = 20) -> Findings:
    """Return what checks find, by their names."""
    found: dict[str, Finding] = {}
    await examine(checks, found.__setitem__, longest_s=longest_s)
    return found


async def looked_at(
    url: str, credentials: Credentials | None = None, *, limit_s: float = 5, **options: Any
) -> Findings:
    """Return what is found of an archive and the way there; without credentials, as `--public`."""
    settings = Settings(
        url=url,
        credentials=credentials,
        cache_dir=Path("/nonexistent"),
        public=credentials is None,
        **options,
    )
    network = Network(settings, limit_s=limit_s)
    rights = Rights(settings, network, limit_s=limit_s)
    return await examined([*network.checks(), *rights.checks()])


def having(findings: Findings, outcome: Outcome) -> list[str]:
    """Return the names of the checks with an outcome."""
    return [name for name, finding in findings.items() if finding.outcome is outcome]
