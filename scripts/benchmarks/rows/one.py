"""One large file: cold, warm, after a restart."""

import os
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from benchmarks.bench import Bench, forget_pages, remove, warm_memory
from benchmarks.mounts import TOKEN, Mounted
from benchmarks.programs import Unfit
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s

_VERIFIED: Final = "curl; openssl"
_STATS: Final = 50_000


def cold(bench: Bench) -> list[Row]:
    """Read 256 MiB that nobody has read before."""
    limits = [Limit(0.75, _VERIFIED), Limit(1.0, "rclone off")]
    return [_cold(bench, "cold", bench.servers.plain, limits)]


def cold_tls(bench: Bench) -> list[Row]:
    """Read 256 MiB over TLS that nobody has read before."""
    return [_cold(bench, "cold-tls", bench.servers.tls, [Limit(0.85, _VERIFIED)])]


def warm(bench: Bench) -> list[Row]:
    """Read and stat a second time: what the kernel answers by itself."""
    local = bench.data.local(bench.data.big)
    with bench.mounts.attachfs(bench.servers.plain) as mounted:
        path = mounted.path(bench.data.big)
        elapsed_s("cat", path)
        cats = [
            Contender("attachfs", lambda: elapsed_s("cat", path)),
            Contender("local ext4", lambda: elapsed_s("cat", local)),
        ]
        stats = [
            Contender("attachfs", lambda: _stat_us(path)),
            Contender("local ext4", lambda: _stat_us(local)),
        ]
        limits = [Limit(1.1, "local ext4")]
        runs = max(bench.runs, 9)
        return [
            Row("warm-cat", "second cat of 256 MiB", "s", alternate(cats, runs=runs), limits),
            Row("warm-stat", "second stat", "us", alternate(stats, runs=runs), limits),
        ]


def restart(bench: Bench) -> list[Row]:
    """Read 256 MiB from the store after a restart, nothing of it in memory."""
    local = bench.data.local(bench.data.big)
    cache = bench.mounts.fresh("cache")

    def ours() -> float:
        with bench.mounts.attachfs(bench.servers.plain, cache=cache) as mounted:
            path = mounted.path(bench.data.big)
            path.stat()
            forget_pages(cache)
            warm_memory()
            return elapsed_s("cat", path)

    def theirs() -> float:
        forget_pages(local)
        warm_memory()
        return elapsed_s("cat", local)

    contenders = [Contender("attachfs", ours), Contender("local ext4", theirs)]
    figures = alternate(contenders, runs=bench.runs, warmups=2)
    bench.data.warm([bench.data.big])
    remove(cache)
    workload = "cat of 256 MiB in the store, page cache dropped"
    return [Row("restart", workload, "s", figures, [Limit(1.6, "local ext4")])]


def _cold(bench: Bench, name: str, url: str, limits: list[Limit]) -> Row:
    blob = bench.data.big
    target = bench.work / "downloaded"
    bench.data.warm([blob])

    def mounted_cat(mount: AbstractContextManager[Mounted], *, below: str) -> float:
        with mount as mounted:
            path = mounted.root / below / blob.asset / blob.attachment
            path.stat()
            warm_memory()
            return elapsed_s("cat", path)

    def curl() -> float:
        remove(target)
        warm_memory()
        return elapsed_s(*bench.curl(), "-o", target, bench.bytes_url(url, blob))

    def curl_and_openssl() -> float:
        return curl() + elapsed_s("openssl", "dgst", "-sha256", target)

    contenders = [
        Contender("attachfs", lambda: mounted_cat(bench.mounts.attachfs(url), below="assets")),
        Contender("curl", curl),
        Contender(_VERIFIED, curl_and_openssl),
        Contender("rclone off", lambda: mounted_cat(bench.mounts.rclone(url), below="")),
    ]
    if not bench.quick:
        contenders += [
            Contender(
                "rclone full",
                lambda: mounted_cat(bench.mounts.rclone(url, cache_mode="full"), below=""),
            ),
            Contender("SDK", lambda: _sdk_s(bench, url, target)),
        ]
    figures = alternate(contenders, runs=bench.runs)
    remove(target)
    kind = "over TLS" if url.startswith("https") else "plain"
    return Row(name, f"cat of 256 MiB, cold, verified, {kind}", "s", figures, limits)


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


def _sdk_s(bench: Bench, url: str, target: Path) -> float:
    """Return how long the official SDK takes to download the blob, without its imports."""
    remove(target)
    warm_memory()
    blob = bench.data.big
    done = subprocess.run(
        [sys.executable, "-c", _SDK, url, TOKEN, blob.asset, blob.attachment, target],
        env={**os.environ, "REQUESTS_CA_BUNDLE": str(bench.servers.certificate)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unfit(f"the SDK failed: {done.stderr.strip()[-500:]}")
    return float(done.stdout)


def _stat_us(path: Path) -> float:
    begin_s = time.perf_counter()
    for _ in range(_STATS):
        os.stat(path)  # noqa: PTH116 - the call itself is what is timed
    return (time.perf_counter() - begin_s) / _STATS * 1e6
