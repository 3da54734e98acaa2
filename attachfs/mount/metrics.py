"""What a mount measures, for Prometheus: every metric with its meaning, in one table."""

import time
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from attachfs.access.opened import Opened
from attachfs.mount.tally import TALLY

Samples = Mapping[tuple[str, ...], float]


class Measure(NamedTuple):
    """Describe a metric: `read` returns its values by those of its labels."""

    name: str
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[Opened], Samples]

    @property
    def counts(self) -> bool:
        """Tell whether it only ever grows, by the suffix that such names have."""
        return self.name.endswith("_total")


def _one(value: float) -> Samples:
    return {(): value}


def _by_name(counts: Mapping[str, int] | Mapping[int, int]) -> Samples:
    return {(str(name),): count for name, count in dict(counts).items()}


def _errors() -> Samples:
    return {(operation, error): n for (operation, error), n in list(TALLY.errors.items())}


def _served(archive: Opened) -> Samples:
    served = archive.content.served
    return {
        ("memory",): served.memory,
        ("disk",): served.disk,
        ("shared",): served.shared,
        ("shared_store",): served.shared_store,
        ("archive",): served.fetched,
    }


def _lookups(archive: Opened) -> Samples:
    lookups = archive.catalog.lookups
    return {("known",): lookups.known, ("archive",): lookups.asked, ("stale",): lookups.stale}


def _token_left(archive: Opened) -> Samples:
    credentials = archive.settings.credentials
    left_s = None if credentials is None else credentials.left_s
    return {} if left_s is None else _one(left_s)


MEASURES: Final = (
    Measure(
        "attachfs_info",
        "Always 1: which version is mounted, and of which archive.",
        ("version", "url"),
        lambda archive: {(version("attachfs"), archive.archive.url): 1},
    ),
    Measure(
        "attachfs_server_up",
        "1 while the server answers, 0 in an outage.",
        (),
        lambda archive: _one(archive.archive.policy.breaker.error is None),
    ),
    Measure(
        "attachfs_token_left_seconds",
        "For how long the token still serves, where that is known; below 0 once it is over.",
        (),
        _token_left,
    ),
    Measure(
        "attachfs_operations_total",
        "What the kernel asked for.",
        ("operation",),
        lambda _: _by_name(TALLY.operations),
    ),
    Measure(
        "attachfs_operation_errors_total",
        "What of it failed, by the kind of error; NotFound is nothing to worry about.",
        ("operation", "error"),
        lambda _: _errors(),
    ),
    Measure(
        "attachfs_requests_total",
        "Answers of the server, by status.",
        ("status",),
        lambda archive: _by_name(archive.archive.traffic.answers),
    ),
    Measure(
        "attachfs_request_failures_total",
        "Requests without an answer, by the kind of error.",
        ("error",),
        lambda archive: _by_name(archive.archive.traffic.failures),
    ),
    Measure(
        "attachfs_request_wait_seconds_total",
        "Time from sending requests until their headers came, summed.",
        (),
        lambda archive: _one(archive.archive.traffic.wait_s),
    ),
    Measure(
        "attachfs_body_bytes_total",
        "Bytes of attachments that the server sent.",
        (),
        lambda archive: _one(archive.archive.traffic.body_bytes),
    ),
    Measure(
        "attachfs_bodies_total",
        "Attachments that were read, by where they were: in memory, on disk, being downloaded for "
        "another reader (shared), in the --shared-store, or at the archive.",
        ("source",),
        _served,
    ),
    Measure(
        "attachfs_mismatches_total",
        "Downloads that were not what was recorded, and attachments whose digests disagree.",
        (),
        lambda archive: _one(archive.content.served.mismatches),
    ),
    Measure(
        "attachfs_read_ahead_wasted_bytes_total",
        "Bytes that were fetched ahead and that nobody asked for within 30 seconds.",
        (),
        lambda archive: _one(archive.content.wasted_bytes),
    ),
    Measure(
        "attachfs_lookups_total",
        "Records and /info that were needed, by where they were: known already, at the archive, or "
        "known and too old, where the archive could not be asked (stale).",
        ("source",),
        _lookups,
    ),
    Measure(
        "attachfs_store_bytes",
        "Bytes in the cache directory.",
        (),
        lambda archive: {} if archive.store is None else _one(archive.store.used_bytes()),
    ),
    Measure(
        "attachfs_store_max_bytes",
        "The most bytes that may be there (--cache-size).",
        (),
        lambda archive: {} if archive.store is None else _one(archive.store.max_bytes),
    ),
    Measure(
        "attachfs_memory_bytes",
        "Bytes of attachments in memory (at most --memory-cache).",
        (),
        lambda archive: _one(archive.content.memory_bytes),
    ),
    Measure(
        "attachfs_scrape_time_seconds",
        "When this was written, in seconds since 1970 UTC, by the mount's clock.",
        (),
        lambda _: _one(time.time()),
    ),
)


class _MountCollector(Collector):
    def __init__(self, archive: Opened) -> None:
        self._archive = archive

    def collect(self) -> Iterator[Metric]:
        """Read every measure; may be called from any thread."""
        for measure in MEASURES:
            kind = CounterMetricFamily if measure.counts else GaugeMetricFamily
            family = kind(measure.name, measure.meaning, labels=measure.labels)
            for labels, value in measure.read(self._archive).items():
                family.add_metric(list(labels), value)
            yield family


def registry_of(archive: Opened) -> CollectorRegistry:
    """Return a registry with all measures of a mount, and those of its process (`process_*`)."""
    registry = CollectorRegistry()
    registry.register(_MountCollector(archive))
    ProcessCollector(registry=registry)
    return registry


def metrics_text(archive: Opened) -> str:
    """Return all measures in Prometheus' text format."""
    return generate_latest(registry_of(archive)).decode()
