"""Find out with one request whether a mount can work, before there is one."""

from contextlib import suppress

from attachfs.archive import endpoints
from attachfs.archive.client import Archive
from attachfs.errors import (
    BadReply,
    Busy,
    Denied,
    NotFound,
    ServerFault,
    ServerTrouble,
    ServerUnreachable,
    TimedOut,
    TokenRefused,
    Unauthenticated,
    Unreachable,
    WrongUrl,
)


async def preflight(archive: Archive, *, public: bool = False) -> str | None:
    """Return a warning where the token may not list assets, None where all is well.

    A `public` mount has no token, and asks for nothing that needs one.

    Raises `TokenRefused`, `WrongUrl`, `ServerUnreachable` or `ServerTrouble`, each with what to do.
    """
    try:
        if public:
            with suppress(NotFound):
                await archive.ask(endpoints.public_probe())
        else:
            await archive.ask(endpoints.probe())
    except Unauthenticated as error:
        raise TokenRefused(
            f"the server refuses the token ({error}); get a new one and try again"
        ) from error
    except Denied:
        return (
            "this token may not list assets: assets/ cannot be listed, "
            "but every path that it may read works by name"
        )
    except (Unreachable, TimedOut) as error:
        raise ServerUnreachable(
            f"cannot reach {archive.url} ({error}); check the URL, the network and the proxy, "
            "and --ca-bundle where the certificate is private"
        ) from error
    except (ServerFault, Busy) as error:
        raise ServerTrouble(f"{archive.url} is in trouble ({error}); try again later") from error
    except (NotFound, BadReply) as error:
        raise WrongUrl(
            f"{archive.url} answers, but not like an RKVST / DataTrails archive ({error}); "
            "check the URL"
        ) from error
    return None
