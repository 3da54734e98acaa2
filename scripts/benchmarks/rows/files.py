"""Files: a large one cold, warm and after a restart; many small ones copied and stored."""

import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from attachfs.content.store import Store
from benchmarks.bench import (
    TOKEN,
    Bench,
    Limit,
    Row,
    alternate,
    forget_pages,
    remove,
    row,
    same_tree,
    warm_memory,
)
from harness.mounts import Mount
from harness.processes import TMPFS, elapsed_s, printed_s

_VERIFIED: Final = "curl; openssl"
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


@row("cold")
def cold(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB that no program has read before."""
    url = bench.servers.files.plain
    yield _cold(bench, "cold", url, "plain", Limit(0.75, _VERIFIED), Limit(1.0, _RCLONE))


@row("cold-tls")
def cold_tls(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB over TLS that no program has read before."""
    yield _cold(bench, "cold-tls", bench.servers.tls, "over TLS", Limit(0.85, _VERIFIED))


@row("warm")
def warm(bench: Bench) -> Iterator[Row]:
    """Read and stat a second time: what the kernel answers by itself."""
    local, limit, runs = bench.data.local(bench.data.big), Limit(1.1, _LOCAL), max(bench.runs, 9)
    with bench.attachfs(bench.servers.files.plain) as mount:
        path = mount.path / bench.data.big.path
        elapsed_s("cat", path)
        cats = {"attachfs": lambda: elapsed_s("cat", path), _LOCAL: lambda: elapsed_s("cat", local)}
        yield bench.compare("warm-cat", "second cat of 256 MiB", "s", cats, limit, runs=runs)
        stats = {"attachfs": lambda: _stat_us(path), _LOCAL: lambda: _stat_us(local)}
        yield bench.compare("warm-stat", "second stat", "us", stats, limit, runs=runs)


@row("restart")
def restart(bench: Bench) -> Iterator[Row]:
    """Read 256 MiB from the store after a restart, nothing of it in memory."""
    local = bench.data.local(bench.data.big)
    cache = bench.fresh("cache")

    def cat_s(path: Path, *dropped: Path) -> float:
        path.stat()
        for each in dropped:
            forget_pages(each)
        warm_memory()
        return elapsed_s("cat", path)

    def ours() -> float:
        with bench.attachfs(bench.servers.files.plain, cache=cache) as mount:
            return cat_s(mount.path / bench.data.big.path, cache)

    workload = "cat of 256 MiB in the store, page cache dropped"
    contenders = {"attachfs": ours, _LOCAL: lambda: cat_s(local, local)}
    yield bench.compare("restart", workload, "s", contenders, Limit(1.6, _LOCAL), warmups=2)
    bench.data.warm([bench.data.big])
    remove(cache)


@row("cp-50ms")
def cp_50ms(bench: Bench) -> Iterator[Row]:
    """Copy 1,000 files of 64 KiB over a network of 50 ms."""
    # rclone takes two round trips a file, one after the other: 104 s for 1,000 files.
    limits = (Limit(1.0, _CURL), Limit(0.04, _RCLONE))
    url = bench.servers.files.delayed
    yield _copy(bench, "cp-50ms", url, "50 ms", *limits, once=frozenset({_RCLONE}))


@row("cp-0")
def cp_0(bench: Bench) -> Iterator[Row]:
    """Copy 1,000 files of 64 KiB over the loopback device."""
    yield _copy(bench, "cp-0", bench.servers.files.plain, "no delay", Limit(1.5, _RCLONE))


@row("store")
def store(bench: Bench) -> Iterator[Row]:
    """Put 1,000 small bodies into the store; beside them, into plain files."""
    bodies = [os.urandom(64 * 1024) for _ in range(1000)]
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]

    def put_ms(put: Callable[[bytes, str], object]) -> float:
        begin_s = time.perf_counter()
        for body, digest in zip(bodies, digests, strict=True):
            put(body, digest)
        return (time.perf_counter() - begin_s) * 1e3

    def ours() -> float:
        warm_memory()
        objects = Store(bench.fresh("store") / "objects", max_bytes=1 << 33, min_free_fraction=0.0)
        objects.prepare()
        return put_ms(objects.put)

    def plain() -> float:
        warm_memory()
        root = bench.fresh("files")
        return put_ms(lambda body, digest: (root / digest).write_bytes(body))

    contenders = {"attachfs": ours, "plain files": plain}
    runs, workload = max(bench.runs, 5), "put 1,000 bodies of 64 KiB"
    yield bench.compare("store", workload, "ms", contenders, Limit(50), runs=runs, warmups=2)


def _cold(bench: Bench, name: str, url: str, kind: str, *limits: Limit) -> Row:
    blob = bench.data.big
    target = bench.work / "downloaded"
    bench.data.warm([blob])

    def mounted_cat(mounting: AbstractContextManager[Mount], path: str) -> float:
        with mounting as mount:
            (mount.path / path).stat()
            warm_memory()
            return elapsed_s("cat", mount.path / path)

    def rclone(mode: str) -> float:
        return mounted_cat(bench.rclone(url, cache_mode=mode), f"{blob.asset}/{blob.attachment}")

    def curl() -> float:
        remove(target)
        warm_memory()
        return elapsed_s(*bench.curl(), "-o", target, bench.bytes_url(url, blob))

    def sdk() -> float:
        """Return how long the official SDK takes, without its imports."""
        remove(target)
        warm_memory()
        command = (sys.executable, "-c", _SDK, url, TOKEN, blob.asset, blob.attachment, target)
        env = {**os.environ, "REQUESTS_CA_BUNDLE": str(bench.servers.certificate)}
        return float(printed_s(*command, env=env)[1][0])

    contenders = {
        "attachfs": lambda: mounted_cat(bench.attachfs(url), blob.path),
        "curl": curl,
        _VERIFIED: lambda: curl() + elapsed_s("openssl", "dgst", "-sha256", target),
        _RCLONE: lambda: rclone("off"),
    }
    if not bench.quick:
        contenders |= {"rclone full": lambda: rclone("full"), "SDK": sdk}
    workload = f"cat of 256 MiB, cold, verified, {kind}"
    measured = bench.compare(name, workload, "s", contenders, *limits)
    remove(target)
    return measured


def _copy(
    bench: Bench,
    name: str,
    url: str,
    network: str,
    *limits: Limit,
    once: frozenset[str] = frozenset(),
) -> Row:
    """Copy an asset's files to memory, and compare the copies; peers in `once` do it once."""
    blobs = bench.small
    asset, names = blobs[0].asset, [blob.attachment for blob in blobs]
    bench.data.warm(blobs)
    copy = TMPFS / f"attachfs-bench-{os.getpid()}"

    def copied(*command: str | Path) -> float:
        took_s = elapsed_s(*command)
        same_tree(bench.data.root / "bytes" / asset, copy, names)
        remove(copy)
        return took_s

    def ours() -> float:
        # Kept to the end: ext4 is slow to make files where as many have just been removed.
        with bench.attachfs(url, cache=bench.fresh("cache")) as mount:
            return copied("cp", "-r", mount.path / "assets" / asset, copy)

    def rclone() -> float:
        with bench.rclone(url) as mount:
            return copied("cp", "-r", mount.path / asset, copy)

    def curl() -> float:
        copy.mkdir()
        config = bench.work / "urls"
        config.write_text(
            "".join(
                f'url = "{bench.bytes_url(url, blob)}"\noutput = "{copy / blob.attachment}"\n'
                for blob in blobs
            )
        )
        return copied(*bench.curl(), "--parallel", "--parallel-max", "32", "--config", config)

    remove(copy)
    contenders = {"attachfs": ours, _CURL: curl, _RCLONE: rclone}
    often = {peer: run for peer, run in contenders.items() if peer not in once}
    workload = f"cp -r of {len(blobs)} x 64 KiB to tmpfs, {network}"
    measured = bench.compare(name, workload, "s", often, *limits)
    rest = {peer: run for peer, run in contenders.items() if peer in once}
    measured.figures.update(alternate(rest, runs=1, warmups=0))
    return measured


def _stat_us(path: Path) -> float:
    begin_s = time.perf_counter()
    for _ in range(_STATS):
        os.stat(path)  # noqa: PTH116 - the call itself is what is timed
    return (time.perf_counter() - begin_s) / _STATS * 1e6
