"""Clients of an archive, and attributes that declare attachments."""

import hashlib
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from inspect import isawaitable
from math import inf
from pathlib import Path
from typing import Any, cast

import httpx
import trio
import trio.testing

from attachfs.archive.client import Archive, open_archive
from attachfs.archive.credentials import Credentials, GivenToken
from attachfs.archive.endpoints import Download, ScanPolicy
from attachfs.archive.http.deadline import Deadline
from attachfs.archive.http.pool import OpenAnswer, Pool
from attachfs.archive.http.proxies import Origin, Proxy
from attachfs.archive.http.server import Server
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.policy import RequestPolicy
from attachfs.archive.secrets import Secret
from attachfs.catalog.catalog import Catalog
from attachfs.catalog.index import Index
from attachfs.content.content import Content
from attachfs.content.settings import ContentSettings
from attachfs.content.store import Store
from attachfs.demo.launch import RunningArchive
from attachfs.errors import BadReply
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
    token = credentials or GivenToken(Secret(TOKEN))
    with open_archive(url, token, ca_bundle=ca_bundle, timeout_s=timeout_s) as archive:
        yield archive


def said(status: int = 200, value: Any = None, **headers: str) -> httpx.Response:
    """Return a response for `scripted`, to be streamed as a real one."""
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return httpx.Response(status, stream=httpx.ByteStream(body), headers=headers)


async def settled() -> None:
    """Wait until an embedded archive in this loop has noted all that it answered."""
    await trio.testing.wait_all_tasks_blocked(0.005)


class _ScriptedPool(Pool):
    """Answer without a connection."""

    def __init__(self, answer: Callable[[httpx.Request], Any]) -> None:
        super().__init__(NO_AUTHORITIES)
        self._answer = answer

    async def send(
        self,
        origin: Origin,
        proxy: Proxy | None,
        request: bytes,
        *,
        deadline: Deadline,
        connect_s: float = inf,
    ) -> OpenAnswer:
        """Return what the script answers; its errors are raised."""
        del proxy
        head, _, body = request.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (x.partition(":") for x in lines)]
        asked = httpx.Request(
            method,
            f"{origin}{target}",
            headers=headers,
            content=body,
            extensions={"timeout": {"read": deadline.patience_s, "connect": connect_s}},
        )
        answer = self._answer(asked)
        with deadline.elsewhere(deadline.patience_s):
            response: httpx.Response = await answer if isawaitable(answer) else answer
        return cast("OpenAnswer", _ScriptedAnswer(response, deadline))


class _ScriptedAnswer(OpenAnswer):
    def __init__(self, response: httpx.Response, deadline: Deadline) -> None:
        self._deadline = deadline
        self._chunks = response.aiter_raw()
        self._left = b""
        self.status = response.status_code
        self.headers = dict(response.headers)

    async def receive(self) -> bytes:
        left, self._left = self._left, b""
        with self._deadline.elsewhere(self._deadline.patience_s):
            while not left:
                try:
                    left = await anext(self._chunks)
                except StopAsyncIteration:
                    return b""
        return left

    async def fill(self, buffer: memoryview) -> int:
        return await self.receive_into(buffer)

    async def receive_into(self, buffer: memoryview) -> int:
        some = await self.receive()
        fits = min(len(some), len(buffer))
        buffer[:fits], self._left = some[:fits], some[fits:]
        return fits

    async def read(self, max_bytes: int, *, subject: str, cut: bool = False) -> bytes:
        body = b""
        while some := await self.receive():
            body += some
            if len(body) > max_bytes:
                if cut:
                    break
                raise BadReply(f"{subject}: the answer is larger than {max_bytes} bytes")
        return body

    def close(self) -> None:
        self._deadline.ended_s = trio.current_time()


@asynccontextmanager
async def scripted(
    answer: Callable[[httpx.Request], Any],
    *,
    credentials: Credentials | None = None,
    timeout_s: float = 30,
) -> AsyncIterator[Archive]:
    """Offer a client without a socket below it, for tests whose clock is not the wall's."""
    server = Server(
        "https://archive.example",
        credentials=credentials,
        pool=_ScriptedPool(answer),
        timeout_s=timeout_s,
    )
    with Archive(server, RequestPolicy(timeout_s=timeout_s)) as archive:
        yield archive


async def received(archive: Archive, download: Download, offset: int = 0) -> tuple[int, bytes]:
    """Receive a large body; return where it began and its bytes."""
    begun, _, body = await received_with_length(archive, download, offset)
    return begun, body


async def received_with_length(
    archive: Archive, download: Download, offset: int = 0
) -> tuple[int, int | None, bytes]:
    """Receive a large body; return where it began, the length that was told, and its bytes."""
    with (
        Deadline(archive.policy.timeout_s) as deadline,
        await archive.stream(download, offset=offset, deadline=deadline) as stream,
    ):
        body, buffer = b"", memoryview(bytearray(70_000))
        while got := await stream.receive_into(buffer):
            body += buffer[:got]
    return stream.offset, stream.length_bytes, body


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
    content = Content(archive, store, nursery, settings)
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
