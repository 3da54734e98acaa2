"""Paths below the root, resolved name by name."""

import pytest

from attachfs.errors import NotFound
from attachfs.tree.nodes import RootDirectory
from attachfs.tree.paths import locate, parts_of
from tests.support.estates import Estate


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("", []),
        ("/", []),
        (".", []),
        ("assets", ["assets"]),
        ("/assets/", ["assets"]),
        ("./assets//a/./b", ["assets", "a", "b"]),
        ("by-name/a b~c", ["by-name", "a b~c"]),
        ("a/..", ["a", ".."]),
    ],
)
def test_what_stands_for_the_directory_itself_is_no_name(path: str, parts: list[str]) -> None:
    """Nor is an empty one; whatever else there is stays as it is."""
    assert parts_of(path) == parts


async def test_each_name_is_found_in_what_was_found_before(estate: Estate) -> None:
    """The root is its own parent; of anything else, the directory it is in comes with it."""
    holder, (uuid,) = estate.asset(b"evidence")
    async with estate.mounted() as mounted:
        root = mounted.fs._root
        found = await locate(root, "")
        assert (found.parent, found.name, found.node) == (root, "", root)
        assert isinstance(root, RootDirectory)
        attachment = await locate(root, f"/{holder.path}//{uuid}")
        assert attachment.name == uuid
        assert (await attachment.node.attrs()).size_bytes == len(b"evidence")
        directory = await locate(root, holder.path)
        assert attachment.parent.place == directory.node.place


@pytest.mark.parametrize("path", ["nothing", "assets/no uuid", "assets/{uuid}/..", ".."])
async def test_what_cannot_be_called_so_is_not_found(estate: Estate, path: str) -> None:
    """There is no way up: the kernel resolves that before it asks."""
    holder, _ = estate.asset(b"evidence")
    async with estate.mounted() as mounted:
        with pytest.raises(NotFound):
            await locate(mounted.fs._root, path.format(uuid=holder.asset))


async def test_a_file_has_no_names_in_it(estate: Estate) -> None:
    """Whatever follows its name."""
    holder, (uuid,) = estate.asset(b"evidence")
    async with estate.mounted() as mounted:
        with pytest.raises(NotFound, match="a file has no names in it"):
            await locate(mounted.fs._root, f"{holder.path}/{uuid}/more")
