"""The embedded archive with the evidence in it: a process of its own.

Says by a line of JSON where it is and what is there; the end of its input ends it.
"""

import sys
from typing import Final

import trio

from attachfs.demo.archive import Archive
from attachfs.demo.launch import ArchiveConfig, run_archive
from soaking.evidence import Evidence
from soaking.processes import say
from tests.support.archives import declared, uuid_in

_FILES_AN_ASSET: Final = 10


def _fill(archive: Archive, evidence: Evidence) -> list[str]:
    """Put all files into the archive; return where each is in a mount."""
    paths: list[str] = []
    for begin in range(0, evidence.files, _FILES_AN_ASSET):
        numbers = range(begin, min(begin + _FILES_AN_ASSET, evidence.files))
        blobs = [archive.create_blob(evidence.content(number)) for number in numbers]
        attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
        asset = uuid_in(archive.create_asset({"attributes": attributes}))
        paths += [f"assets/{asset}/{uuid_in(blob)}" for blob in blobs]
    return paths


async def main(files: int) -> None:
    """Serve until the input ends."""
    async with trio.open_nursery() as nursery:
        running = await nursery.start(
            lambda task_status: run_archive(ArchiveConfig(empty=True), task_status=task_status)
        )
        paths = _fill(running.archive, Evidence(files))
        say({"url": running.url, "token_file": str(running.token_file), "paths": paths})
        await trio.lowlevel.wait_readable(sys.stdin)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
