"""`attachfs mount`: mount an archive on a directory."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from attachfs.cli.logs import LEVELS
from attachfs.cli.parameters import AbsolutePath, Duration, Percentage, Size, SizeOrAll

_SIZE = Size()
_DURATION = Duration()
_MEMORY_CACHE_BYTES = 256 * 1024 * 1024
_PATH = AbsolutePath()


def _option(name: str, *aliases: str, **attributes: Any) -> Callable[[Any], Any]:
    """Declare an option that ATTACHFS_<NAME>, or one of the official SDK's variables, sets too."""
    variable = "ATTACHFS_" + name.removeprefix("--").replace("-", "_").upper()
    return click.option(name, envvar=[variable, *aliases], show_envvar=True, **attributes)


@click.command("mount")
@click.argument("mountpoint", type=_PATH)
@_option(
    "--url",
    "DATATRAILS_URL",
    default="https://app.datatrails.ai",
    show_default=True,
    help="Base URL of the archive.",
)
@_option(
    "--token-file",
    "DATATRAILS_AUTHTOKEN_FILENAME",
    type=_PATH,
    help="File with the bearer token, as `curl -H @FILE` takes it, or the bare token; "
    "mode 0600; read again when it changes.  [default: none]",
)
@_option(
    "--client-id",
    "DATATRAILS_APPREG_CLIENT",
    help="Client id of an app registration.  [default: none]",
)
@_option(
    "--client-secret-file",
    "DATATRAILS_APPREG_SECRET_FILENAME",
    type=_PATH,
    help="File with its secret; mode 0600.  [default: none]",
)
@_option(
    "--public",
    is_flag=True,
    help="Mount without credentials: public assets only.  [default: no]",
)
@_option(
    "--public-asset",
    multiple=True,
    metavar="URL|UUID",
    help="A public asset to list in publicassets/, by its public URL or UUID; may be repeated.  "
    "[default: none]",
)
@_option(
    "--cache-dir",
    type=AbsolutePath(file_okay=False),
    help="Directory for local copies.  [default: $XDG_CACHE_HOME/attachfs]",
)
@_option(
    "--cache-size",
    type=_SIZE,
    default="10GiB",
    show_default=True,
    help="Most bytes to hold in the cache directory.",
)
@_option(
    "--cache-min-free",
    type=Percentage(),
    default="5%",
    show_default=True,
    help="How much of the disk the cache leaves free.",
)
@_option(
    "--memory-cache",
    type=_SIZE,
    help="Most bytes of attachments to hold in memory.  [default: 256MiB, or an eighth of what the "
    "control group allows where that is less]",
)
@_option(
    "--verify-first",
    type=SizeOrAll(),
    default="4MiB",
    show_default=True,
    help="Up to which size all of an attachment is verified before its first byte is read: a size "
    "or `all`. Of larger ones, the end is withheld until all is verified.",
)
@_option(
    "--read-ahead",
    type=click.IntRange(0, 64),
    default=64,
    show_default=True,
    metavar="FILES",
    help="How many files are fetched ahead, at most, of whoever goes through a directory in order; "
    "0 for none.",
)
@_option(
    "--metadata-ttl",
    type=_DURATION,
    default="60s",
    show_default=True,
    help="How long listings, records and the right to read are believed.",
)
@_option(
    "--negative-ttl",
    type=_DURATION,
    default="5s",
    show_default=True,
    help="How long a name that does not exist is believed not to exist.",
)
@_option(
    "--stale-ok",
    type=_DURATION,
    default="1h",
    show_default=True,
    help="How much longer what is known is served where the server cannot be asked.",
)
@_option(
    "--timeout",
    type=Duration(least_s=0.1),
    default="30s",
    show_default=True,
    help="How long an operation may wait for the server before it fails; one that cannot be "
    "connected to is given up after 10s.",
)
@_option(
    "--scan-policy",
    type=click.Choice(["allow", "block-bad", "require-ok"]),
    default="block-bad",
    show_default=True,
    help="Which attachments may be read, by their malware scan: all, all but SCANNED_BAD, "
    "SCANNED_OK only.",
)
@_option("--untracked", is_flag=True, help="List untracked assets too.  [default: no]")
@_option(
    "--ca-bundle",
    "SSL_CERT_FILE",
    type=_PATH,
    help="PEM file of the certificate authorities to trust, instead of the system's.  "
    "[default: the system's]",
)
@_option("--allow-http", is_flag=True, help="Allow plain http to other hosts.  [default: no]")
@_option("--foreground", is_flag=True, help="Stay in the foreground.  [default: no]")
@_option(
    "--log-level",
    type=click.Choice(LEVELS),
    default="info",
    show_default=True,
    help="Least severe events to log.",
)
@click.pass_context
def command(
    context: click.Context,
    *,
    mountpoint: Path,
    url: str,
    token_file: Path | None,
    client_id: str | None,
    client_secret_file: Path | None,
    public: bool,
    public_asset: tuple[str, ...],
    cache_dir: Path | None,
    cache_size: int,
    cache_min_free: float,
    memory_cache: int | None,
    verify_first: int,
    read_ahead: int,
    metadata_ttl: float,
    negative_ttl: float,
    stale_ok: float,
    timeout: float,
    scan_policy: str,
    untracked: bool,
    ca_bundle: Path | None,
    allow_http: bool,
    foreground: bool,
    log_level: str,
) -> int:
    """Mount an archive on the directory MOUNTPOINT.

    Returns once the mount answers; `attachfs umount MOUNTPOINT` ends it. Sizes are written like
    512MiB, durations like 30s or 10m.
    """
    import os

    import platformdirs

    from attachfs.archive.endpoints import ScanPolicy
    from attachfs.archive.transport import base_url, trust
    from attachfs.cli.credentials import choose, forgo
    from attachfs.cli.public import parse_public_assets
    from attachfs.mount.daemon import run_in_background
    from attachfs.mount.limits import memory_share_bytes
    from attachfs.mount.mountpoint import absolute, check, check_fuse
    from attachfs.mount.settings import Settings

    os.umask(0o077)  # also of ~/.cache, where that is not there yet
    url = base_url(url, allow_http=allow_http)
    if ca_bundle is not None:
        trust(ca_bundle)  # a mistake in it is told before anything else happens
    public_assets = parse_public_assets(public_asset, archive_url=url)
    credentials = None
    if public:
        forgo(context)
    else:
        credentials = choose(
            context,
            url=url,
            token_file=token_file,
            client_id=client_id,
            client_secret_file=client_secret_file,
        )
    mountpoint = absolute(mountpoint)
    check_fuse()
    check(mountpoint)
    cache_dir = cache_dir or platformdirs.user_cache_path("attachfs").absolute()
    _check_cache(cache_dir)
    settings = Settings(
        url=url,
        credentials=credentials,
        cache_dir=cache_dir,
        cache_size_bytes=cache_size,
        cache_min_free_fraction=cache_min_free,
        memory_cache_bytes=memory_share_bytes(_MEMORY_CACHE_BYTES)
        if memory_cache is None
        else memory_cache,
        verify_first_bytes=verify_first,
        read_ahead_files=read_ahead,
        metadata_ttl_s=metadata_ttl,
        negative_ttl_s=negative_ttl,
        stale_ok_s=stale_ok,
        timeout_s=timeout,
        scan_policy=ScanPolicy(scan_policy),
        untracked=untracked,
        public=public,
        public_assets=public_assets,
        ca_bundle=ca_bundle,
    )
    if foreground:
        return _serve(settings, mountpoint, log_level, lambda: None)
    log_file = platformdirs.user_log_path("attachfs") / _log_name(mountpoint)
    status = run_in_background(
        lambda on_ready: _serve(settings, mountpoint, log_level, on_ready), log_file
    )
    if status == 0:
        click.echo(f"{url} is mounted on {mountpoint}; log: {log_file}")
    return status


def _check_cache(cache_dir: Path) -> None:
    """Refuse a directory that is not ours to write; a full or read-only disk is no mistake."""
    import tempfile

    from attachfs.errors import NO_ROOM, MountFailed

    try:
        cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=cache_dir).close()
    except OSError as error:
        if error.errno in NO_ROOM:
            return  # the mount goes on in memory and says so
        raise MountFailed(
            f"cannot write to the cache directory {cache_dir}: {error.strerror}; "
            "give one of yours with --cache-dir"
        ) from error


def _serve(settings: Any, mountpoint: Path, log_level: str, on_ready: Callable[[], None]) -> int:
    """Serve until the mount ends; returns the exit code, mistakes printed."""
    import signal

    import trio

    from attachfs.cli.logs import configure
    from attachfs.errors import SetupError
    from attachfs.mount.limits import forbid_core_dumps, raise_descriptor_limit, share_heap
    from attachfs.mount.session import run

    configure(log_level)
    raise_descriptor_limit()
    forbid_core_dumps()
    share_heap()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the mount takes it, to refresh
    try:
        trio.run(lambda: run(settings, mountpoint, on_warning=_warn, on_ready=on_ready))
    except SetupError as error:
        click.echo(f"attachfs: {error}", err=True)
        return error.exit_code
    return 0


def _warn(message: str) -> None:
    click.echo(f"attachfs: warning: {message}", err=True)


def _log_name(mountpoint: Path) -> str:
    """Return a file name that tells mount points apart: `%2F` for each slash."""
    import os
    from urllib.parse import quote

    return quote(os.fsencode(mountpoint).strip(b"/"), safe="")[-200:] + ".log"
