"""The rows of the table, in the order of these imports; each module registers its own."""

from benchmarks.bench import ROWS  # noqa: I001 - the order is that of the table
from benchmarks.rows import requests, files, daemon, listing, walking, inodes, hosts  # noqa: F401

__all__ = ["ROWS"]
