"""The archive starts, stops, survives restarts and says why it cannot (its interface)."""

import os
import shutil
import socket
import stat
from functools import partial
from pathlib import Path

import httpx
import pytest
import trio
import trustme

from attachfs.demo import ArchiveConfig, ArchiveError, RunningArchive, run_archive
from tests.support.plain import NO_AUTHORITIES

ASSETS = "/archivist/v2/assets"


async def start(nursery: trio.Nursery, config: ArchiveConfig) -> RunningArchive:
    """Start an archive in a nursery."""
    running: RunningArchive = await nursery.start(partial(run_archive, config))
    return running


def headers(running: RunningArchive) -> dict[str, str]:
    """Return the header of the token file."""
    name, _, value = running.token_file.read_text().partition(": ")
    return {name: value.strip()}


async def test_credentials_are_private(running: RunningArchive) -> None:
    """The files are 0600 in a directory 0700, the token in the form that curl takes."""
    for path in (running.token_file, running.client_secret_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert path.read_text().count("\n") == 1
    assert running.token_file.read_text().startswith("Authorization: Bearer ey")
    assert running.url.startswith("http://127.0.0.1:")


def _open_to_others(root: Path) -> list[str]:
    """Return the files below a directory that others can read, whatever its own mode."""
    return [
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.stat().st_mode & 0o077
        # What is in a private directory is out of reach.
        and not any(
            stat.S_IMODE(parent.stat().st_mode) == 0o700
            for parent in path.parents
            if parent != root and parent.is_relative_to(root)
        )
    ]


@pytest.mark.parametrize("exists", [False, True], ids=["new", "given"])
async def test_other_users_can_read_nothing_of_kept_storage(
    tmp_path: Path, *, exists: bool
) -> None:
    """Neither while it runs nor after it was killed, in a directory that they can list."""
    os.umask(0)
    root = tmp_path / "kept"
    if exists:
        root.mkdir(mode=0o755)
    async with trio.open_nursery() as nursery:
        running = await start(nursery, ArchiveConfig(data_dir=root))
        assert (root / "archive.sqlite3-wal").exists()
        assert _open_to_others(root) == []
        assert stat.S_IMODE(root.stat().st_mode) == (0o755 if exists else 0o700)
        killed = tmp_path / "killed"
        shutil.copytree(root, killed)
        running.archive.create_blob(b"more")
        assert _open_to_others(root) == []
        nursery.cancel_scope.cancel()
    assert _open_to_others(root) == []
    assert _open_to_others(killed) == []


@pytest.mark.parametrize("exposed", ["archive.sqlite3", "archive.sqlite3-wal"])
async def test_secrets_that_others_could_read_are_renewed(tmp_path: Path, exposed: str) -> None:
    """What is forged with the key, or asked for with a secret, is refused; the rest is kept."""
    root = tmp_path / "kept"
    async with trio.open_nursery() as nursery:
        before = await start(nursery, ArchiveConfig(data_dir=root))
        token, secret = headers(before), before.client_secret_file.read_text()
        blob = before.archive.create_blob(b"kept")
        shutil.copytree(root, tmp_path / "copied")
        nursery.cancel_scope.cancel()
    root = tmp_path / "copied"
    (root / exposed).chmod(0o644)
    async with trio.open_nursery() as nursery:
        after = await start(nursery, ArchiveConfig(data_dir=root))
        assert _open_to_others(root) == []
        assert after.client_secret_file.read_text() != secret
        async with httpx.AsyncClient(base_url=after.url, verify=NO_AUTHORITIES) as client:
            assert (await client.get(ASSETS, headers=token)).status_code == 401
            assert (await client.get(ASSETS, headers=headers(after))).status_code == 200
        assert after.archive.blobs.record(blob["identity"].partition("/")[2]) == blob
        nursery.cancel_scope.cancel()


async def test_cancelling_ends_it_at_once_and_cleans_up(capfd: pytest.CaptureFixture[str]) -> None:
    """Open connections do not hold it, its temporary directory goes, and it has printed nothing."""
    async with trio.open_nursery() as nursery:
        running = await start(nursery, ArchiveConfig(empty=True))
        async with httpx.AsyncClient(
            base_url=running.url, headers=headers(running), verify=NO_AUTHORITIES
        ) as client:
            await client.get(ASSETS)
            with trio.fail_after(1):
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    while running.token_file.exists():
                        await trio.lowlevel.checkpoint()
    assert not running.token_file.parent.parent.parent.exists()
    assert capfd.readouterr() == ("", "")


async def test_kept_storage_survives_a_restart(tmp_path: Path) -> None:
    """Records, bytes, tokens and the secret are those of before; the estate is seeded once."""
    config = ArchiveConfig(data_dir=tmp_path / "kept")
    async with trio.open_nursery() as nursery:
        first = await start(nursery, config)
        token, secret = headers(first), first.client_secret_file.read_text()
        blob = first.archive.create_blob(b"kept")["identity"]
        asset = first.archive.create_asset({"attributes": {"k": "v"}})["identity"]
        count = first.archive.storage.next_seq()
        nursery.cancel_scope.cancel()
    async with trio.open_nursery() as nursery:
        second = await start(nursery, config)
        async with httpx.AsyncClient(
            base_url=second.url, headers=token, verify=NO_AUTHORITIES
        ) as client:
            assert (await client.get(f"/archivist/v1/{blob}")).content == b"kept"
            record = (await client.get(f"/archivist/v2/{asset}")).json()
        assert record["attributes"] == {"k": "v"}
        assert second.client_secret_file.read_text() == secret
        assert second.archive.storage.next_seq() == count
        nursery.cancel_scope.cancel()


async def test_an_empty_archive_stays_empty(running: RunningArchive) -> None:
    """`empty` leaves the sample estate out."""
    assert running.archive.storage.is_empty()


def names_in(folder: Path) -> list[str]:
    """Return the names of what a directory holds."""
    return [path.name for path in folder.iterdir()]


async def refused(config: ArchiveConfig) -> str:
    """Return the message that a start fails with."""
    with pytest.RaisesGroup(ArchiveError, flatten_subgroups=True, allow_unwrapped=True) as caught:
        await run_archive(config)
    error: BaseException = caught.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)


async def test_a_directory_in_use_is_refused(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Two archives cannot share their storage."""
    await start(nursery, ArchiveConfig(data_dir=tmp_path / "one", empty=True))
    assert "in use by another archive" in await refused(ArchiveConfig(data_dir=tmp_path / "one"))


async def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    """Nothing is written into it."""
    (tmp_path / "thesis.tex").write_text("...")
    assert "holds something else" in await refused(ArchiveConfig(data_dir=tmp_path))
    assert names_in(tmp_path) == ["thesis.tex"]
    (tmp_path / "ARCHIVE").write_text("of my letters")
    assert "holds something else" in await refused(ArchiveConfig(data_dir=tmp_path))


async def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    """The message says what to do."""
    (tmp_path / "file").write_text("")
    message = await refused(ArchiveConfig(data_dir=tmp_path / "file" / "below"))
    assert "give a directory that you may write to" in message


async def test_a_broken_database_is_refused(tmp_path: Path) -> None:
    """A damaged archive says so instead of starting afresh."""
    async with trio.open_nursery() as nursery:
        await start(nursery, ArchiveConfig(data_dir=tmp_path / "a", empty=True))
        nursery.cancel_scope.cancel()
    for path in (tmp_path / "a").glob("archive.sqlite3*"):
        path.write_bytes(b"garbage, not a database at all" * 99)
    assert "cannot be opened" in await refused(ArchiveConfig(data_dir=tmp_path / "a"))


async def test_a_port_in_use_is_refused() -> None:
    """The message names the port."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert f"Port {port}" in await refused(ArchiveConfig(port=port, empty=True))


async def test_an_address_that_is_none_is_refused() -> None:
    """A host that cannot be listened on is told apart from a port in use."""
    message = await refused(ArchiveConfig(host="not a host", empty=True))
    assert "give another one" in message


async def test_it_speaks_tls(nursery: trio.Nursery, tmp_path: Path) -> None:
    """With a certificate the URL is https and public URLs follow it."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    for pem in certificate.cert_chain_pems:
        pem.write_to_path(chain, append=True)
    certificate.private_key_pem.write_to_path(key)
    running = await start(nursery, ArchiveConfig(empty=True, tls=(chain, key)))
    context = httpx.create_ssl_context()
    authority.configure_trust(context)
    async with httpx.AsyncClient(verify=context, headers=headers(running)) as client:
        answer = await client.get(f"{running.url}{ASSETS}")
    assert running.url.startswith("https://")
    assert answer.status_code == 200


async def test_a_certificate_that_is_missing_is_refused(tmp_path: Path) -> None:
    """The files are named."""
    missing = tmp_path / "none.pem"
    message = await refused(ArchiveConfig(empty=True, tls=(missing, missing)))
    assert "certificate" in message
