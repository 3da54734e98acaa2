"""What became of each fault: rows noted by tests, of which docs/reliability.md is made."""

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

SURVIVED = "right bytes"
ANSWERED = "an error at once"
REFUSED = "an error within the deadline"

_HEAD = """# What was tried, and what came of it

Made by `scripts/reliability` from what the tests themselves note: {rows} kinds of faults, met
{tried} times, by programs that read through a real mount. A test notes a row once it has seen that
no byte was wrong, that nobody waited beyond the deadline, that the errno is the one that
[semantics.md](semantics.md) promises, and that the mount goes on reading what it has not read yet.
This file is written only where all of them passed: no wrong bytes, no dead mount, no wait beyond a
deadline. What lasts longer is tried by `scripts/soak`.

*Took* is the longest of all tries in seconds, in tests with deadlines of 1 to 9 s in place of the
default of 30 s. Where a test moves the mount's clocks, it is by these, or by the machine's where
that is more.
"""


@dataclass(frozen=True)
class Row:
    """One kind of fault, where it was met, and how all tries of it ended.

    `errno` is the name of the error that readers got, empty where they got right bytes; `longest_s`
    is the longest time in seconds that one of `tried` tries took.
    """

    group: str
    fault: str
    where: str
    tried: int
    outcome: str
    errno: str
    longest_s: float


def record(row: Row) -> None:
    """Append a row to the file that ATTACHFS_RELIABILITY names; nothing where it names none."""
    path = os.environ.get("ATTACHFS_RELIABILITY")
    if path:
        with Path(path).open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def table(rows: list[Row]) -> str:
    """Return the document: one table for each group, in the order they came."""
    tried = sum(row.tried for row in rows)
    parts = [_HEAD.format(rows=len(rows), tried=tried)]
    for group in dict.fromkeys(row.group for row in rows):
        parts.append(f"\n## {group}\n\n| fault | where | tried | outcome | errno | took |\n")
        parts.append("|---|---|--:|---|---|--:|\n")
        parts += [_line(row) for row in rows if row.group == group]
    return "".join(parts)


def _line(row: Row) -> str:
    errno = f"`{row.errno}`" if row.errno.isupper() and " " not in row.errno else row.errno
    cells = (row.fault, row.where, row.tried, row.outcome, errno, f"{row.longest_s:.2f}")
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |\n"


if __name__ == "__main__":
    noted = [Row(**json.loads(line)) for line in Path(sys.argv[1]).read_text().splitlines()]
    sys.stdout.write(table(noted))
