"""The embedded archive: a real server of the archivist API for demonstrations and tests.

    async with trio.open_nursery() as nursery:
        running = await nursery.start(run_archive, ArchiveConfig())

It shares nothing with the rest of attachfs, so that neither can hide the other's mistakes.
"""

from attachfs.demo.archive import Archive
from attachfs.demo.errors import ArchiveError
from attachfs.demo.estate import SAMPLE
from attachfs.demo.launch import ArchiveConfig, RunningArchive, run_archive
from attachfs.demo.switches import Switches

__all__ = [
    "SAMPLE",
    "Archive",
    "ArchiveConfig",
    "ArchiveError",
    "RunningArchive",
    "Switches",
    "run_archive",
]
