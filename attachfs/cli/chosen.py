"""Make settings of what was chosen by flags, variables and configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from attachfs.access.settings import Settings

_MEMORY_CACHE_BYTES: Final = 256 * 1024 * 1024


def settings(context: click.Context, options: Mapping[str, Any]) -> "Settings":
    """Return the settings of an archive, checked as far as it goes without asking anybody.

    The umask of the process becomes 077. Raises
    `SetupError`.
    """
    import os

    from attachfs.access.settings import Settings
    from attachfs.archive.endpoints import ScanPolicy
    from attachfs.archive.transport import base_url, trust
    from attachfs.cli.credentials import choose
    from attachfs.cli.public import parse_public_assets

    os.umask(0o077)  # also of ~/.cache, where that is not there yet
    url = base_url(options["url"], allow_http=options["allow_http"])
    if options["ca_bundle"] is not None:
        trust(options["ca_bundle"])  # a mistake in it is told before anything else happens
    public_assets = parse_public_assets(options["public_asset"], archive_url=url)
    credentials = choose(context, options, url=url)
    return Settings(
        url=url,
        credentials=credentials,
        cache_dir=cache_dir(options["cache_dir"]),
        cache_size_bytes=options["cache_size"],
        cache_min_free_fraction=options["cache_min_free"],
        memory_cache_bytes=memory_cache_bytes(options["memory_cache"]),
        verify_first_bytes=options["verify_first"],
        read_ahead_files=options["read_ahead"],
        metadata_ttl_s=options["metadata_ttl"],
        negative_ttl_s=options["negative_ttl"],
        stale_ok_s=options["stale_ok"],
        timeout_s=options["timeout"],
        scan_policy=ScanPolicy(options["scan_policy"]),
        untracked=options["untracked"],
        public=options["public"],
        public_assets=public_assets,
        ca_bundle=options["ca_bundle"],
    )


def cache_dir(given: Path | None) -> Path:
    """Return the cache directory, the user's own where none is given."""
    import platformdirs

    return given or platformdirs.user_cache_path("attachfs").absolute()


def memory_cache_bytes(given: int | None) -> int:
    """Return the size of the cache in memory; by default, no more than this machine allows."""
    from attachfs.access.limits import memory_share_bytes

    return memory_share_bytes(_MEMORY_CACHE_BYTES) if given is None else given


def make_cache(directory: Path) -> None:
    """Make the cache directory; a full or read-only disk is no mistake.

    Raises `CacheUnusable` for one that is not ours to write.
    """
    import tempfile

    from attachfs.errors import NO_ROOM, CacheUnusable

    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        if error.errno in NO_ROOM:
            return  # it goes on in memory and says so
        raise CacheUnusable(
            f"cannot write to the cache directory {directory}: {error.strerror}; "
            "give one of yours with --cache-dir"
        ) from error
