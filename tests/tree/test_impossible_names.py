"""Names that cannot exist: answered without asking anybody."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from attachfs.archive.identities import is_uuid
from attachfs.errors import NotFound
from attachfs.tree.nodes import Directory
from tests.support.archives import ASSET, EVENT, Mounted, build, said, scripted
from tests.support.estates import Estate
from tests.support.trees import stat

_PROBED = [
    ".Trash", ".Trash-1000", ".git", ".hidden", "autorun.inf", "AUTORUN.INF", ".DS_Store",
    "desktop.ini", "Thumbs.db", ".directory", ".localized", "._asset.json", ".nomedia", "HEAD",
    "asset.json~", "asset.json.swp", "SHA256SUMS.asc", "sha256sums", "Asset.json", "events.json",
    "*", "-", "...", " ", "\\", "%2e%2e", "null", "undefined", "assets", "-rf",
]  # fmt: skip


def _names(count: int) -> list[str]:
    """Return names that are nearly UUIDs, and others, the same in every run."""
    chance = random.Random(7)  # noqa: S311 - no secret
    names = list(_PROBED)
    while len(names) < count:
        uuid = "".join(chance.choice("0123456789abcdef") for _ in range(32))
        parts = [uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]]
        whole = "-".join(parts)
        damaged = chance.choice(
            [whole.upper(), whole[:-1], whole + "0", "_".join(parts), uuid, f"{{{whole}}}",
             f"{whole}.info", f"{whole}.INFO.json", f"{whole.upper()}.info.json", f" {whole}",
             f"{whole}\n", f"{whole}.txt", f"é{whole}", f"{whole}.info.json.tmp", whole + "\0"]
        )  # fmt: skip
        if not is_uuid(damaged) and not is_uuid(damaged.removesuffix(".info.json")):
            names.append(damaged)
    return names


async def test_a_thousand_impossible_names_cost_no_request(estate: Estate) -> None:
    """In every kind of directory."""
    holder, _ = estate.asset(b"one")
    event, _ = estate.event(holder, b"two")
    async with estate.mounted() as mounted:
        directories = ["", "assets", holder.path, f"{holder.path}/events", event.path]
        inos = [(await stat(mounted.fs, path)).ino for path in directories]
        await estate.reset()
        for number, name in enumerate(_names(1000)):
            ino = inos[number % len(inos)]
            if (name, number % len(inos)) == ("assets", 0):
                continue
            with pytest.raises(NotFound):
                await mounted.fs.lookup(ino, name.encode())
        assert await estate.count() == 0


@asynccontextmanager
async def _known_directories(tmp_path: Path) -> AsyncIterator[tuple[Mounted, list[int], list[str]]]:
    """Offer a tree on a server that knows one asset with one event; and what it is asked."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.url.path.endswith(ASSET):
            return said(200, {"identity": f"assets/{ASSET}", "attributes": {}})
        if request.url.path.endswith(EVENT):
            return said(200, {"identity": f"assets/{ASSET}/events/{EVENT}"})
        return said(404)

    async with scripted(answer) as archive, trio.open_nursery() as nursery:
        mounted = build(archive, nursery, tmp_path)
        paths = ["assets", f"assets/{ASSET}", f"assets/{ASSET}/events",
                 f"assets/{ASSET}/events/{EVENT}"]  # fmt: skip
        inos = [(await stat(mounted.fs, path)).ino for path in paths]
        asked.clear()
        yield mounted, inos, asked
        nursery.cancel_scope.cancel()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.binary(max_size=60)
    | st.text(max_size=60).map(str.encode)
    | st.from_regex(rb"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(\.info\.json)?")
)
@example(name=b"\xff\xfe")
@example(name=ASSET.encode() + b"\n")
@example(name=b"")
async def test_only_canonical_names_are_asked_for(tmp_path: Path, name: bytes) -> None:
    """Any other name, of whatever bytes, is `NotFound` without a request."""
    async with _known_directories(tmp_path) as (mounted, inos, asked):
        text = name.decode("utf-8", "replace")
        possible = is_uuid(text) or is_uuid(text.removesuffix(".info.json"))
        fixed = {b"asset.json", b"event.json", b"SHA256SUMS", b"events"}
        for ino in inos:
            if name in fixed:
                continue
            with pytest.raises(NotFound):
                await mounted.fs.lookup(ino, name)
        if not possible:
            assert asked == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(max_size=60))
async def test_no_directory_has_a_child_without_a_canonical_name(tmp_path: Path, name: str) -> None:
    """The nodes themselves say so, for whatever stands in front of them."""
    async with _known_directories(tmp_path) as (mounted, inos, asked):
        for ino in inos:
            node = mounted.fs._node(ino)
            assert isinstance(node, Directory)
            try:
                child = await node.find(name)
            except NotFound:
                continue
            assert child.ino > 1
            assert name in ("asset.json", "event.json", "SHA256SUMS", "events") or is_uuid(
                name.removesuffix(".info.json")
            )
        assert asked == []
