"""What stat(2) says of an inode, and how long it may be believed."""

from math import inf
from typing import Final, NamedTuple

# The lifetime of what can never change; the kernel forgets it earlier when it has to.
FOREVER_S: Final = inf
# Times must not be "now": rsync and backups compare them.
EPOCH_NS: Final = 0


class Attrs(NamedTuple):
    """Describe an inode: sizes in bytes, times in nanoseconds since 1970 UTC, lifetimes in seconds.

    `size_bytes` is None where the size is not known yet and was not asked for: such an entry may
    be listed, with no lifetime, and is asked for when somebody looks at it.
    """

    ino: int
    is_directory: bool
    size_bytes: int | None
    mtime_ns: int
    entry_ttl_s: float
    attr_ttl_s: float
