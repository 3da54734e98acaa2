"""Running the archive: directory, socket, credentials, server."""

import errno
import os
import shutil
import socket
import ssl
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import trio
from hypercorn.config import Config
from hypercorn.trio import serve

from attachfs.demo.api.app import create_app
from attachfs.demo.archive import CLIENT_ID, Archive
from attachfs.demo.errors import ArchiveError
from attachfs.demo.estate import seed
from attachfs.demo.switches import Switches

# The token in the file must outlast any demonstration; fetched ones obey the switch.
_FILE_TOKEN_LIFETIME_S = 30 * 24 * 3600.0
_GRACE_S = 0.1
_BACKLOG = 1024


@dataclass(frozen=True, kw_only=True)
class ArchiveConfig:
    """How an archive shall run.

    Attributes:
        port: TCP port; 0 is any free one.
        host: Address to listen on.
        data_dir: Storage that is kept; None is a private directory removed at the end.
        empty: Whether to leave the sample estate out of an empty storage.
        latency_s: Waited before every response.
        tls: Certificate and key files, in PEM.
        switches: Behaviour where the contract leaves it open.
    """

    port: int = 0
    host: str = "127.0.0.1"
    data_dir: Path | None = None
    empty: bool = False
    latency_s: float = 0.0
    tls: tuple[Path, Path] | None = None
    switches: Switches = field(default_factory=Switches)


@dataclass(frozen=True)
class RunningArchive:
    """Where a running archive is and how to get in.

    Attributes:
        url: Base URL without a trailing slash.
        token_file: One line `Authorization: Bearer <jwt>`, mode 0600 in a directory 0700.
        client_id: For the token endpoint.
        client_secret_file: One line with the secret, mode 0600.
        archive: The archive itself, for code of the same process.
    """

    url: str
    token_file: Path
    client_id: str
    client_secret_file: Path
    archive: Archive = field(repr=False, compare=False)


async def run_archive(
    config: ArchiveConfig,
    *,
    task_status: trio.TaskStatus[RunningArchive] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an archive until cancelled.

    Args:
        config: How.
        task_status: Told where the archive is once it accepts connections.

    Raises:
        ArchiveError: Storage, port or certificate cannot be used.
    """
    root = config.data_dir
    temporary = None
    if root is None:
        temporary = Path(tempfile.mkdtemp(prefix="attachfs-archive-"))
        root = temporary / "archive"
    try:
        _check_certificate(config.tls)
        archive = Archive(root, config.switches)
        try:
            if not config.empty:
                seed(archive)
            await _serve(config, archive, task_status)
        finally:
            archive.close()
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)


async def _serve(
    config: ArchiveConfig, archive: Archive, task_status: trio.TaskStatus[RunningArchive]
) -> None:
    listener = _listen(config)
    try:
        host, port = listener.getsockname()[:2]
        scheme = "http" if config.tls is None else "https"
        archive.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        token_file, secret_file = _write_credentials(archive)
        server = Config()
        # Hypercorn adopts and closes the descriptor it is given.
        server.bind = [f"fd://{listener.detach()}"]
    finally:
        listener.close()
    server.backlog = _BACKLOG
    server.errorlog = None
    server.include_server_header = False
    server.graceful_timeout = _GRACE_S
    server.keep_alive_timeout = 60.0
    server.keep_alive_max_requests = 1_000_000
    if config.tls is not None:
        server.certfile, server.keyfile = map(str, config.tls)
    running = RunningArchive(archive.url, token_file, CLIENT_ID, secret_file, archive)
    async with trio.open_nursery() as nursery:
        app = create_app(archive, config.latency_s)
        await nursery.start(lambda task_status: serve(app, server, task_status=task_status))  # type: ignore[arg-type]
        task_status.started(running)


def _check_certificate(tls: tuple[Path, Path] | None) -> None:
    """Refuse certificate files that TLS could not be spoken with."""
    if tls is None:
        return
    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(*tls)
    except (OSError, ssl.SSLError) as error:
        raise ArchiveError(
            f"The certificate {tls[0]} with the key {tls[1]} cannot be used ({error}): "
            "give two PEM files that belong together."
        ) from error


def _listen(config: ArchiveConfig) -> socket.socket:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            config.host, config.port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise ArchiveError(
            f"{config.host} is no address to listen on ({error.strerror}): give another one."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        reason = (
            "is in use" if error.errno == errno.EADDRINUSE else f"cannot be used ({error.strerror})"
        )
        raise ArchiveError(
            f"Port {config.port} of {config.host} {reason}: give another one, or 0 for any."
        ) from error
    return listener


def _write_credentials(archive: Archive) -> tuple[Path, Path]:
    """Write token and secret where only the owner can read them (contract §1.2)."""
    identities = archive.identities
    secret = identities.secret_of(CLIENT_ID)
    if secret is None:
        created = identities.create_application({"display_name": "attachfs demo"}, uuid=CLIENT_ID)
        secret = str(created["credentials"][0]["secret"])
    folder = archive.storage.root / "credentials"
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    token = identities.issue(CLIENT_ID, _FILE_TOKEN_LIFETIME_S, revocable=False)
    token_file = folder / "bearer-token.txt"
    secret_file = folder / "client-secret.txt"
    _write_private(token_file, f"Authorization: Bearer {token}\n")
    _write_private(secret_file, f"{secret}\n")
    return token_file, secret_file


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
