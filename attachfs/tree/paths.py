"""Find what a path below the root names, name by name, as path_resolution(7) has it."""

from typing import NamedTuple

from attachfs.errors import NotFound
from attachfs.tree.nodes import Directory, Node


class Located(NamedTuple):
    """Hold a node, and the directory and name by which it was found; of the root, both its own."""

    parent: Directory
    name: str
    node: Node


def parts_of(path: str) -> list[str]:
    """Return the names in a path; what stands for the directory itself is none."""
    return [part for part in path.split("/") if part not in ("", ".")]


async def locate(root: Directory, path: str) -> Located:
    """Return the node that a path names, the root at "".

    It may turn out not to exist: its `attrs` tell. Raises `NotFound` where nothing can be called
    that, and what asking for a name raises.
    """
    found = Located(root, "", root)
    for part in parts_of(path):
        if not isinstance(found.node, Directory):
            raise NotFound(f"{path!r}: a file has no names in it")
        found = Located(found.node, part, await found.node.find(part))
    return found
