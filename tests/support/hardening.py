"""Run the program as a systemd unit restricts it, where no systemd runs: by the same means."""

import ctypes
import os
import re
import subprocess
from pathlib import Path
from typing import Final

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_CAPBSET_DROP: Final = 24
_PR_SET_MDWE: Final = 65
_CAP_SYS_ADMIN: Final = 21
_SCMP_ACT_ALLOW: Final = 0x7FFF0000
_SCMP_ACT_ERRNO: Final = 0x00050000
_SCMP_CMP_EQ: Final = 4
_FAMILIES: Final = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}

RESTRICTED: Final = """
import os, sys
from pathlib import Path
from tests.support.hardening import restrict
restrict(Path({unit!r}))
os.execv(sys.executable, [sys.executable, "-m", "attachfs", *sys.argv[1:]])
"""


class _ArgumentCheck(ctypes.Structure):
    _fields_ = [
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("datum_a", ctypes.c_uint64),
        ("datum_b", ctypes.c_uint64),
    ]


def options(unit: Path) -> list[tuple[str, str]]:
    """Return the options of a unit, in their order."""
    lines = (line.partition("=") for line in unit.read_text().splitlines())
    return [(name, value) for name, equals, value in lines if equals and name.isalpha()]


def restrict(unit: Path) -> None:
    """Take from this process, and from what it executes, what a unit takes from a service.

    That is capabilities, new privileges, executable memory, system calls, families of sockets and
    the umask.
    """
    found = options(unit)
    values = dict(found)
    libc = ctypes.CDLL(None, use_errno=True)
    assert values["CapabilityBoundingSet"] == "CAP_SYS_ADMIN"
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in set(range(last + 1)) - {_CAP_SYS_ADMIN}:
        assert libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0
    assert values["NoNewPrivileges"] == "yes"
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert values["MemoryDenyWriteExecute"] == "yes"
    libc.prctl(_PR_SET_MDWE, 1, 0, 0, 0)  # since Linux 6.3; systemd has a filter for it
    os.umask(int(values["UMask"], 8))
    allowed: set[str] = set()
    for name, value in found:
        if name == "SystemCallFilter":
            calls = {call for word in value.removeprefix("~").split() for call in _calls(word)}
            allowed = allowed - calls if value.startswith("~") else allowed | calls
    _filter(allowed, {_FAMILIES[name] for name in values["RestrictAddressFamilies"].split()})


def _calls(word: str) -> set[str]:
    """Return the system calls that a word of SystemCallFilter stands for."""
    if not word.startswith("@"):
        return {word}
    lines = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", word],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    members = [line.strip() for line in lines if re.fullmatch(r" +@?\w[\w-]*", line)]
    return {call for member in members for call in _calls(member)}


def _filter(allowed: set[str], families: set[int]) -> None:
    """Refuse all other system calls, and sockets of other families, with EPERM."""
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    rules = ctypes.c_void_p(seccomp.seccomp_init(_SCMP_ACT_ERRNO | 1))
    for call in allowed - {"socket"}:
        number = seccomp.seccomp_syscall_resolve_name(call.encode())
        if number >= 0:  # others are of other architectures
            assert seccomp.seccomp_rule_add(rules, _SCMP_ACT_ALLOW, number, 0) == 0
    number = seccomp.seccomp_syscall_resolve_name(b"socket")
    for family in families:
        check = _ArgumentCheck(0, _SCMP_CMP_EQ, family, 0)
        added = seccomp.seccomp_rule_add_array(
            rules, _SCMP_ACT_ALLOW, number, 1, ctypes.byref(check)
        )
        assert added == 0
    assert seccomp.seccomp_load(rules) == 0
