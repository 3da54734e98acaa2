"""A proxy before the archive that plays faults: a process of its own.

Says by a line of JSON where it is, and by another, once its input ends, how many requests there
were and what they met.
"""

import sys
from collections import Counter
from random import Random
from select import select
from typing import Final

from soaking.processes import say
from tests.support import faultproxy
from tests.support.faultproxy import Fault, Rule, faulty

# Each alone is survived: the reader sees right bytes, late.
FAULTS: Final[dict[str, Fault]] = {
    "500": faultproxy.Status(500),
    "502 with HTML": faultproxy.Status(502, {}, b"<h1>Bad Gateway</h1>"),
    "503": faultproxy.Status(503),
    "504": faultproxy.Status(504),
    "429, after 0 s": faultproxy.Status(429, {"Retry-After": "0"}),
    "429, after 1 s": faultproxy.Status(429, {"Retry-After": "1"}),
    "reset before headers": faultproxy.ResetBeforeHeaders(),
    "reset in headers": faultproxy.ResetInHeaders(),
    "reset in body": faultproxy.ResetInBody(),
    "body cut in half": faultproxy.CutBody(),
    "body a byte short": faultproxy.CutBody(1, 1),
    "chunked garbage": faultproxy.ChunkedGarbage(),
    "not HTTP": faultproxy.NotHttp(),
    "stall before headers": faultproxy.Stall(seconds=1),
    "stall in body": faultproxy.Stall(0.5, seconds=1),
    "connection closed": faultproxy.CloseWhenReused(),
}
REQUESTS: Final = "requests"
_FORGET_EVERY_S: Final = 1.0


def rule(share: float, met: Counter[str], *, seed: int = 1) -> Rule:
    """Return a rule by which a share of all requests meets a fault; what was met is counted."""
    random = Random(seed)  # noqa: S311 - no secret

    def choose(_path: str) -> Fault | None:
        met[REQUESTS] += 1
        if random.random() >= share:
            return None
        name = random.choice(list(FAULTS))
        met[name] += 1
        return FAULTS[name]

    return choose


def main(upstream_url: str, share: float) -> None:
    """Play until the input ends."""
    met: Counter[str] = Counter()
    with faulty(upstream_url) as proxy:
        proxy.choose(rule(share, met))
        say({"url": proxy.url})
        while not select([sys.stdin], [], [], _FORGET_EVERY_S)[0]:
            proxy.forget()  # what it has noted of each request would grow
    say({"met": met})


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
