"""Make settings of what was chosen by flags, variables and configuration."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

if TYPE_CHECKING:
    from attachfs.access.settings import Settings
    from attachfs.archive.credentials import Credentials

_MEMORY_CACHE_BYTES: Final = 256 * 1024 * 1024


def settings(
    context: click.Context, options: Mapping[str, Any], *, alone: bool = True
) -> "Settings":
    """Return the settings of an archive, checked as far as it goes without asking anybody.

    Where the process is ours `alone`, its umask becomes 077, and secrets go from its environment.
    Raises `SetupError`.
    """
    import os

    from attachfs.archive.http.trust import trust
    from attachfs.archive.http.urls import base_url
    from attachfs.cli.credentials import choose
    from attachfs.cli.public import parse_public_assets

    if alone:
        os.umask(0o077)  # also of ~/.cache, where that is not there yet
    url = base_url(options["url"], allow_http=options["allow_http"])
    if options["ca_bundle"] is not None:
        trust(options["ca_bundle"])  # a mistake in it is told before anything else happens
    public_assets = parse_public_assets(options["public_asset"], archive_url=url)
    credentials = choose(context, options, url=url, take=alone)
    return assembled(options, url=url, credentials=credentials, public_assets=public_assets)


def assembled(
    options: Mapping[str, Any],
    *,
    url: str,
    credentials: "Credentials | None",
    public_assets: tuple[str, ...],
) -> "Settings":
    """Return the settings that options come to, with what was made of some of them."""
    from attachfs.access.settings import Settings
    from attachfs.archive.endpoints import ScanPolicy

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
        shared_store=options["shared_store"],
    )


def cache_dir(given: Path | None) -> Path:
    """Return the cache directory, the user's own where none is given."""
    import platformdirs

    return given or platformdirs.user_cache_path("attachfs").absolute()


def memory_cache_bytes(given: int | None) -> int:
    """Return the size of the cache in memory; by default, no more than this machine allows."""
    from attachfs.access.limits import memory_share_bytes

    return memory_share_bytes(_MEMORY_CACHE_BYTES) if given is None else given
