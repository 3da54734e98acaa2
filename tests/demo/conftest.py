"""Fixtures of the embedded archive's tests: archives in the test's own loop, and clients."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest
import trio

from attachfs.demo import Archive, ArchiveConfig, RunningArchive, run_archive
from tests.support.plain import NO_AUTHORITIES

Attach = Callable[..., tuple[str, str]]


def authorization(running: RunningArchive) -> dict[str, str]:
    """Return the header that the token file holds."""
    name, _, value = running.token_file.read_text().strip().partition(": ")
    return {name: value}


@pytest.fixture
async def running(nursery: trio.Nursery) -> AsyncIterator[RunningArchive]:
    """An archive without a sample estate, which must not fail inside."""
    config = ArchiveConfig(empty=True)
    running: RunningArchive = await nursery.start(partial(run_archive, config))
    yield running
    assert running.archive.traffic.tracebacks == []


@pytest.fixture
async def estate(nursery: trio.Nursery) -> AsyncIterator[RunningArchive]:
    """An archive with the sample estate."""
    running: RunningArchive = await nursery.start(partial(run_archive, ArchiveConfig()))
    yield running
    assert running.archive.traffic.tracebacks == []


@pytest.fixture
async def client(running: RunningArchive) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the empty archive that sends its token."""
    async with httpx.AsyncClient(
        base_url=running.url, headers=authorization(running), timeout=20, verify=NO_AUTHORITIES
    ) as client:
        yield client


@pytest.fixture
async def estate_client(estate: RunningArchive) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the sample estate that sends its token."""
    async with httpx.AsyncClient(
        base_url=estate.url, headers=authorization(estate), timeout=20, verify=NO_AUTHORITIES
    ) as client:
        yield client


@pytest.fixture
def archive(running: RunningArchive) -> Archive:
    """The empty archive's inside."""
    return running.archive


@pytest.fixture
def attach(archive: Archive) -> Attach:
    """Make an asset with one attachment of given bytes; return the UUIDs of both."""

    def make(content: bytes = b"evidence", **body: Any) -> tuple[str, str]:
        blob = archive.create_blob(content)
        attachment = {
            "arc_attribute_type": "arc_attachment",
            "arc_blob_identity": blob["identity"],
            "arc_blob_hash_alg": "SHA256",
            "arc_blob_hash_value": blob["hash"]["value"],
        }
        asset = archive.create_asset({"attributes": {"proof": attachment}, **body})
        return asset["identity"].split("/")[1], blob["identity"].split("/")[1]

    return make
