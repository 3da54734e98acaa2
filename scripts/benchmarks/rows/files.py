"""Files: a large one cold, warm and after a restart; many small ones copied and stored."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final

from attachfs.content.store import Store
from benchmarks.bench import TOKEN, Bench, Mounting, forget_pages, row, warm_memory
from harness.mounts import Mount
from harness.processes import MeasurementError, elapsed_s, printed_s
from harness.rows import Limit, Row, Run, alternate

_VERIFIED: Final = "curl; openssl"
_HASH: Final = "openssl alone"
_LOCAL: Final = "local ext4"
_CURL: Final = "curl --parallel 32"
_RCLONE: Final = "rclone off"
_STATS: Final = 50_000
_SDK: Final = """\
import sys, time
from archivist.archivist import Archivist
url, token, asset, attachment, target = sys.argv[1:]
archive = Archivist(url, token)
begin = time.perf_counter()
with open(target, "wb") as file:
    archive.assetattachments.download("assets/" + asset, "blobs/" + attachment, file)
print(time.perf_counter() - begin)
"""


@row
def cold(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB that no program has read before."""
    url = bench.servers.files.plain
    limits = (
        (Limit(0.75, _VERIFIED), Limit(1.0, _RCLONE)) if _hashes_fast() else (Limit(1.2, _HASH),)
    )
    yield _cold(bench, "cold", url, "plain", *limits)


@row
def cold_tls(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB over TLS that no program has read before."""
    limit = Limit(0.85, _VERIFIED) if _hashes_fast() else Limit(1.4, _HASH)
    yield _cold(bench, "cold-tls", bench.servers.tls, "over TLS", limit)


@row
def warm(bench: Bench) -> Iterator[Row]:
    """Read and stat a second time: what the kernel answers by itself."""
    local, limit = bench.data.local(bench.data.big), Limit(1.1, _LOCAL)
    with bench.attachfs(bench.servers.files.plain) as mount:
        path = mount.path / bench.data.big.path
        elapsed_s("cat", path)
        cats = {"attachfs": lambda: elapsed_s("cat", path), _LOCAL: lambda: elapsed_s("cat", local)}
        yield bench.compare("warm-cat", "second cat of 256 MiB", "s", cats, limit, runs=9)
        stats = {"attachfs": partial(_stat_us, path), _LOCAL: partial(_stat_us, local)}
        yield bench.compare("warm-stat", "second stat", "us", stats, limit, runs=9)


@row
def restart(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB from the store after a restart, nothing of it in memory."""
    local = bench.data.local(bench.data.big)

    def cat_s(path: Path, dropped: Path) -> float:
        path.stat()
        forget_pages(dropped)
        warm_memory()
        return elapsed_s("cat", path)

    with bench.scratch() as cache:

        def ours() -> float:
            with bench.attachfs(bench.servers.files.plain, cache=cache) as mount:
                return cat_s(mount.path / bench.data.big.path, cache)

        workload = "cat of 256 MiB in the store, page cache dropped"
        contenders = {"attachfs": ours, _LOCAL: lambda: cat_s(local, local)}
        yield bench.compare("restart", workload, "s", contenders, Limit(1.6, _LOCAL), warmups=2)
    bench.data.warm([bench.data.big])


@row
def seek_restart(bench: Bench) -> Iterator[Row]:
    """Read in the middle of a stored file of 1 GiB for the first time after a restart."""
    blob = bench.large
    local = bench.data.local(blob)

    def first_ms(path: Path, dropped: Path) -> float:
        path.stat()
        forget_pages(dropped)
        with path.open("rb", buffering=0) as file:
            file.seek(blob.size_bytes // 2)
            begin_s = time.perf_counter()
            if len(file.read(4096)) != 4096:  # noqa: PLR2004
                raise MeasurementError(f"{path} is too short")
            return (time.perf_counter() - begin_s) * 1e3

    with bench.scratch() as cache:
        with bench.attachfs(bench.servers.files.plain, cache=cache) as mount:
            elapsed_s("cat", mount.path / blob.path)

        def ours() -> float:
            with bench.attachfs(bench.servers.files.plain, cache=cache) as mount:
                return first_ms(mount.path / blob.path, cache)

        workload = f"first read in the middle of {blob.size_bytes >> 20} MiB in the store"
        contenders = {"attachfs": ours, _LOCAL: lambda: first_ms(local, local)}
        yield bench.compare("seek-restart", workload, "ms", contenders, Limit(20, _LOCAL))
    bench.data.warm([blob])


@row
def cp_50ms(bench: Bench) -> Iterator[Row]:
    """Copy 1,000 files of 64 KiB over a network of 50 ms."""
    # rclone takes two round trips a file, one after the other: 104 s for 1,000 files.
    limits = (Limit(1.0, _CURL), Limit(0.04, _RCLONE))
    url = bench.servers.files.delayed
    yield _copy(bench, "cp-50ms", url, "50 ms", *limits, once=(_RCLONE,))


@row
def cp_0(bench: Bench) -> Iterator[Row]:
    """Copy 1,000 files of 64 KiB over the loopback device."""
    yield _copy(bench, "cp-0", bench.servers.files.plain, "no delay", Limit(1.5, _RCLONE))


@row
def store(bench: Bench) -> Iterator[Row]:
    """Put 1,000 small bodies into the store; beside them, into plain files."""
    bodies = [os.urandom(64 * 1024) for _ in range(1000)]
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]

    def put_ms(open_in: Callable[[Path], Callable[[bytes, str], object]]) -> float:
        warm_memory()
        put = open_in(bench.fresh("store"))
        begin_s = time.perf_counter()
        for body, digest in zip(bodies, digests, strict=True):
            put(body, digest)
        return (time.perf_counter() - begin_s) * 1e3

    def ours(root: Path) -> Callable[[bytes, str], object]:
        objects = Store(root / "objects", max_bytes=1 << 33, min_free_fraction=0.0)
        objects.prepare()
        return objects.put

    def plain(root: Path) -> Callable[[bytes, str], object]:
        return lambda body, digest: (root / digest).write_bytes(body)

    contenders = {"attachfs": partial(put_ms, ours), "plain files": partial(put_ms, plain)}
    workload = "put 1,000 bodies of 64 KiB"
    yield bench.compare("store", workload, "ms", contenders, Limit(50), runs=5, warmups=2)


def _hashes_fast() -> bool:
    """Return whether the processor hashes by itself; else the hash alone is the bound."""
    return "sha_ni" in Path("/proc/cpuinfo").read_text().split()


def _cold(bench: Bench, name: str, url: str, kind: str, *limits: Limit) -> Row:
    blob = bench.data.big
    bench.data.warm([blob])

    def cat_s(mounting: Mounting) -> float:
        with mounting() as mount:
            (mount.path / blob.path).stat()
            warm_memory()
            return elapsed_s("cat", mount.path / blob.path)

    def curl_s(*then: str) -> float:
        with bench.scratch() as directory:
            target = directory / "downloaded"
            warm_memory()
            took_s = elapsed_s(*bench.curl(), "-o", target, bench.bytes_url(url, blob))
            return took_s + (elapsed_s(*then, target) if then else 0)

    def sdk_s() -> float:
        """Return how long the official SDK takes, without its imports."""
        env = {**os.environ, "REQUESTS_CA_BUNDLE": str(bench.servers.certificate)}
        command = (sys.executable, "-c", _SDK, url, TOKEN, blob.asset, blob.attachment)
        with bench.scratch() as directory:
            warm_memory()
            return float(printed_s(*command, directory / "downloaded", env=env)[1][0])

    contenders: dict[str, Run] = {
        "attachfs": partial(cat_s, partial(bench.attachfs, url)),
        "curl": curl_s,
        _VERIFIED: partial(curl_s, "openssl", "dgst", "-sha256"),
        _HASH: lambda: elapsed_s("openssl", "dgst", "-sha256", bench.data.local(blob)),
        _RCLONE: partial(cat_s, partial(bench.rclone, url)),
    }
    if not bench.quick:
        full = partial(bench.rclone, url, cache_mode="full")
        contenders |= {"rclone full": partial(cat_s, full), "SDK": sdk_s}
    workload = f"cat of 256 MiB, cold, verified, {kind}"
    return bench.compare(name, workload, "s", contenders, *limits)


def _copy(
    bench: Bench, name: str, url: str, network: str, *limits: Limit, once: Sequence[str] = ()
) -> Row:
    """Copy an asset's files to memory, and compare the copies; peers in `once` do it once."""
    blobs = bench.small
    bench.data.warm(blobs)

    def cp_s(mounting: Mounting) -> float:
        with mounting() as mount:
            return bench.copied_s(blobs, "cp", "-r", mount.path / "assets" / blobs[0].asset)

    def ours() -> AbstractContextManager[Mount]:
        # Kept to the end: ext4 is slow to make files where as many have just been removed.
        return bench.attachfs(url, cache=bench.fresh("cache"))

    def curl_s() -> float:
        options = ("--parallel", "--parallel-max", "32", "--remote-name-all", "--create-dirs")
        urls = (bench.bytes_url(url, blob) for blob in blobs)
        return bench.copied_s(blobs, *bench.curl(), *options, *urls, "--output-dir")

    contenders: dict[str, Run] = {
        "attachfs": partial(cp_s, ours),
        _CURL: curl_s,
        _RCLONE: partial(cp_s, partial(bench.rclone, url)),
    }
    rest = {peer: contenders.pop(peer) for peer in once}
    workload = f"cp -r of {len(blobs)} x 64 KiB to tmpfs, {network}"
    measured = bench.compare(name, workload, "s", contenders, *limits)
    measured.figures.update(alternate(rest, runs=1, warmups=0))
    return measured


def _stat_us(path: Path) -> float:
    begin_s = time.perf_counter()
    for _ in range(_STATS):
        os.stat(path)  # noqa: PTH116 - the call itself is what is timed
    return (time.perf_counter() - begin_s) / _STATS * 1e6
