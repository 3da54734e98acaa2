"""Whom files and directories seem to belong to, who may read them, and what the mount is called."""

import os
from dataclasses import dataclass
from typing import Final, Self

_FILE_MODE: Final = 0o444
_DIRECTORY_MODE: Final = 0o555


@dataclass(frozen=True, kw_only=True)
class Presentation:
    """Say how a mount shows itself to the machine.

    `source` is what mount(8) and df(1) name it by. Modes are those of files and directories, never
    with a bit that lets anybody write. With `allow_other`, other users than the one who mounts may
    look, as far as modes allow.
    """

    source: str
    uid: int
    gid: int
    file_mode: int = _FILE_MODE
    directory_mode: int = _DIRECTORY_MODE
    allow_other: bool = False

    @classmethod
    def chosen(
        cls,
        *,
        source: str,
        uid: int | None = None,
        gid: int | None = None,
        umask: int = 0,
        allow_other: bool = False,
    ) -> Self:
        """Return a presentation by what was asked for; what was not is as whoever mounts."""
        return cls(
            source=source,
            uid=os.getuid() if uid is None else uid,
            gid=os.getgid() if gid is None else gid,
            file_mode=_FILE_MODE & ~umask,
            directory_mode=_DIRECTORY_MODE & ~umask,
            allow_other=allow_other,
        )
