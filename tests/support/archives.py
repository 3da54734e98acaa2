"""Clients of an archive, and attributes that declare attachments."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import httpx
import trio
import trio.testing

from attachfs.archive.auth import BearerAuth
from attachfs.archive.bulk import BulkClient
from attachfs.archive.client import Archive
from attachfs.archive.credentials import Credentials, GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from attachfs.archive.streams import Streams
from attachfs.archive.transport import async_client, blocking_client
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.index import Index
from attachfs.content.content import Content
from attachfs.content.settings import ContentSettings
from attachfs.content.store import Store
from attachfs.demo.launch import RunningArchive
from attachfs.tree.changes import Kernel
from attachfs.tree.filesystem import FileSystem
from tests.support.plain import NO_AUTHORITIES

ASSET = "a1111111-1111-4111-8111-111111111111"
EVENT = "e2222222-2222-4222-8222-222222222222"
ATTACHMENT = "b3333333-3333-4333-8333-333333333333"
OTHER = "c4444444-4444-4444-8444-444444444444"
HOLDER = Holder(ASSET)
PATH = AttachmentPath(HOLDER, ATTACHMENT)
TOKEN = "a-token.that-is.secret"

OPEN_INDEXES: list[Index] = []
_STREAMS: WeakKeyDictionary[Archive, Streams] = WeakKeyDictionary()


def sha256(content: bytes) -> str:
    """Return the digest in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def uuid_in(record: Mapping[str, Any]) -> str:
    """Return the UUID of a record's identity."""
    return str(record["identity"]).rpartition("/")[2]


def declared(blob: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the attribute that attaches a blob in the current form, changed as asked for."""
    attribute = {
        "arc_attribute_type": "arc_attachment",
        "arc_blob_identity": blob["identity"],
        "arc_blob_hash_alg": blob["hash"]["alg"],
        "arc_blob_hash_value": blob["hash"]["value"],
        **changes,
    }
    return {key: value for key, value in attribute.items() if value is not None}


@asynccontextmanager
async def client(
    url: str,
    *,
    credentials: Credentials | None = None,
    ca_bundle: Path | None = None,
    timeout_s: float = 10.0,
) -> AsyncIterator[Archive]:
    """Offer a client as a mount has it."""
    auth = BearerAuth(credentials or GivenToken(Secret(TOKEN)))
    http = async_client(url, auth=auth, ca_bundle=ca_bundle, timeout_s=timeout_s)
    blocking = blocking_client(url, auth=auth, ca_bundle=ca_bundle, timeout_s=timeout_s)
    async with Archive(http, timeout_s=timeout_s) as archive:
        _STREAMS[archive] = Streams(blocking)
        yield archive
    blocking.close()


def said(status: int = 200, value: Any = None, **headers: str) -> httpx.Response:
    """Return a response for `scripted`, to be streamed as a real one."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return httpx.Response(status, stream=httpx.ByteStream(body), headers=headers)


async def settled() -> None:
    """Wait until an embedded archive in this loop has noted all that it answered."""
    await trio.testing.wait_all_tasks_blocked(0.005)


class _ScriptedClient(BulkClient):
    """Answer without a connection."""

    def __init__(self, **options: Any) -> None:
        httpx.Client.__init__(self, **options)

    def connect(self) -> None:
        """Do nothing."""


@asynccontextmanager
async def scripted(
    answer: Callable[[httpx.Request], Any], *, auth: httpx.Auth | None = None, timeout_s: float = 30
) -> AsyncIterator[Archive]:
    """Offer a client without a socket below it, for tests whose clock is not the wall's."""
    http = httpx.AsyncClient(
        base_url="https://archive.example",
        transport=httpx.MockTransport(answer),
        auth=auth,
        timeout=timeout_s,
        verify=NO_AUTHORITIES,
    )
    blocking = _ScriptedClient(
        base_url="https://archive.example", transport=httpx.MockTransport(answer), auth=auth
    )
    async with Archive(http, timeout_s=timeout_s) as archive:
        _STREAMS[archive] = Streams(blocking)
        yield archive


def streams_of(archive: Archive) -> Streams:
    """Return the blocking side of a client."""
    return _STREAMS[archive]


@dataclass
class Mounted:
    """A file system without a mount, and what is below it."""

    fs: FileSystem
    catalog: Catalog
    content: Content
    client: Archive


def index_in_memory(nursery: trio.Nursery) -> Index:
    """Return an index that is closed when the test has ended."""
    index = Index.open(None)
    index.start(nursery)
    OPEN_INDEXES.append(index)
    return index


def build(
    archive: Archive,
    nursery: trio.Nursery,
    cache_dir: Path,
    *,
    policy: ScanPolicy = ScanPolicy.BLOCK_BAD,
    metadata_ttl_s: float = 60.0,
    negative_ttl_s: float = 5.0,
    memory_bytes: int = 64 * 1024 * 1024,
    untracked: bool = False,
    stored: bool = False,
    verify_first_bytes: int = 4 * 1024 * 1024,
    timeout_s: float = 10.0,
    read_ahead_files: int = 0,
    stale_ok_s: float = 3600.0,
    index: Index | None = None,
    public_assets: Sequence[str] = (),
    public_only: bool = False,
    kernel: Kernel | None = None,
) -> Mounted:
    """Assemble a file system as a mount does."""
    catalog = Catalog(
        archive,
        nursery,
        index or index_in_memory(nursery),
        metadata_ttl_s=metadata_ttl_s,
        negative_ttl_s=negative_ttl_s,
        stale_ok_s=stale_ok_s,
        untracked=untracked,
    )
    store = None
    if stored:
        store = Store(cache_dir, max_bytes=1024**3, min_free_fraction=0)
        store.prepare()
    settings = ContentSettings(
        policy=policy,
        memory_bytes=memory_bytes,
        verify_first_bytes=verify_first_bytes,
        verdict_ttl_s=negative_ttl_s,
        timeout_s=timeout_s,
    )
    content = Content(archive, streams_of(archive), store, nursery, settings)
    fs = FileSystem(
        catalog,
        content,
        nursery,
        policy=policy,
        read_ahead_files=read_ahead_files,
        public_assets=public_assets,
        public_only=public_only,
        kernel=kernel,
    )
    return Mounted(fs, catalog, content, archive)


def token_of(running: RunningArchive) -> str:
    """Return the token in an embedded archive's file."""
    return running.token_file.read_text().split()[-1]
