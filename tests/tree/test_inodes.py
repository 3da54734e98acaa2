"""Inode numbers, and the table of those that the kernel knows."""

import gc
from dataclasses import dataclass
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from attachfs.tree.inodes import ROOT_INO, InodeTable


@dataclass
class _Node:
    key: str
    ino: int

    @property
    def packed(self) -> bytes:
        return self.key.encode()


def _number(table: InodeTable, key: str) -> int:
    return table.number(key, key.encode())


def _look_up(table: InodeTable, key: str) -> int:
    number = _number(table, key)
    table.looked_up(_Node(key, number))
    return number


@given(key=st.text(max_size=50), server=st.text(max_size=10))
def test_a_number_is_the_same_in_every_mount_of_a_server(key: str, server: str) -> None:
    """It fits a signed 64-bit integer and is never the root's."""
    number = _number(InodeTable(server, b""), key)
    assert _number(InodeTable(server, b""), key) == number
    assert ROOT_INO < number < 2**63


def test_numbers_stay_what_they_were_in_former_versions() -> None:
    """Backups compare them: changing the hash would make every file look new."""
    digest = blake2b(b"https://host\0attachment\0assets/a/b", digest_size=8).digest()
    expected = int.from_bytes(digest, "big") & (2**63 - 1)
    assert _number(InodeTable("https://host", b""), "attachment\0assets/a/b") == expected


def test_keys_and_servers_have_numbers_of_their_own() -> None:
    """A thousand of them collide with nobody."""
    table = InodeTable("https://host", b"")
    numbers = [_number(table, f"attachment\0{number}") for number in range(1000)]
    assert len(set(numbers)) == 1000
    assert _number(InodeTable("https://other", b""), "attachment\x000") != numbers[0]
    assert _number(table, "a\0b") != _number(table, "ab")


def test_of_two_live_keys_that_collide_the_second_gets_another_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And keeps it until it is forgotten, whatever becomes of the first."""
    table = InodeTable("https://host", b"")
    monkeypatch.setattr(table, "_hash", lambda _key, salt: 1000 + salt)
    assert [_number(table, key) for key in ("first", "second")] == [1000, 1000]
    assert _look_up(table, "first") == 1000
    assert _look_up(table, "second") == 1001
    assert _number(table, "third") == 1002
    table.forget(1000, 1)
    assert [_number(table, key) for key in ("first", "second", "third")] == [1000, 1001, 1000]
    table.forget(1001, 1)
    assert _number(table, "second") == 1000


def test_an_inode_goes_with_its_last_lookup() -> None:
    """The kernel's count and ours agree."""
    table = InodeTable("https://host", b"")
    number = _look_up(table, "x")
    inode = table.get(number)
    assert inode is not None
    assert _look_up(table, "x") == number
    assert (inode.lookups, len(table)) == (2, 2)
    inode.told_size_bytes = 5
    table.forget(number, 1)
    assert table.get(number) is inode
    table.forget(number, 1)
    assert table.get(number) is None
    _look_up(table, "x")
    again = table.get(number)
    assert again is not None
    assert again.told_size_bytes is None


def test_the_root_is_never_forgotten() -> None:
    """However often the kernel says so; what is not known can be forgotten, too."""
    table = InodeTable("https://host", b"")
    table.forget(ROOT_INO, 100)
    table.forget(12345, 1)
    assert table.get(ROOT_INO) is not None
    assert len(table) == 1


def test_doubt_ends_with_being_asked_and_with_the_inode() -> None:
    """Pages that may be wrong are dropped once."""
    table = InodeTable("https://host", b"")
    number = _look_up(table, "x")
    assert table.trust(number)
    table.doubt(number)
    assert not table.trust(number)
    assert table.trust(number)
    table.doubt(number)
    table.forget(number, 1)
    _look_up(table, "x")
    assert table.trust(number)


def test_the_garbage_collector_need_not_look_at_inodes() -> None:
    """A pass over a million of them took 250 ms, in which nobody was answered."""
    table = InodeTable("https://host", b"")
    inode = table.get(_look_up(table, "x"))
    assert not gc.is_tracked(inode)


class _KernelAndTable(RuleBasedStateMachine):
    """A kernel looks up and forgets nodes whose hashes collide all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.table = InodeTable("https://host", b"")
        patched = pytest.MonkeyPatch()
        patched.setattr(self.table, "_hash", lambda key, salt: 100 + (len(key) + salt) % 50)
        self.known: dict[str, tuple[int, int]] = {}

    @rule(name=st.text("ab", min_size=1, max_size=3))
    def look_up(self, name: str) -> None:
        ino = _look_up(self.table, name)
        known_ino, lookups = self.known.get(name, (ino, 0))
        assert ino == known_ino
        self.known[name] = (ino, lookups + 1)

    @rule(name=st.text("ab", min_size=1, max_size=3), lookups=st.integers(1, 3))
    def forget(self, name: str, lookups: int) -> None:
        ino, held = self.known.get(name, (0, 0))
        lookups = min(lookups, held)
        if lookups:
            self.table.forget(ino, lookups)
            self.known[name] = (ino, held - lookups)
            if held == lookups:
                del self.known[name]

    @invariant()
    def every_number_is_one_key(self) -> None:
        assert len(self.table) == len(self.known) + 1
        for key, (ino, lookups) in self.known.items():
            inode = self.table.get(ino)
            assert inode is not None
            assert (inode.packed, inode.lookups) == (key.encode(), lookups)


TestKernelAndTable = _KernelAndTable.TestCase
