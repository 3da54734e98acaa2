"""Fetch what will be asked for next, once somebody goes through a directory in order."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import trio
from cachetools import LRUCache

from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import Record
from attachfs.errors import AttachfsError
from attachfs.tree.files import AttachmentFile, InfoFile, SidecarFile
from attachfs.tree.naming import attachment_names
from attachfs.tree.nodes import Estate, Node
from attachfs.tree.sequences import InOrder

_MAX_DIRECTORIES: Final = 64


class _Orders:
    """Follow the readers of one directory: by the order of its listing, and by name.

    GNU cp opens files in inode order, as tar and grep -r do here; `cat *` goes by name, which is
    another order in by-name/.
    """

    def __init__(self, estate: Estate, holder: Holder, record: Record, max_files: int) -> None:
        self.record = record
        names = [attachment.id for attachment in record.attachments]
        paths = [AttachmentPath(holder, name) for name in sorted(names)]
        own = {path: AttachmentFile.of(estate, path).ino for path in paths}
        # Whichever comes first, attachment or sidecar, needs the `/info` of both.
        either = {path: min(own[path], SidecarFile.of(estate, path).ino) for path in paths}
        by_number = sorted(paths, key=own.__getitem__)
        by_either = sorted(paths, key=either.__getitem__)
        given = attachment_names(record.attachments)
        by_name = sorted(paths, key=lambda path: given[path.attachment])
        self.infos = [InOrder(keys, max_ahead=max_files) for keys in (by_either, paths, by_name)]
        self.bodies = [InOrder(keys, max_ahead=max_files) for keys in (by_number, paths, by_name)]


class ReadAhead:
    """Fetch up to `max_files` files' `/info` and bytes before they are asked for; 0 is none.

    Runs in a nursery that outlives every request. What goes wrong is left to who asks in earnest.
    """

    def __init__(self, estate: Estate, nursery: trio.Nursery, *, max_files: int) -> None:
        self._estate = estate
        self._nursery = nursery
        self._max_files = max_files
        self._directories: LRUCache[Holder, _Orders] = LRUCache(_MAX_DIRECTORIES)

    def looked_at(self, node: Node) -> None:
        """Take note of a lookup; attributes of attachments and sidecars come from `/info`."""
        if isinstance(node, InfoFile):
            orders = self._orders(node.path.holder)
            if orders is not None:
                for path in _ahead(orders.infos, node.path):
                    if self._estate.catalog.known_info(path) is None:
                        self._nursery.start_soon(self._fetch_info, path)

    def opened(self, node: Node) -> None:
        """Take note of an open."""
        if isinstance(node, AttachmentFile):
            orders = self._orders(node.path.holder)
            if orders is not None:
                for path in _ahead(orders.bodies, node.path):
                    self._nursery.start_soon(self._fetch_body, path)

    def _orders(self, holder: Holder) -> _Orders | None:
        record = self._estate.catalog.known_record(holder)
        if record is None or not self._max_files or len(record.attachments) < 2:  # noqa: PLR2004
            return None
        orders = self._directories.get(holder)
        if orders is None or orders.record is not record:
            orders = _Orders(self._estate, holder, record, self._max_files)
            self._directories[holder] = orders
        return orders

    async def _fetch_info(self, path: AttachmentPath) -> None:
        with suppress(AttachfsError):
            await self._estate.catalog.fetch_info_ahead(path)

    async def _fetch_body(self, path: AttachmentPath) -> None:
        with suppress(AttachfsError):
            await AttachmentFile.of(self._estate, path).fetch_ahead()


def _ahead(orders: Sequence[InOrder[AttachmentPath]], path: AttachmentPath) -> set[AttachmentPath]:
    return {following for order in orders for following in order.step(path)}
