"""Jobs done on a file system without a mount, and what they tell."""

from collections.abc import Iterable
from typing import TypeVar

from attachfs.archive.identities import Holder
from attachfs.audit.events import Checked, Event
from attachfs.audit.jobs import Job
from attachfs.audit.report import Finding
from attachfs.tree.filesystem import FileSystem

T = TypeVar("T")

LARGE = bytes(range(256)) * 40_000  # 10 MB: more than is verified before a byte is handed out


async def told_by(fs: FileSystem, job: Job) -> list[Event]:
    """Return everything that a job tells."""
    told: list[Event] = []

    async def tell(event: Event) -> None:
        told.append(event)

    await job.run(fs, tell)
    return told


def of_kind(kind: type[T], told: list[Event]) -> list[T]:
    """Return the events of one kind."""
    return [event for event in told if isinstance(event, kind)]


def paths_of(holder: Holder, uuids: Iterable[str]) -> tuple[str, ...]:
    """Return the paths of attachments; what they are attached to has an event that has them too."""
    return tuple(f"{holder.path}/{uuid}" for uuid in uuids)


async def findings_of(fs: FileSystem, job: Job) -> dict[str, Finding]:
    """Return the findings of a verification, by path; no path has two."""
    checked = of_kind(Checked, await told_by(fs, job))
    findings = {event.finding.path: event.finding for event in checked}
    assert len(findings) == len(checked)
    return findings
