"""What an estate of any size costs, by what a small one did: arithmetic, and nothing else.

A place is a file of the tree: an attachment of an asset or of an event. A body is had once,
however many places have it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Final, Self

from harness.archive import REFUSALS
from scaling.estate import Size
from scaling.stages import Figures, Run

# One process hashes and receives so much over TLS: cold-tls of docs/performance.md, 256 MiB in
# 1.04 s. It is work of other threads for the most part, so that adding it is cautious.
BODY_BYTES_PER_S: Final = 256 * 1024**2 / 1.04
# What a small request takes of a processor, as /info in cp-0 there.
REQUEST_CPU_S: Final = 0.0005
# What is found runs so far ahead of what is hashed (`attachfs.audit.rounds`).
_AHEAD: Final = 10_000


Confirms = Enum("Confirms", ["NEVER", "LATE", "ALWAYS"])
"""When the right to read is confirmed by requests of its own.

Where no program reads, never; where all was known before, always; else where it comes late.
"""
_CONFIRMS: Final = {"again": Confirms.ALWAYS, "list": Confirms.NEVER}


@dataclass(frozen=True, slots=True)
class Work:
    """What a command takes a place and a body, beyond what one asset takes.

    `cpu_s` is a place's, and nearly all on one core; `fixed_s` is what starting takes,
    `memory_bytes` what a place adds to the most that is held.
    """

    infos: float
    bodies: float
    pages_an_asset: float
    confirms: Confirms
    cpu_s: float
    fixed_s: float
    memory_bytes: float
    fixed_bytes: float

    @classmethod
    def of(cls, run: Run, size: Size, start: Run, confirms: Confirms) -> Self:
        """Return what a run on an estate shows, beside one on a single asset of it."""
        beside = {REFUSALS, "asset records", "event records"}  # the latter as `confirms` has it
        requests = {kind: count for kind, count in run.requests.items() if kind not in beside}
        infos, bodies = requests.pop("infos", 0), requests.pop("bodies", 0)
        return cls(
            infos=infos / size.places,
            bodies=bodies / size.attachments,
            pages_an_asset=sum(requests.values()) / size.assets,
            confirms=confirms,
            cpu_s=max(run.cpu_s - start.cpu_s, 0) / size.places,
            fixed_s=start.cpu_s,
            memory_bytes=max(run.peak_bytes - start.peak_bytes, 0) / size.places,
            fixed_bytes=start.peak_bytes,
        )

    @classmethod
    def of_stage(cls, figures: Figures, stage: str) -> Self:
        """Return what a stage of some figures shows."""
        confirms = _CONFIRMS.get(stage, Confirms.LATE)
        return cls.of(figures.runs[stage], figures.size, figures.runs["start"], confirms)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a server and a network allow, and what is given to the work.

    `rate` is in requests a second, 0 for no limit; `workers` are processes, each with a share.
    `ttl_s` is --metadata-ttl.
    """

    rate: float = 0.0
    bytes_per_s: float = 125e6
    workers: int = 1
    ttl_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What it comes to; `bound` says which of the three takes longest."""

    requests: float
    egress_bytes: float
    memory_bytes: float
    times_s: Mapping[str, float]

    @property
    def seconds(self) -> float:
        """How long it takes: as long as what takes longest."""
        return max(self.times_s.values())

    @property
    def bound(self) -> str:
        """What takes longest."""
        return max(self.times_s, key=lambda name: self.times_s[name])


def cost(
    work: Work, size: Size, bounds: Bounds, *, body_bytes: float, request_bytes: float
) -> Cost:
    """Return what work on an estate costs, whose bodies have so many bytes on average.

    `request_bytes` are those of a request and its answer without a body, headers with them.
    """
    bodies = work.bodies * size.attachments
    fixed = work.pages_an_asset * size.assets
    infos = work.infos * size.places
    records = size.assets + size.events if confirms_again(work, size, bounds) else 0
    requests = fixed + infos + bodies + records
    egress_bytes = requests * request_bytes + bodies * body_bytes
    items_s = work.cpu_s * size.places + REQUEST_CPU_S * records
    cpu_s = items_s + bodies * body_bytes / BODY_BYTES_PER_S
    return Cost(
        requests,
        egress_bytes,
        work.fixed_bytes + work.memory_bytes * size.places / bounds.workers,
        {
            "requests": requests / bounds.rate if bounds.rate else 0.0,
            "bandwidth": egress_bytes / bounds.bytes_per_s,
            "process": work.fixed_s + cpu_s / bounds.workers,
        },
    )


def confirms_again(work: Work, size: Size, bounds: Bounds) -> bool:
    """Return whether the records of all assets and events are requested, each by itself.

    A read confirms the right to read by the record; the one of the listing will do while it is
    cached. What is found waits to be hashed, 10,000 places at most.
    """
    if work.confirms is not Confirms.LATE:
        return work.confirms is Confirms.ALWAYS
    places_per_s = bounds.workers / work.cpu_s if work.cpu_s else inf  # too little to measure
    if bounds.rate:
        requests_a_place = work.infos + work.bodies * size.attachments / size.places
        places_per_s = min(places_per_s, bounds.rate / requests_a_place)
    return min(size.places, _AHEAD * bounds.workers) / places_per_s > bounds.ttl_s
