"""File systems that hold the same below different roots, and what calls of each come to."""

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Twin:
    """A file system of fsspec's, and below which path of it lies what others have too."""

    fs: Any
    root: str

    def at(self, path: Any) -> Any:
        """Return where a path, or each of several, is."""
        if isinstance(path, list):
            return [self.at(one) for one in path]
        return f"{self.root}/{path}" if self.root else path

    def outcome(self, ask: Callable[["Twin"], Any]) -> Any:
        """Return what a call returns, with paths as if the root were none, or its error's type."""
        try:
            return self.below(ask(self))
        except Exception as error:  # noqa: BLE001 - what fails is compared as well
            return type(error)

    def below(self, value: Any) -> Any:
        """Return a result with paths as if the root were none, and errors as their types."""
        if isinstance(value, str):
            return value.removeprefix(self.root).removeprefix("/")
        if isinstance(value, Mapping):
            return {self.below(key): self.below(one) for key, one in value.items()}
        if isinstance(value, AbstractSet):
            return {self.below(one) for one in value}
        if isinstance(value, list | tuple):
            return [self.below(one) for one in value]
        return type(value) if isinstance(value, Exception) else value


def copy(source: Twin, target: Twin, path: str = "") -> None:
    """Copy a directory and all below it, by listings and bytes alone."""
    target.fs.makedirs(target.at(path), exist_ok=True)
    for details in source.fs.ls(source.at(path), detail=True):
        name = source.below(details["name"])
        if details["type"] == "directory":
            copy(source, target, name)
        else:
            target.fs.pipe_file(target.at(name), source.fs.cat_file(source.at(name)))


def files(directory: Path) -> dict[str, bytes | None]:
    """Return what is below a directory: the bytes of files, None of directories."""
    return {
        str(path.relative_to(directory)): None if path.is_dir() else path.read_bytes()
        for path in directory.rglob("*")
    }
