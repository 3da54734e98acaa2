"""Many UUIDs in little room: 16 bytes each, where their texts would take 93."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Self, overload

from attachfs.archive.identities import is_uuid

UUID_BYTES: Final = 16


def pack_uuid(uuid: str) -> bytes:
    """Return a UUID's 16 bytes."""
    return bytes.fromhex(uuid.replace("-", ""))


def unpack_uuid(packed: bytes | bytearray | memoryview) -> str:
    """Return the text of a UUID's 16 bytes."""
    digits = packed.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


class Uuids(Sequence[str]):
    """Hold UUIDs in order; grows at its end only."""

    __slots__ = ("_packed",)

    def __init__(self, packed: bytes | bytearray = b"") -> None:
        """Take the 16 bytes of each."""
        self._packed = bytearray(packed)

    @classmethod
    def of(cls, uuids: Iterable[str]) -> Self:
        """Return these UUIDs."""
        return cls(bytes.fromhex("".join(uuids).replace("-", "")))

    @property
    def packed(self) -> bytes:
        """The 16 bytes of each."""
        return bytes(self._packed)

    def __len__(self) -> int:
        return len(self._packed) // UUID_BYTES

    @overload
    def __getitem__(self, at: int) -> str: ...
    @overload
    def __getitem__(self, at: slice) -> list[str]: ...
    def __getitem__(self, at: int | slice) -> str | list[str]:
        if isinstance(at, slice):
            return [self[index] for index in range(*at.indices(len(self)))]
        if not -len(self) <= at < len(self):
            raise IndexError(at)
        at %= len(self)
        return unpack_uuid(self._packed[at * UUID_BYTES : (at + 1) * UUID_BYTES])

    def __iter__(self) -> Iterator[str]:
        return (self[index] for index in range(len(self)))

    def __contains__(self, uuid: object) -> bool:
        return isinstance(uuid, str) and is_uuid(uuid) and self.place(uuid) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment] # it grows

    def append(self, packed: bytes) -> None:
        """Add one, by its 16 bytes."""
        self._packed += packed

    def place(self, uuid: str) -> int | None:
        """Return where a UUID stands first, None where it does not."""
        packed, at = pack_uuid(uuid), -1
        while (at := self._packed.find(packed, at + 1)) >= 0:
            if at % UUID_BYTES == 0:
                return at // UUID_BYTES
        return None

    def beginning_with(self, digits: str) -> list[str]:
        """Return those that begin with these digits, an even number, in order."""
        packed, at, found = bytes.fromhex(digits), -1, list[str]()
        while (at := self._packed.find(packed, at + 1)) >= 0:
            if at % UUID_BYTES == 0:
                found.append(self[at // UUID_BYTES])
        return found

    def packed_from(self, place: int) -> Iterator[bytes]:
        """Return the 16 bytes of each from a place on."""
        for at in range(place * UUID_BYTES, len(self._packed), UUID_BYTES):
            yield bytes(self._packed[at : at + UUID_BYTES])
