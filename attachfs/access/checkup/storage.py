"""The cache: whether it is ours, what room there is, and whether what is in it is whole."""

import os
from collections.abc import Iterator
from pathlib import Path

from attachfs.access.cache_directory import require_own, try_cache, unusable
from attachfs.access.checkup.findings import Check, Finding, in_thread, ok, skipped, warning
from attachfs.access.settings import Settings
from attachfs.content.inspection import Inspection, inspect
from attachfs.errors import NO_ROOM, CacheUnusable
from attachfs.wording import rough_size


class Storage:
    """Check the cache of a mount; objects are verified for `limit_s` at most."""

    def __init__(self, settings: Settings, *, limit_s: float) -> None:
        self._settings = settings
        self._limit_s = limit_s
        self._inspection: Inspection | None = None

    def checks(self) -> Iterator[Check]:
        """Yield the checks in the order in which they depend on one another."""
        yield Check("cache", in_thread(self._directory))
        yield Check("disk", in_thread(self._disk), after=("cache",))
        yield Check("objects", in_thread(self._objects), after=("cache",))
        yield Check("leftovers", in_thread(self._leftovers), after=("objects",))

    def _directory(self) -> Finding:
        directory = self._settings.cache_dir
        try:
            directory.stat()
        except FileNotFoundError:
            return self._missing(directory)
        except OSError as error:
            raise unusable(directory, error) from error
        try:
            require_own(directory)
            try_cache(directory)
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise unusable(directory, error) from error
            return warning(
                f"nothing can be written to {directory}: {error.strerror}",
                "a mount goes on in memory, and forgets; make room, or give another --cache-dir",
            )
        return ok(f"{directory} is ours and takes what is written")

    def _missing(self, directory: Path) -> Finding:
        parent = _existing(directory)
        if not os.access(parent, os.W_OK | os.X_OK, effective_ids=True):
            raise CacheUnusable(
                f"{directory} is not there, and {parent} is not ours to make it in; "
                "give one of yours with --cache-dir"
            )
        return ok(f"{directory} is not there yet; the first mount makes it")

    def _disk(self) -> Finding:
        disk = os.statvfs(_existing(self._settings.cache_dir))
        free_bytes = disk.f_bavail * disk.f_frsize
        fraction = self._settings.cache_min_free_fraction
        wanted_bytes = int(disk.f_blocks * disk.f_frsize * fraction)
        found = f"{rough_size(free_bytes)} are free"
        if free_bytes < wanted_bytes:
            return warning(
                f"{found}, less than the {rough_size(wanted_bytes)} to leave free",
                f"nothing is kept unless older things go: make room, "
                f"or lower --cache-min-free ({fraction:.0%})",
            )
        return ok(f"{found}, {rough_size(wanted_bytes)} are to be left free")

    def _objects(self) -> Finding:
        root = self._settings.cache_dir / "objects"
        found = self._inspection = inspect(root, most_s=self._limit_s)
        most_bytes = self._settings.cache_size_bytes
        size = f"{found.objects:,} take {rough_size(found.used_bytes)} of {rough_size(most_bytes)}"
        if not found.objects:
            return ok("none yet")
        if found.damaged:
            return warning(
                f"{size}; of {found.verified} that were verified, {len(found.damaged)} are "
                f"damaged: {', '.join(found.damaged[:3])}",
                "they are noticed, and fetched again; have a look at the disk and at who may "
                f"write to {root}",
            )
        if found.used_bytes > most_bytes:
            return warning(size, "the next download evicts the oldest, down to --cache-size")
        return ok(f"{size}; {found.verified} were verified, none is damaged")

    def _leftovers(self) -> Finding:
        if self._inspection is None:
            return skipped("unknown")
        orphans = self._inspection.orphans
        if orphans:
            return warning(
                f"{orphans} unfinished downloads of a mount that was killed",
                "the next mount removes them",
            )
        return ok("none")


def _existing(path: Path) -> Path:
    """Return the nearest directory around a path, or the path, that is there."""
    return next(around for around in (path, *path.parents) if around.exists())
