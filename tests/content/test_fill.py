"""A body on its way from the network into memory or a file."""

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attachfs.archive.client import Body as IncomingBody
from attachfs.content.body import Body
from attachfs.content.fill import into_file, into_memory
from attachfs.content.verification import Expected
from attachfs.errors import Mismatch, Unreachable
from tests.support.archives import sha256

_CONTENT = bytes(range(256)) * 5000  # more than one block
_Into = Callable[[IncomingBody, Expected, Path], Coroutine[Any, Any, Body]]


async def _into_memory(incoming: IncomingBody, expected: Expected, directory: Path) -> Body:
    del directory
    return await into_memory(incoming, expected)


_BOTH = pytest.mark.parametrize("into", [_into_memory, into_file], ids=["memory", "file"])


def _expected(content: bytes = _CONTENT) -> Expected:
    return Expected(len(content), (sha256(content),), sha256(content))


class _Chunks:
    """Yield chunks, then fail if asked to."""

    def __init__(self, chunks: tuple[bytes, ...], error: Exception | None) -> None:
        self._chunks, self._error = iter(chunks), error

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        for chunk in self._chunks:
            return chunk
        raise self._error or StopAsyncIteration


def _incoming(
    *chunks: bytes, announced: int | None = None, error: Exception | None = None
) -> IncomingBody:
    return IncomingBody(announced, _Chunks(chunks, error))


def _cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@_BOTH
@pytest.mark.parametrize("size", [7_000, 65_536, 1_048_576, 10_000_000])
@pytest.mark.parametrize("announced", [None, len(_CONTENT)])
async def test_a_body_is_whole_however_it_is_cut(
    tmp_path: Path, into: _Into, size: int, announced: int | None
) -> None:
    """Chunks of any size, announced or not, give the bytes recorded."""
    incoming = _incoming(*_cut(_CONTENT, size), announced=announced)
    body = await into(incoming, _expected(), tmp_path / "spool")
    assert body.read(0, len(_CONTENT) + 1) == _CONTENT


@_BOTH
async def test_an_empty_body_is_one(tmp_path: Path, into: _Into) -> None:
    """With the digest of nothing."""
    body = await into(_incoming(), _expected(b""), tmp_path)
    assert body.read(0, 1) == b""


@_BOTH
@pytest.mark.parametrize("announced", [0, len(_CONTENT) - 1, len(_CONTENT) + 1])
async def test_a_length_announced_wrongly_is_a_mismatch_before_any_byte(
    tmp_path: Path, into: _Into, announced: int
) -> None:
    """Nothing is read of what cannot be right."""
    incoming = _incoming(error=AssertionError("read"), announced=announced)
    with pytest.raises(Mismatch, match=f"{announced} bytes are offered"):
        await into(incoming, _expected(), tmp_path)


@_BOTH
@pytest.mark.parametrize("content", [b"", _CONTENT[:-1], _CONTENT[1:]])
async def test_a_short_body_is_a_mismatch(tmp_path: Path, into: _Into, content: bytes) -> None:
    """The error says how much came, and what its digest was."""
    with pytest.raises(Mismatch, match=f"{len(content)} bytes came") as caught:
        await into(_incoming(content), _expected(), tmp_path)
    assert caught.value.digests["body"] == sha256(content)


@_BOTH
async def test_a_long_body_is_given_up_as_soon_as_it_is_too_long(
    tmp_path: Path, into: _Into
) -> None:
    """An endless one would fill the memory or the disk."""
    incoming = _incoming(_CONTENT, b"x", error=AssertionError("read on"))
    with pytest.raises(Mismatch, match="more than"):
        await into(incoming, _expected(), tmp_path)


@_BOTH
@pytest.mark.parametrize("position", [0, len(_CONTENT) // 2, len(_CONTENT) - 1])
async def test_a_byte_that_differs_is_a_mismatch(
    tmp_path: Path, into: _Into, position: int
) -> None:
    """Wherever it is."""
    content = bytearray(_CONTENT)
    content[position] ^= 1
    with pytest.raises(Mismatch, match="not those that were recorded") as caught:
        await into(_incoming(*_cut(bytes(content), 100_000)), _expected(), tmp_path)
    assert caught.value.digests == {
        "record": sha256(_CONTENT),
        "info": sha256(_CONTENT),
        "body": sha256(bytes(content)),
    }


@_BOTH
async def test_a_connection_that_breaks_is_what_it_is(tmp_path: Path, into: _Into) -> None:
    """Not a mismatch: asking again may help."""
    with pytest.raises(Unreachable):
        await into(_incoming(_CONTENT[:9], error=Unreachable("x")), _expected(), tmp_path)


async def test_a_file_has_no_name_and_its_directory_is_private(tmp_path: Path) -> None:
    """No other user finds it, and nobody has to clean up."""
    spool = tmp_path / "cache" / "spool"
    body = await into_file(_incoming(_CONTENT), _expected(), spool)
    assert list(spool.iterdir()) == []
    assert spool.stat().st_mode & 0o077 == 0
    assert body.read(0, 3) == _CONTENT[:3]


async def test_a_directory_that_cannot_be_used_is_an_error_of_the_system(tmp_path: Path) -> None:
    """What becomes of it is decided where it is known why the file is wanted."""
    (tmp_path / "spool").write_text("in the way")
    with pytest.raises(FileExistsError):
        await into_file(_incoming(_CONTENT), _expected(), tmp_path / "spool")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(chunks=st.lists(st.binary(max_size=50), max_size=20), damage=st.integers(-1, 100))
async def test_both_ways_agree(tmp_path: Path, chunks: list[bytes], damage: int) -> None:
    """The same chunks are whole in memory and in a file, or in neither."""
    content = b"".join(chunks)
    expected = _expected(content)
    if 0 <= damage < len(content):
        chunks = [bytes([content[0] ^ 1]) + content[1:]]
    outcomes = []
    for into in (_into_memory, into_file):
        try:
            body = await into(_incoming(*chunks), expected, tmp_path)
        except Mismatch as error:
            outcomes.append(str(error).encode())
        else:
            outcomes.append(body.read(0, len(content)))
    assert outcomes[0] == outcomes[1]
    assert (outcomes[0] == content) is not (0 <= damage < len(content))
