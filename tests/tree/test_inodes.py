"""Inode numbers, and the table of those that the kernel knows."""

from dataclasses import dataclass
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from attachfs.tree.inodes import ROOT_INO, InodeNumbers, InodeTable, Key

_KEYS = st.tuples(st.sampled_from(["attachment", "info", "directory"]), st.text(max_size=5))


@dataclass
class _Node:
    key: Key
    ino: int


def _colliding(numbers: InodeNumbers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every key have the same hash, until it is salted."""
    monkeypatch.setattr(numbers, "_hash", lambda _key, salt: 1000 + salt)


@given(key=_KEYS, server=st.text(max_size=10))
def test_a_number_is_the_same_in_every_mount_of_a_server(key: Key, server: str) -> None:
    """It fits a signed 64-bit integer and is never the root's."""
    number = InodeNumbers(server).number(key)
    assert InodeNumbers(server).number(key) == number
    assert ROOT_INO < number < 2**63


def test_numbers_stay_what_they_were_in_former_versions() -> None:
    """Backups compare them: changing the hash would make every file look new."""
    key = ("attachment", "assets/a/b")
    digest = blake2b(b"https://host\0attachment\0assets/a/b", digest_size=8).digest()
    assert InodeNumbers("https://host").number(key) == int.from_bytes(digest, "big") & (2**63 - 1)


def test_keys_and_servers_have_numbers_of_their_own() -> None:
    """A thousand of them collide with nobody."""
    numbers = InodeNumbers("https://host")
    keys = [("attachment", str(number)) for number in range(1000)]
    assert len({numbers.number(key) for key in keys}) == 1000
    assert InodeNumbers("https://other").number(keys[0]) != numbers.number(keys[0])
    assert numbers.number(("a", "b")) != numbers.number(("ab",))


def test_of_two_live_keys_that_collide_the_second_gets_another_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And keeps it until it is freed, whatever becomes of the first."""
    numbers = InodeNumbers("https://host")
    _colliding(numbers, monkeypatch)
    first, second, third = ("first",), ("second",), ("third",)
    assert [numbers.number(key) for key in (first, second)] == [1000, 1000]
    numbers.claim(1000, first)
    assert numbers.number(second) == 1001
    numbers.claim(1001, second)
    assert numbers.number(third) == 1002
    assert [numbers.number(key) for key in (first, second)] == [1000, 1001]
    numbers.free(1000)
    assert [numbers.number(key) for key in (first, second, third)] == [1000, 1001, 1000]
    numbers.free(1001)
    assert numbers.number(second) == 1000


def test_freeing_what_nobody_has_does_nothing() -> None:
    """Nor does freeing it twice."""
    numbers = InodeNumbers("https://host")
    numbers.free(5)
    numbers.claim(5, ("x",))
    numbers.free(5)
    numbers.free(5)


def test_an_inode_goes_with_its_last_lookup() -> None:
    """The kernel's count and ours agree."""
    numbers = InodeNumbers("https://host")
    table: InodeTable[_Node] = InodeTable(numbers, _Node(("root",), ROOT_INO))
    node = _Node(("x",), numbers.number(("x",)))
    assert table.get(node.ino) is None
    inode = table.looked_up(node)
    assert table.looked_up(_Node(("x",), node.ino)) is inode
    assert (inode.lookups, len(table)) == (2, 2)
    inode.told_size_bytes = 5
    table.forget(node.ino, 1)
    assert table[node.ino].told_size_bytes == 5
    table.forget(node.ino, 1)
    assert table.get(node.ino) is None
    assert table.looked_up(node).told_size_bytes is None


def test_the_root_is_never_forgotten() -> None:
    """However often the kernel says so; what is not known can be forgotten, too."""
    table: InodeTable[_Node] = InodeTable(InodeNumbers("https://host"), _Node(("root",), ROOT_INO))
    table.forget(ROOT_INO, 100)
    table.forget(12345, 1)
    assert table.get(ROOT_INO) is not None
    assert len(table) == 1


class _KernelAndTable(RuleBasedStateMachine):
    """A kernel looks up and forgets nodes whose hashes collide all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers = InodeNumbers("https://host")
        patched = pytest.MonkeyPatch()
        patched.setattr(self.numbers, "_hash", lambda key, salt: 100 + (len(key[0]) + salt) % 50)
        self.table: InodeTable[_Node] = InodeTable(self.numbers, _Node(("root",), ROOT_INO))
        self.known: dict[Key, tuple[int, int]] = {}

    @rule(name=st.text("ab", min_size=1, max_size=3))
    def look_up(self, name: str) -> None:
        key = (name,)
        ino = self.numbers.number(key)
        assert self.table.looked_up(_Node(key, ino)).node.key == key
        known_ino, lookups = self.known.get(key, (ino, 0))
        assert ino == known_ino
        self.known[key] = (ino, lookups + 1)

    @rule(name=st.text("ab", min_size=1, max_size=3), lookups=st.integers(1, 3))
    def forget(self, name: str, lookups: int) -> None:
        ino, held = self.known.get((name,), (0, 0))
        lookups = min(lookups, held)
        if lookups:
            self.table.forget(ino, lookups)
            self.known[(name,)] = (ino, held - lookups)
            if held == lookups:
                del self.known[(name,)]

    @invariant()
    def every_number_is_one_key(self) -> None:
        assert len(self.table) == len(self.known) + 1
        for key, (ino, lookups) in self.known.items():
            inode = self.table[ino]
            assert (inode.node.key, inode.lookups) == (key, lookups)


TestKernelAndTable = _KernelAndTable.TestCase
