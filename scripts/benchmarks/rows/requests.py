"""Requests without a mount: `/info` and small bodies through the archive's client alone."""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from itertools import chain
from typing import Final

import httptools
import structlog
import trio

from attachfs.archive import endpoints
from attachfs.archive.client import open_archive
from attachfs.archive.credentials import GivenToken
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import AttachmentPath, Holder
from attachfs.archive.secrets import Secret
from benchmarks.bench import TOKEN, Bench, row
from benchmarks.data import Blob
from harness.processes import MeasurementError, elapsed_s
from harness.rows import Limit, Row

_LOOP: Final = "trio, llhttp"
_CURL: Final = "curl --parallel 64"
_AT_ONCE: Final = 64
_RECEIVE_BYTES: Final = 64 * 1024


@row
def requests(bench: Bench) -> Iterator[Row]:
    """Ask for `/info` and bytes of attachments, without a mount and without a delay."""
    url = bench.servers.files.plain
    contenders = {
        "attachfs": partial(_archive_s, url, bench.small),
        _LOOP: partial(_loop_s, url, bench.small),
    }
    yield bench.compare("requests", _workload(bench, "no delay"), "s", contenders, Limit(2, _LOOP))


@row
def requests_50ms(bench: Bench) -> Iterator[Row]:
    """Ask for the same over a network of 50 ms."""
    url = bench.servers.files.delayed
    contenders = {
        "attachfs": partial(_archive_s, url, bench.small),
        _CURL: partial(_curl_s, bench, url, bench.small),
    }
    workload = _workload(bench, "50 ms")
    yield bench.compare("requests-50ms", workload, "s", contenders, Limit(1, _CURL), few=True)


def _workload(bench: Bench, delay: str) -> str:
    return f"{len(bench.small)} /info and as many bodies of 64 KiB, no mount, {delay}"


def _targets(blobs: list[Blob]) -> list[tuple[str, int | None]]:
    """Return what is asked for, and of bodies how many bytes there are."""
    paths = [f"/archivist/v2/attachments/{blob.path}" for blob in blobs]
    bodies = [(path, blob.size_bytes) for path, blob in zip(paths, blobs, strict=True)]
    return [*((f"{path}/info", None) for path in paths), *bodies]


def _archive_s(url: str, blobs: list[Blob]) -> float:
    """Ask by the client of an archive, which logs nothing below level info, as in a mount."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    paths = [AttachmentPath(Holder(blob.asset), blob.attachment) for blob in blobs]

    async def ask_each(works: Iterator[Callable[[], Awaitable[object]]]) -> None:
        for work in works:
            await work()

    async def main() -> float:
        begin_s = time.perf_counter()
        with open_archive(url, GivenToken(Secret(TOKEN))) as archive:
            infos = (partial(archive.ask, endpoints.info(path)) for path in paths)
            bodies = (
                partial(
                    archive.take,
                    endpoints.download(path, ScanPolicy.BLOCK_BAD),
                    max_bytes=blob.size_bytes,
                    check_announced=lambda _: None,
                )
                for path, blob in zip(paths, blobs, strict=True)
            )
            works: Iterator[Callable[[], Awaitable[object]]] = chain(infos, bodies)
            async with trio.open_nursery() as nursery:
                for _ in range(_AT_ONCE):
                    nursery.start_soon(ask_each, works)
        return time.perf_counter() - begin_s

    return trio.run(main)


class _Counted:
    """Count the bytes of an answer's body."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.over = False

    def on_body(self, body: bytes) -> None:
        self.size_bytes += len(body)

    def on_message_complete(self) -> None:
        self.over = True


def _loop_s(url: str, blobs: list[Blob]) -> float:
    """Ask by nothing but sockets of trio and a parser, 64 connections at a time."""
    host, port = url.removeprefix("http://").split(":")

    async def ask_each(left: Iterator[tuple[str, int | None]]) -> None:
        stream = await trio.open_tcp_stream(host, int(port))
        async with stream:
            for target, size_bytes in left:
                head = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n"
                await stream.send_all(f"{head}\r\n".encode())
                counted = _Counted()
                parser = httptools.HttpResponseParser(counted)
                while not counted.over:
                    parser.feed_data(await stream.receive_some(_RECEIVE_BYTES))
                if parser.get_status_code() != 200 or size_bytes not in (None, counted.size_bytes):  # noqa: PLR2004
                    raise MeasurementError(f"{target}: not what was asked for")

    async def main() -> float:
        begin_s = time.perf_counter()
        left = iter(_targets(blobs))
        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(ask_each, left)
        return time.perf_counter() - begin_s

    return trio.run(main)


def _curl_s(bench: Bench, url: str, blobs: list[Blob]) -> float:
    with bench.scratch("urls") as directory:
        config = directory / "urls"
        lines = (
            [f'url = "{url}{target}"', 'output = "/dev/null"'] for target, _ in _targets(blobs)
        )
        config.write_text("\n".join(chain.from_iterable(lines)))
        options = ("--parallel", "--parallel-max", _AT_ONCE, "--config", config)
        return elapsed_s(*bench.curl(), *options)
