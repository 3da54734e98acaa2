"""How long the program takes to start: to say how it is used, and until a mount answers."""

import sys
from pathlib import Path

from benchmarks.bench import Bench, remove
from benchmarks.mounts import rclone
from benchmarks.programs import Unfit, is_mounted, run
from benchmarks.timing import Contender, Limit, Row, alternate, elapsed_s

_ATTACHFS = Path(sys.executable).with_name("attachfs")


def starting(bench: Bench) -> list[Row]:
    """Take `attachfs --help`, and `attachfs mount` until it returns, mounted before.

    Without rich, which only the benchmarks have, and which httpx and structlog import if they can.
    """
    hidden = bench.work / "hidden"
    hidden.mkdir()
    (hidden / "rich.py").write_text("raise ImportError\n")
    attachfs = ("env", f"PYTHONPATH={hidden}", _ATTACHFS)
    runs = max(bench.runs, 7)
    told = alternate(
        [
            Contender("attachfs", lambda: 1000 * elapsed_s(*attachfs, "--help")),
            Contender("python -c pass", lambda: 1000 * elapsed_s(sys.executable, "-c", "pass")),
            Contender("rclone", lambda: 1000 * elapsed_s(rclone(), "--help")),
        ],
        runs=runs,
    )
    cache = bench.mounts.fresh("cache")

    def mount_s() -> float:
        mountpoint = bench.mounts.fresh("background")
        try:
            took_s = elapsed_s(
                *(*attachfs, "mount", mountpoint, "--url", bench.servers.plain),
                *("--token-file", bench.mounts.token_file, "--cache-dir", cache),
            )
            if not is_mounted(mountpoint):
                raise Unfit(f"nothing is mounted on {mountpoint}")
        finally:
            run(_ATTACHFS, "umount", mountpoint)
        return took_s

    mounted = alternate([Contender("attachfs", mount_s)], runs=runs)
    remove(cache)
    return [
        Row("help", "attachfs --help", "ms", told, [Limit(150)]),
        Row("mount", "attachfs mount, warm, until it answers", "s", mounted, [Limit(1)]),
    ]
