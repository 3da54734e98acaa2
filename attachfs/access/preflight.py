"""Find out with one request whether a mount can work, before there is one."""

from contextlib import suppress
from typing import Final

import trio

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    Denied,
    NotFound,
    ServerFault,
    ServerTrouble,
    ServerUnreachable,
    SetupError,
    TimedOut,
    TokenRefused,
    Unauthenticated,
    Unreachable,
    WrongUrl,
)

# Somebody waits at a terminal, or a machine that starts: so long for a connection, and so long
# for trouble to pass.
_NO_CONNECTION_S: Final = 2.0
_TROUBLE_S: Final = 5.0


async def preflight(archive: Archive, *, public: bool = False, known: bool = False) -> str | None:
    """Return a warning where not all is well: the token may not list assets, or nobody answers.

    A `public` mount has no token, and asks for nothing that needs one. Where something of this
    archive is `known`, a server out of reach or in trouble is no reason not to mount.

    Raises `TokenRefused`, `WrongUrl`, `ServerUnreachable` or `ServerTrouble`, each with what to do.
    """
    try:
        await _ask(archive, public=public, patient=not known)
    except Denied as error:
        if not isinstance(error, Unauthenticated):
            return (
                "this token may not list assets: assets/ cannot be listed, "
                "but every path that it may read works by name"
            )
        raise explained(archive.url, error) from error
    except AttachfsError as error:
        mistake = explained(archive.url, error)
        if known and isinstance(mistake, ServerUnreachable | ServerTrouble):
            return (
                f"{archive.url} does not answer ({error}); until it does, what is known is served"
            )
        raise mistake from error
    return None


async def _ask(archive: Archive, *, public: bool, patient: bool) -> None:
    """Ask for next to nothing; the `patient` wait for a server that is slow and not in trouble."""
    with archive.policy.breaker.hurried(_NO_CONNECTION_S):
        with trio.move_on_after(_TROUBLE_S):
            return await _probe(archive, public=public)
        if archive.policy.breaker.error is not None:
            raise archive.policy.breaker.error
        if not patient:
            raise TimedOut(f"no answer within {_TROUBLE_S:g} s")
        return await _probe(archive, public=public)


async def _probe(archive: Archive, *, public: bool) -> None:
    if public:
        with suppress(NotFound):
            await archive.ask(endpoints.public_probe())
    else:
        await archive.ask(endpoints.probe())


def explained(url: str, error: AttachfsError) -> SetupError:
    """Return the mistake behind an error, with what to do."""
    if isinstance(error, Unauthenticated):
        return TokenRefused(f"the server refuses the token ({error}); get a new one and try again")
    if isinstance(error, Unreachable | TimedOut):
        return ServerUnreachable(
            f"cannot reach {url} ({error}); check the URL, the network and the proxy, "
            "and --ca-bundle where the certificate is private"
        )
    if isinstance(error, ServerFault | Busy):
        return ServerTrouble(f"{url} is in trouble ({error}); try again later")
    assert isinstance(error, NotFound | BadReply)  # noqa: S101 - what else a probe raises
    return WrongUrl(
        f"{url} answers, but not like an RKVST / DataTrails archive ({error}); check the URL"
    )
