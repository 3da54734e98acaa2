"""Where a cluster is, as users write it."""

import pytest

from attachfs.errors import ClusterTrouble
from tests.support.lazy import LazyModule

crew = LazyModule("attachfs.cluster.crew")


@pytest.mark.parametrize(
    "url", ["tcp://10.0.0.1:8786", "tls://scheduler.example:1", "tcp://[::1]:8786", "wss://a-b:443"]
)
def test_a_schedulers_url_is_taken(url: str) -> None:
    """By name or address, with its port."""
    crew.check_url(url)


@pytest.mark.parametrize(
    "url",
    ["", "foo", "tcp://127.0.0.1", "http://127.0.0.1:1", "tcp://127.0.0.1:1/", "tcp://\x1b:1",
     "inproc://x", "tcp://h:x"],
)  # fmt: skip
def test_others_are_told_without_being_repeated_as_they_are(url: str) -> None:
    """With one that would do, and no control characters for a terminal."""
    with pytest.raises(ClusterTrouble, match="should look like tcp:") as caught:
        crew.check_url(url)
    assert str(caught.value).isprintable()
