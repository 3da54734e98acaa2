"""The embedded archive with an estate in it: a process of its own.

Says by a line of JSON where it is; answers each line it is told by what was asked of it since the
last one, and sets the rate that the line names. The end of its input ends it.
"""

import json
import sys
from typing import Final

import trio
from soaking.processes import say

from attachfs.demo.archive import Archive
from attachfs.demo.launch import ArchiveConfig, run_archive
from scaling.counting import Counting
from scaling.estate import ATTACHMENTS_AN_ASSET, WITH_THE_ASSET, Size, content
from scaling.wire import Wire
from tests.support.archives import declared, uuid_in

# A transaction of so many assets: each of its own takes three times as long.
_BATCH: Final = 100


def _fill(archive: Archive, size: Size) -> str:
    """Make the estate; return the UUID of one of its assets."""
    asset = ""
    for begin in range(0, size.assets, _BATCH):
        with archive.storage.transaction():
            for number in range(begin, min(begin + _BATCH, size.assets)):
                asset = _add(archive, number)
    return asset


def _add(archive: Archive, number: int) -> str:
    """Make an asset with half of its attachments, and an event with the others; return its UUID."""
    first = number * ATTACHMENTS_AN_ASSET
    blobs = [archive.create_blob(content(first + offset)) for offset in range(ATTACHMENTS_AN_ASSET)]
    attributes = {f"proof {place}": declared(blob) for place, blob in enumerate(blobs)}
    names = list(attributes)
    own = {name: attributes[name] for name in names[:WITH_THE_ASSET]}
    later = {name: attributes[name] for name in names[WITH_THE_ASSET:]}
    named = {"arc_display_name": f"Asset {number}", "arc_display_type": "Scale"}
    asset = uuid_in(archive.create_asset({"attributes": {**named, **own}}))
    archive.create_event(
        asset,
        {"operation": "Record", "behaviour": "RecordEvidence", "event_attributes": later},
    )
    return asset


async def main(assets: int) -> None:
    """Serve until the input ends."""
    async with trio.open_nursery() as nursery:
        running = await nursery.start(
            lambda task_status: run_archive(ArchiveConfig(empty=True), task_status=task_status)
        )
        counting = running.archive.traffic = Counting()
        asset = _fill(running.archive, Size(assets))
        wire = Wire(running.url)
        await nursery.start(wire.run)
        say(
            {
                "url": running.url,
                "wired": wire.url,
                "token_file": str(running.token_file),
                "asset": asset,
            }
        )
        while True:
            await trio.lowlevel.wait_readable(sys.stdin)
            line = sys.stdin.readline()
            if not line:
                break
            told = json.loads(line)
            if "rate" in told:
                counting.set_rate(float(told["rate"]))
            say({**counting.taken(), "wire_bytes": wire.taken_bytes()})
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
