"""What has gone, or came later, while a listing or a time says otherwise: it hides nothing else."""

from datetime import datetime

import pytest

from attachfs.archive.identities import Holder
from attachfs.errors import Denied, NotFound, Unauthenticated
from attachfs.tree.naming import directory_name, short_id
from tests.support.archives import declared, uuid_in
from tests.support.estates import Estate
from tests.support.trees import ls, read, stat

_CREATED = datetime.fromisoformat("2023-01-01T00:00:00Z")
_BEFORE, _AFTER = "2024-05-31", "2024-06-02"  # the day on which `Estate.event` records


def _asset(estate: Estate, **attributes: object) -> Holder:
    body = {"attributes": {"arc_display_name": "door", **attributes}}
    return Holder(uuid_in(estate.demo.create_asset(body, at=_CREATED)))


def _events_of(asset: Holder, view: str) -> str:
    name = directory_name("door", asset.asset) if view == "by-name" else asset.asset
    return f"{view}/{name}/events"


@pytest.mark.parametrize("view", ["assets", "by-name", f"as-of/{_AFTER}/assets"])
@pytest.mark.parametrize(
    ("change", "error"), [({"delete": True}, NotFound), ({"deny": True}, Denied)]
)
async def test_an_event_that_has_gone_does_not_hide_the_others(
    estate: Estate, view: str, change: dict[str, bool], error: type[Exception]
) -> None:
    """It is found to be gone, or withheld, while the listing is believed to name it."""
    asset = _asset(estate)
    gone, kept = (estate.event(asset)[0] for _ in range(2))
    async with estate.mounted(negative_ttl_s=60) as mounted:
        assert len(await ls(mounted.fs, f"{asset.path}/events")) == 3
        estate.demo.edit_event(str(gone.event), **change)
        mounted.catalog._records.expire(gone)
        with pytest.raises(error):
            await mounted.catalog.confirmed_record(gone)
        directory = _events_of(asset, view)
        names = await ls(mounted.fs, directory)
        digits = short_id(str(kept.event)) if view == "by-name" else str(kept.event)
        (name,) = [name for name in names if name.endswith(digits)]
        assert (await stat(mounted.fs, f"{directory}/{name}/event.json")).size_bytes
        assert len(names) == (2 if view.startswith("as-of") else 3)


@pytest.mark.parametrize("view", ["by-name", f"as-of/{_AFTER}/assets"])
async def test_a_token_that_is_refused_makes_no_short_listing(estate: Estate, view: str) -> None:
    """Nothing is known then of what has gone."""
    asset = _asset(estate)
    event, _ = estate.event(asset)
    async with estate.mounted(negative_ttl_s=0) as mounted:
        directory = _events_of(asset, view)
        assert len(await ls(mounted.fs, directory)) == 2
        mounted.catalog._records.forget(event)
        estate.demo.fail_next(path_regex=f"/{event.event}$", status=401)
        with pytest.raises(Unauthenticated):
            await ls(mounted.fs, directory)
        assert len(await ls(mounted.fs, directory)) == 2


async def test_what_was_attached_later_was_not_there(estate: Estate) -> None:
    """Neither listed nor found as-of a time before it, though it is one inode with today's."""
    early, late = estate.blob(b"early"), estate.blob(b"late")
    asset = _asset(estate, early=declared(early))
    estate.event(asset, on_asset={"late": declared(late)})
    async with estate.mounted() as mounted:
        for date, attached in ((_BEFORE, {early["identity"]}), (_AFTER, None)):
            there = f"as-of/{date}/assets/{asset.asset}"
            names = await ls(mounted.fs, there)
            for blob, content in ((early, b"early"), (late, b"late")):
                name = uuid_in(blob)
                if attached is None or blob["identity"] in attached:
                    assert name in names
                    assert await read(mounted.fs, f"{there}/{name}") == content
                    assert (await stat(mounted.fs, f"{there}/{name}.info.json")).size_bytes
                    continue
                assert name not in names
                for absent in (name, f"{name}.info.json"):
                    with pytest.raises(NotFound):
                        await stat(mounted.fs, f"{there}/{absent}")
        assert await read(mounted.fs, f"{asset.path}/{uuid_in(late)}") == b"late"


async def test_what_was_there_is_not_told_to_whom_the_record_is_denied(estate: Estate) -> None:
    """As-of a time nothing but the record says what an asset had; its events say it themselves."""
    blob = estate.blob(b"early")
    asset = _asset(estate, early=declared(blob))
    async with estate.mounted() as mounted:
        estate.demo.set_switches(deny_records=True)
        there = f"as-of/{_BEFORE}/assets/{asset.asset}"
        assert (await stat(mounted.fs, there)).is_directory
        with pytest.raises(Denied):
            await stat(mounted.fs, f"{there}/{uuid_in(blob)}")
        assert await read(mounted.fs, f"{asset.path}/{uuid_in(blob)}") == b"early"
