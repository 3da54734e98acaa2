"""The root of the tree, and every node of it from what the table of inodes holds."""

from collections.abc import Mapping
from typing import Final

from attachfs.archive.identities import Holder
from attachfs.tree.files import AttachmentFile, RecordFile, SidecarFile
from attachfs.tree.holders import EventsDirectory, HolderDirectory
from attachfs.tree.inodes import ROOT_INO
from attachfs.tree.names import AS_OF, ASSETS, BY_NAME, PUBLIC_ASSETS
from attachfs.tree.nodes import Estate, Node, RootDirectory
from attachfs.tree.places import Kind, Place, View, unpack
from attachfs.tree.sums import SumsFile
from attachfs.tree.views.as_of import AsOfDirectory, MomentDirectory
from attachfs.tree.views.assets import AssetsDirectory
from attachfs.tree.views.by_name import NamedAssetsDirectory
from attachfs.tree.views.public import PublicAssetsDirectory

_NOWHERE: Final = Holder("")
_VIEWS: Final[Mapping[str, type[Node]]] = {
    ASSETS: AssetsDirectory,
    BY_NAME: NamedAssetsDirectory,
    PUBLIC_ASSETS: PublicAssetsDirectory,
    AS_OF: AsOfDirectory,
}
_NODES: Final[Mapping[Kind, type[Node]]] = {
    Kind.MOMENT: MomentDirectory,
    Kind.HOLDER: HolderDirectory,
    Kind.EVENTS: EventsDirectory,
    Kind.ATTACHMENT: AttachmentFile,
    Kind.SIDECAR: SidecarFile,
    Kind.RECORD: RecordFile,
    Kind.SUMS: SumsFile,
}


def root_directory(estate: Estate, *, public_only: bool) -> RootDirectory:
    """Return the root; with `public_only`, of what needs no token."""
    names = (PUBLIC_ASSETS,) if public_only else tuple(_VIEWS)
    views = {name: _VIEWS[name](estate, Place(View(name), _NOWHERE)) for name in names}
    return RootDirectory(estate, Place(View(), _NOWHERE), views, ino=ROOT_INO)


def restored(estate: Estate, ino: int, packed: bytes) -> Node:
    """Return the node that was packed."""
    kind, place, attachment = unpack(packed)
    if kind is not Kind.VIEW:
        return _NODES[kind](estate, place, attachment, packed=packed, ino=ino)
    if place.view.moment:
        return AssetsDirectory(estate, place, packed=packed, ino=ino)
    return _VIEWS[place.view.name](estate, place, packed=packed, ino=ino)
