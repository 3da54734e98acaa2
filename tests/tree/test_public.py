"""The view publicassets/, asked without a token (beside test_views)."""

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import NotFound
from tests.support.archives import ASSET, OTHER, declared, sha256, uuid_in
from tests.support.estates import Estate
from tests.support.trees import ls, read, stat, xattr


def _public(estate: Estate, content: bytes) -> tuple[Holder, str]:
    blob = estate.blob(content)
    body = {"public": True, "attributes": {"proof": declared(blob)}}
    return Holder(uuid_in(estate.demo.create_asset(body)), public=True), uuid_in(blob)


async def test_everything_public_is_asked_for_without_a_token(estate: Estate) -> None:
    """Also in a mount that has one, and sends it for assets/."""
    holder, attachment = _public(estate, b"open to all")
    event, (own,) = estate.event(Holder(holder.asset), b"seen by all")
    async with estate.mounted() as mounted:
        assert await read(mounted.fs, f"{holder.path}/{attachment}") == b"open to all"
        for path in ("asset.json", "SHA256SUMS", f"{attachment}.info.json"):
            await read(mounted.fs, f"{holder.path}/{path}")
        events = f"{holder.path}/events"
        assert event.event in await ls(mounted.fs, events)
        assert await read(mounted.fs, f"{events}/{event.event}/{own}") == b"seen by all"
        assert sha256(b"seen by all").encode() in await read(
            mounted.fs, f"{events}/{event.event}/SHA256SUMS"
        )
        origin = await xattr(mounted.fs, f"{holder.path}/{attachment}", "user.xdg.origin.url")
        assert f"/attachments/publicassets/{holder.asset}/" in origin
        requests = await estate.requests()
        assert {"/publicassets/" in request.path for request in requests} == {True}
        assert {request.has_authorization for request in requests} == {False}
        await estate.reset()
        await stat(mounted.fs, f"assets/{holder.asset}")
        assert {request.has_authorization for request in await estate.requests()} == {True}


async def test_public_and_private_paths_have_inodes_of_their_own(estate: Estate) -> None:
    """Rights are per path: one may be readable and the other not."""
    holder, attachment = _public(estate, b"open to all")
    async with estate.mounted() as mounted:
        for name in ("", "/asset.json", "/events", "/SHA256SUMS", f"/{attachment}",
                     f"/{attachment}.info.json"):  # fmt: skip
            public = await stat(mounted.fs, holder.path + name)
            private = await stat(mounted.fs, f"assets/{holder.asset}{name}")
            assert public.ino != private.ino


async def test_a_private_asset_is_not_found_and_not_listed(estate: Estate) -> None:
    """Neither it, nor anything below it; what was given at the start is listed all the same."""
    private, (attachment,) = estate.asset(b"secret")
    async with estate.mounted(public_assets=[OTHER]) as mounted:
        for path in (private.asset, f"{private.asset}/{attachment}", ASSET):
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"publicassets/{path}")
        assert await ls(mounted.fs, "publicassets") == [OTHER]
        with pytest.raises(NotFound):
            await stat(mounted.fs, f"publicassets/{OTHER}")
        assert not any(request.has_authorization for request in await estate.requests())


async def test_those_given_come_first_and_each_is_listed_once(estate: Estate) -> None:
    """In the order in which they were met."""
    made = [_public(estate, bytes([n]))[0] for n in range(4)]
    given = [made[2].asset, made[0].asset]
    async with estate.mounted(public_assets=given) as mounted:
        for holder in (made[3], made[0], made[1], made[3]):
            await stat(mounted.fs, holder.path)
        expected = [*given, made[3].asset, made[1].asset]
        assert await ls(mounted.fs, "publicassets") == expected


async def test_a_public_root_has_no_other_view(estate: Estate) -> None:
    """What needs a token is not there at all, and costs no request."""
    async with estate.mounted(public_only=True) as mounted:
        for view in ("assets", "by-name", "as-of", "as-of/2024-01-01", ".Trash"):
            with pytest.raises(NotFound):
                await stat(mounted.fs, view)
        for name in (".git", "x", ASSET.upper(), f"{ASSET}.info.json"):
            with pytest.raises(NotFound):
                await stat(mounted.fs, f"publicassets/{name}")
        assert await estate.count() == 0
