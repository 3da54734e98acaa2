"""What a share of all requests meets: faults that tests/support/faultproxy.py plays."""

from collections import Counter
from random import Random
from typing import Final

from tests.support import faultproxy
from tests.support.faultproxy import Fault, Rule

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


def rule(share: float, met: Counter[str], *, seed: int = 1) -> Rule:
    """Return a rule that has a share of all requests meet a fault, and counts what they met."""
    random = Random(seed)  # noqa: S311 - no secret

    def choose(_path: str) -> Fault | None:
        met[REQUESTS] += 1
        if random.random() >= share:
            return None
        name = random.choice(list(FAULTS))
        met[name] += 1
        return FAULTS[name]

    return choose
