"""How a mount fares, as JSON: what it is of, whether it can go on, what it did, what went wrong."""

import os
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import trio

from attachfs.access.opened import Opened
from attachfs.mount.tally import TALLY
from attachfs.wording import NS_PER_S, time_text


def status(archive: Opened, mountpoint: Path, mounted_s: float) -> Mapping[str, Any]:
    """Return everything that `attachfs status` shows; asks nobody, so that it never waits.

    `mounted_s` is when it was mounted, in seconds since 1970 UTC. Sizes in bytes, durations in
    seconds, times in RFC 3339.
    """
    settings, breaker = archive.settings, archive.archive.policy.breaker
    credentials, store = settings.credentials, archive.store
    served, lookups = archive.content.served, archive.catalog.lookups
    traffic = archive.archive.traffic
    return {
        "mountpoint": str(mountpoint),
        "url": settings.url,
        "version": version("attachfs"),
        "pid": os.getpid(),
        "mounted": _time(mounted_s),
        "identity": None if credentials is None else credentials.identity,
        "token_left_s": None if credentials is None else _rounded(credentials.left_s),
        "server": {
            "reachable": breaker.error is None,
            "error": None if breaker.error is None else str(breaker.error),
        },
        "cache": {
            "directory": str(settings.cache_dir),
            "bytes": None if store is None else store.used_bytes(),
            "max_bytes": settings.cache_size_bytes,
            "memory_bytes": archive.content.memory_bytes,
            "memory_max_bytes": settings.memory_cache_bytes,
        },
        "bodies": {
            "memory": served.memory,
            "disk": served.disk,
            "shared": served.shared,
            "shared_store": served.shared_store,
            "archive": served.fetched,
            "mismatches": served.mismatches,
        },
        "lookups": {
            "known": lookups.known,
            "archive": lookups.asked,
            "stale": lookups.stale,
        },
        "requests": {
            "answers": {str(code): count for code, count in sorted(traffic.answers.items())},
            "failures": dict(traffic.failures),
            "body_bytes": traffic.body_bytes,
        },
        "operations": dict(TALLY.operations),
        "recent_errors": [
            {
                "time": _time(trouble.at_s),
                "operation": trouble.operation,
                "error": trouble.error,
                "message": trouble.message,
            }
            for trouble in TALLY.recent
        ],
        "tasks": trio.lowlevel.current_statistics().tasks_living,
    }


def _time(at_s: float) -> str:
    return time_text(int(at_s * NS_PER_S))


def _rounded(duration_s: float | None) -> int | None:
    return None if duration_s is None else round(duration_s)
