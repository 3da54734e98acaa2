"""The program where a name is known while a file exists: `resolving.py FILE -- mount ...`."""

import socket
import sys
from pathlib import Path
from typing import Any

from attachfs.cli.app import main

HOST = "archive.test"  # RFC 6761: nobody's


def resolving(known: Path) -> tuple[str, ...]:
    """Return what to run in place of `-m attachfs`, for which `HOST` is this machine."""
    return (__file__, str(known), "--")


if __name__ == "__main__":
    known = Path(sys.argv[1])
    del sys.argv[1:3]
    getaddrinfo = socket.getaddrinfo

    def _resolve(host: Any, *arguments: Any, **settings: Any) -> Any:
        if host in (HOST, HOST.encode()):
            if not known.exists():
                raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
            host = "127.0.0.1"
        return getaddrinfo(host, *arguments, **settings)

    socket.getaddrinfo = _resolve
    main()
