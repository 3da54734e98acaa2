"""Tell the kernel, which remembers names and attributes, what is no longer as it was."""

from typing import Final, Protocol

from attachfs.archive.identities import Holder
from attachfs.archive.models import Record
from attachfs.tree.files import RecordFile
from attachfs.tree.holders import EventsDirectory, HolderDirectory
from attachfs.tree.inodes import ROOT_INO
from attachfs.tree.names import ASSETS, BY_NAME, PUBLIC_ASSETS
from attachfs.tree.nodes import Estate, Node, RootDirectory
from attachfs.tree.paths import locate
from attachfs.tree.places import Kind, Place, View
from attachfs.tree.sums import SumsFile

_PRIVATE_VIEWS: Final = (View(ASSETS), View(BY_NAME))
_PUBLIC_VIEWS: Final = (View(PUBLIC_ASSETS),)


class Kernel(Protocol):
    """Forget what the kernel holds; returns at once and raises nothing."""

    def forget_name(self, parent: int, name: str) -> None:
        """Forget a name in a directory, that it is there or that it is not."""

    def forget_inode(self, ino: int) -> None:
        """Forget the attributes and pages of an inode."""


class Changes:
    """Follow what the catalog learns, and what users want to be asked for again."""

    def __init__(self, estate: Estate, root: RootDirectory, kernel: Kernel) -> None:
        self._estate = estate
        self._root = root
        self._kernel = kernel
        estate.catalog.watch(self._changed)

    async def refresh(self, path: str) -> None:
        """Have what can change asked for again: at a path below the root, or everywhere at "".

        Raises `NotFound` where nothing can be called that, and what finding it raises.
        """
        parent, name, node = await locate(self._root, path)
        if node.kind in (Kind.VIEW, Kind.MOMENT):
            self._estate.catalog.expire_all()
            for entry_name in self._root.views:
                self._kernel.forget_name(ROOT_INO, entry_name)
        else:
            self._estate.catalog.expire(node.place.holder)
            self._kernel.forget_name(parent.ino, name)

    def _changed(self, holder: Holder, old: Record, new: Record | None) -> None:
        self._forget(RecordFile.of(self._estate, Place(View(), holder)))
        for view in _PUBLIC_VIEWS if holder.public else _PRIVATE_VIEWS:
            place = Place(view, holder)
            directory = HolderDirectory(self._estate, place)
            if self._is_known(directory):
                self._forget(SumsFile(self._estate, place))
                names = set() if new is None else directory.names(new)
                for name in directory.names(old) ^ names:
                    self._kernel.forget_name(directory.ino, name)
                self._forget(directory)
            # A name that stays is left alone: whoever works in the directory is not put out of it.
            name = place.name(old)
            if new is None or place.name(new) != name:
                self._forget_in_parent(directory, name)

    def _forget(self, node: Node) -> None:
        if self._is_known(node):
            self._kernel.forget_inode(node.ino)

    def _forget_in_parent(self, directory: HolderDirectory, name: str) -> None:
        place = directory.place
        if place.holder.event is None:
            parent: Node = self._root.views[place.view.name]
        else:
            parent = EventsDirectory(self._estate, Place(place.view, place.holder.owner))
        if self._is_known(parent):
            self._kernel.forget_name(parent.ino, name)

    def _is_known(self, node: Node) -> bool:
        return self._estate.inodes.get(node.ino) is not None
