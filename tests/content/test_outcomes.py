"""What became of attachments is remembered for a while, path by path."""

import pytest
from trio.testing import MockClock

from attachfs.archive.identities import AttachmentPath
from attachfs.content.outcomes import Outcomes
from attachfs.errors import Mismatch, Unreachable
from tests.support.archives import PATH

_TTL_S = 5.0
_DIGEST = "ab" * 32


def _path(name: str) -> AttachmentPath:
    return AttachmentPath(PATH.holder, name)


async def test_a_failure_stands_until_its_time_is_over(autojump_clock: MockClock) -> None:
    """Of this path and these bytes alone; its reason is known for longer."""
    outcomes = Outcomes(_TTL_S)
    path, other = _path("one"), _path("other")
    outcomes.failed(path, _DIGEST, Mismatch("other bytes", digests={}))
    for _ in range(2):
        with pytest.raises(Mismatch, match="other bytes"):
            outcomes.check(path, _DIGEST)
    outcomes.check(other, _DIGEST)
    outcomes.check(path, "cd" * 32)
    autojump_clock.jump(_TTL_S + 0.1)
    outcomes.check(path, _DIGEST)
    assert outcomes.last_error(path) == "other bytes"
    assert outcomes.last_error(other) is None


async def test_the_last_failure_is_told_until_one_succeeds() -> None:
    """What is only noted is tried again at once."""
    outcomes = Outcomes(_TTL_S)
    path = _path("one")
    for reason in ("first", "second"):
        outcomes.note(path, Unreachable(reason))
        assert outcomes.last_error(path) == reason
    outcomes.check(path, _DIGEST)
    outcomes.succeeded(path)
    assert outcomes.last_error(path) is None
    outcomes.succeeded(path)
