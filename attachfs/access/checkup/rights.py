"""The token, whether the archive takes it, and what it may read."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Final

import httpx
import trio

from attachfs.access.checkup.findings import Check, Finding, failed, ok, skipped, warning
from attachfs.access.checkup.network import Network
from attachfs.access.preflight import explained, preflight
from attachfs.access.settings import Settings
from attachfs.archive import endpoints
from attachfs.archive.client import Archive, open_archive
from attachfs.archive.credentials import Credentials
from attachfs.archive.faults import from_transport
from attachfs.archive.http.pool import Pool
from attachfs.archive.http.tokens import Tokens
from attachfs.archive.http.trust import trust
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.models import Listed, Record, parse_asset, parse_event
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Denied,
    NotFound,
    TimedOut,
    TokenRefused,
    Unauthenticated,
)
from attachfs.wording import rough_duration

_SOON_S: Final = 600.0
_LISTED: Final = 20  # enough to find an attachment among, and no load
_TRIED: Final = 5
_GRANT: Final = "have an access policy of the archive let the token's owner read"


class Rights:
    """Check the token and its rights with as few requests as it takes; each ends in `limit_s`."""

    def __init__(self, settings: Settings, network: Network, *, limit_s: float) -> None:
        self._settings = settings
        self._network = network
        self._limit_s = limit_s
        self._paths: list[AttachmentPath] = []

    def checks(self) -> Iterator[Check]:
        """Yield the checks in the order in which they depend on one another."""
        credentials = self._settings.credentials
        exchanged = credentials is not None and credentials.current() is None
        yield Check("token", self._token, after=("credentials", *(["TLS"] if exchanged else [])))
        yield Check("API", self._api, after=("TLS", "token"))
        yield Check("assets", self._assets, after=("API",))
        yield Check("events", self._events, after=("API",))
        yield Check("attachments", self._attachments, after=("API",))

    async def _token(self) -> Finding:
        credentials = self._settings.credentials
        if credentials is None:
            return skipped("none is used: public assets only")
        renewed = credentials.current() is None
        if renewed:
            await self._exchange(credentials)
        if credentials.left_s is None:
            return ok("it does not say how long it serves")
        # The life of one that was exchanged for is told as a duration, others have a date.
        left_s = credentials.left_s - (0.0 if renewed else self._network.ahead_s)
        if left_s <= 0:
            return failed(
                TokenRefused(f"it is over since {rough_duration(-left_s)}"), credentials.remedy
            )
        if left_s < _SOON_S and not renewed:
            return warning(f"it serves for another {rough_duration(left_s)}", credentials.remedy)
        return ok(f"it serves for another {rough_duration(left_s)}")

    async def _exchange(self, credentials: Credentials) -> None:
        """Get a token for an app registration; raises `SetupError`."""
        url, ca_bundle = self._settings.url, self._settings.ca_bundle
        pool = Pool(trust(ca_bundle))
        try:
            with trio.fail_after(self._limit_s):
                await Tokens(credentials, pool, timeout_s=self._limit_s).renewed()
        except trio.TooSlowError:
            error: AttachfsError = TimedOut(f"no token within {self._limit_s:g} s")
            raise explained(url, error) from None
        except httpx.HTTPError as broken:
            raise explained(url, from_transport(broken, subject="the token")) from None
        except Unauthenticated as refusal:
            raise TokenRefused(f"{refusal}; {credentials.remedy}") from None
        except AttachfsError as other:
            raise explained(url, other) from None
        finally:
            pool.close()

    def _archive(self) -> Archive:
        settings = self._settings
        return open_archive(
            settings.url,
            settings.credentials,
            ca_bundle=settings.ca_bundle,
            timeout_s=self._limit_s,
        )

    async def _api(self) -> Finding:
        with self._archive() as archive:
            await preflight(archive, public=self._settings.public)
        whom = "" if self._settings.public else " and takes the token"
        return ok(f"{self._settings.url} answers{whom}")

    async def _assets(self) -> Finding:
        if self._settings.public:
            return await self._public_assets()
        listing = endpoints.assets(untracked=self._settings.untracked)
        return await self._listed(
            "assets", listing, "assets/ cannot be listed, but what may be read is found by its name"
        )

    async def _events(self) -> Finding:
        if self._settings.public:
            return skipped("they are found by their names: public assets only")
        return await self._listed(
            "events",
            endpoints.all_events(),
            "events/ cannot be listed, but what may be read is found by its name",
        )

    async def _listed(self, what: str, listing: endpoints.Listing, otherwise: str) -> Finding:
        try:
            with self._archive() as archive:
                page = await archive.ask(endpoints.few(listing, _LISTED))
        except Denied:
            return warning(f"the token may not list {what}: {otherwise}", f"{_GRANT} {what}")
        except AttachfsError as error:
            raise explained(self._settings.url, error) from error
        for entry in page.entries:
            with suppress(BadReply):
                self._note(entry, event=what == "events")
        return ok(
            f"the token may list {what}" + ("" if page.entries else ", of which it sees none")
        )

    def _note(self, entry: Listed, *, event: bool) -> None:
        """Remember where attachments are, to try one."""
        if not event:
            self._remember(Holder(entry.id), parse_asset(entry.raw, asset=entry.id))
        elif entry.asset is not None:
            holder = Holder(entry.asset, entry.id)
            self._remember(holder, parse_event(entry.raw, event=entry.id))

    def _remember(self, holder: Holder, record: Record) -> None:
        self._paths += [
            AttachmentPath(holder, attachment.id)
            for attachment in record.attachments
            if not attachment.on_asset
        ]

    async def _public_assets(self) -> Finding:
        """Ask for the public assets that the settings name."""
        missing: list[str] = []
        with self._archive() as archive:
            for uuid in self._settings.public_assets[:_TRIED]:
                holder = Holder(uuid, public=True)
                try:
                    self._remember(holder, await archive.ask(endpoints.record(holder)))
                except (NotFound, Denied):
                    missing.append(uuid)
                except AttachfsError as error:
                    raise explained(self._settings.url, error) from error
        if missing:
            return warning(f"not public: {', '.join(missing)}", "check --public-asset")
        if not self._settings.public_assets:
            return skipped("none is named, and public ones cannot be listed")
        return ok("those that are named are public")

    async def _attachments(self) -> Finding:
        if not self._paths:
            return skipped("unknown: among what may be listed, there is none to try")
        denied = False
        with self._archive() as archive:
            for path in self._paths[:_TRIED]:
                try:
                    await archive.ask(endpoints.info(path))
                except NotFound:
                    continue
                except Denied:
                    denied = True
                except AttachfsError as error:
                    raise explained(self._settings.url, error) from error
                else:
                    return ok(f"/info can be read, of {path.path}")
        if denied:
            return failed(
                Denied("the token may not read attachments, as far as was tried"),
                f"{_GRANT} attachments",
            )
        return skipped("unknown: of those that were tried, none is there")
