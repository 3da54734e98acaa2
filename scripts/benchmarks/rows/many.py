"""Many small files: copied from a mount, and put into the store."""

import hashlib
import os
import time
from pathlib import Path
from typing import Final

from benchmarks.bench import TMPFS, Bench, remove, same_tree, warm_memory
from benchmarks.data import Blob
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s

_CURL: Final = "curl --parallel 32"
_SMALL_BODIES: Final = 1000


def cp_50ms(bench: Bench) -> list[Row]:
    """Copy 1,000 files of 64 KiB over a network of 50 ms."""
    limits = [Limit(1.0, _CURL), Limit(0.04, "rclone off")]
    # rclone takes two round trips a file, one after the other: 104 s for 1,000 files.
    blobs = bench.data.few if bench.quick else bench.data.small
    return [_copy(bench, "cp-50ms", bench.servers.delayed, blobs, limits, once=("rclone off",))]


def cp_0(bench: Bench) -> list[Row]:
    """Copy 1,000 files of 64 KiB over the loopback device."""
    limits = [Limit(1.5, "rclone off")]
    blobs = bench.data.few if bench.quick else bench.data.small
    return [_copy(bench, "cp-0", bench.servers.plain, blobs, limits)]


def store(bench: Bench) -> list[Row]:
    """Put 1,000 small bodies into the store; beside them, into plain files."""
    from attachfs.content.store import Store  # noqa: PLC0415 - what is measured

    bodies = [os.urandom(64 * 1024) for _ in range(_SMALL_BODIES)]
    digests = [hashlib.sha256(body).hexdigest() for body in bodies]

    def ours() -> float:
        warm_memory()
        root = bench.mounts.fresh("store")
        objects = Store(root / "objects", max_bytes=1 << 33, min_free_fraction=0.0)
        objects.prepare()
        begin_s = time.perf_counter()
        for body, digest in zip(bodies, digests, strict=True):
            objects.put(body, digest)
        return (time.perf_counter() - begin_s) * 1e3

    def plain() -> float:
        warm_memory()
        root = bench.mounts.fresh("files")
        begin_s = time.perf_counter()
        for body, digest in zip(bodies, digests, strict=True):
            (root / digest).write_bytes(body)
        return (time.perf_counter() - begin_s) * 1e3

    contenders = [Contender("attachfs", ours), Contender("plain files", plain)]
    figures = alternate(contenders, runs=max(bench.runs, 5), warmups=2)
    return [Row("store", "put 1,000 bodies of 64 KiB", "ms", figures, [Limit(50)])]


def _copy(
    bench: Bench,
    name: str,
    url: str,
    blobs: list[Blob],
    limits: list[Limit],
    *,
    once: tuple[str, ...] = (),
) -> Row:
    asset = blobs[0].asset
    expected = bench.data.root / "bytes" / "assets" / asset
    names = [blob.attachment for blob in blobs]
    bench.data.warm(blobs)

    def target() -> Path:
        path = TMPFS / f"attachfs-bench-{os.getpid()}"
        remove(path)
        return path

    def copied(source: Path) -> float:
        copy = target()
        took_s = elapsed_s("cp", "-r", source, copy)
        same_tree(expected, copy, names)
        remove(copy)
        return took_s

    def ours() -> float:
        # Kept to the end: ext4 is slow to make files where as many have just been removed.
        cache = bench.mounts.fresh("cache")
        with bench.mounts.attachfs(url, cache=cache) as mounted:
            return copied(mounted.root / "assets" / asset)

    def rclone() -> float:
        with bench.mounts.rclone(url) as mounted:
            return copied(mounted.root / asset)

    def curl() -> float:
        copy = target()
        copy.mkdir()
        config = bench.work / "urls"
        config.write_text(
            "".join(
                f'url = "{bench.bytes_url(url, blob)}"\noutput = "{copy / blob.attachment}"\n'
                for blob in blobs
            )
        )
        parallel = ["--parallel", "--parallel-max", "32", "--config", str(config)]
        took_s = elapsed_s(*bench.curl(), *parallel)
        same_tree(expected, copy, names)
        remove(copy)
        return took_s

    contenders = [
        Contender("attachfs", ours),
        Contender(_CURL, curl),
        Contender("rclone off", rclone),
    ]
    often = [contender for contender in contenders if contender.name not in once]
    figures = alternate(often, runs=bench.runs)
    figures |= alternate([c for c in contenders if c.name in once], runs=1, warmups=0)
    workload = f"cp -r of {len(blobs)} x 64 KiB to tmpfs, {'50 ms' if once else 'no delay'}"
    return Row(name, workload, "s", figures, limits)
