"""The archive, and a proxy before it that plays faults: a process of its own.

Says as one line of JSON where it is and what is there, and as another, once told to end, how
many requests there were and what they met.
"""

import json
import signal
import sys
import threading
from collections import Counter
from random import Random
from typing import Any, Final

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from soaking.evidence import Evidence
from tests.conftest import serving
from tests.support import faultproxy
from tests.support.archives import declared, uuid_in
from tests.support.faultproxy import Fault, Rule, faulty

_FILES_AN_ASSET: Final = 10
_FAULTS: Final = (
    faultproxy.Status(500),
    faultproxy.Status(502, {}, b"<h1>Bad Gateway</h1>"),
    faultproxy.Status(503),
    faultproxy.Status(504),
    faultproxy.Status(429, {"Retry-After": "1"}),
    faultproxy.ResetBeforeHeaders(),
    faultproxy.ResetInHeaders(),
    faultproxy.ResetInBody(),
    faultproxy.CutBody(),
    faultproxy.CutBody(1, 1),
    faultproxy.ChunkedGarbage(),
    faultproxy.NotHttp(),
    faultproxy.Stall(seconds=1),
    faultproxy.Stall(0.5, seconds=1),
    faultproxy.CloseWhenReused(),
)


def _fill(running: RunningArchive, evidence: Evidence) -> list[str]:
    """Put all files into the archive; return where each is in a mount."""
    demo = running.archive
    paths: list[str] = []
    for begin in range(0, evidence.files, _FILES_AN_ASSET):
        numbers = range(begin, min(begin + _FILES_AN_ASSET, evidence.files))
        blobs = [demo.create_blob(bytes(evidence.content(number))) for number in numbers]
        attributes = {f"proof {number}": declared(blob) for number, blob in enumerate(blobs)}
        asset = uuid_in(demo.create_asset({"attributes": attributes}))
        paths += [f"assets/{asset}/{uuid_in(blob)}" for blob in blobs]
    return paths


def _rule(share: float, met: Counter[str]) -> Rule:
    random = Random(1)  # noqa: S311 - no secret

    def choose(_path: str) -> Fault | None:
        met["requests"] += 1
        if random.random() >= share:
            return None
        fault = random.choice(_FAULTS)
        met[_name(fault)] += 1
        return fault

    return choose


def _name(fault: Fault) -> str:
    return f"{fault.code}" if isinstance(fault, faultproxy.Status) else type(fault).__name__


def main(files: int, share: float) -> None:
    """Serve until told to end."""
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    met: Counter[str] = Counter()
    with serving(ArchiveConfig(empty=True)) as running, faulty(running.url) as proxy:
        paths = _fill(running, Evidence(files))
        proxy.choose(_rule(share, met))
        _say({"url": proxy.url, "token_file": str(running.token_file), "paths": paths})
        while not ending.wait(1):
            proxy.forget()  # what it has noted of each request would grow
    _say({"met": met})


def _say(what: dict[str, Any]) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
