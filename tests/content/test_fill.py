"""Chunks of a download are taken beside the receiving of the next, as long as there are threads."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from attachfs.content.fill import _Taker


def test_chunks_are_taken_in_their_order() -> None:
    """What one raises is raised with the next, or in the end."""
    taken: list[bytes] = []

    def take(chunk: memoryview) -> None:
        taken.append(bytes(chunk))
        if bytes(chunk) == b"bad":
            raise ValueError("bad")

    with closing(_Taker(take)) as taker:
        for chunk in (b"one", b"two", b"bad"):
            taker.take(memoryview(chunk))
        with pytest.raises(ValueError, match="bad"):
            taker.wait()
        taker.wait()
    assert taken == [b"one", b"two", b"bad"]


@pytest.mark.parametrize("at", [0, 1])
def test_without_threads_they_are_taken_all_the_same(
    monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """As at the end of the interpreter, and where a process may have no more; each once."""
    submit, count = ThreadPoolExecutor.submit, 0

    def submit_no_more(*arguments: object) -> object:
        nonlocal count
        count += 1
        if count > at:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")
        return submit(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submit_no_more)
    taken: list[bytes] = []
    with closing(_Taker(lambda chunk: taken.append(bytes(chunk)))) as taker:
        for chunk in (b"one", b"two", b"three"):
            taker.take(memoryview(chunk))
        taker.wait()
    assert taken == [b"one", b"two", b"three"]
    assert count == at + 1
