"""Unusual and right: odd names, relative paths, closed streams, forms of the URL, interruptions."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from attachfs.demo.launch import ArchiveConfig, RunningArchive
from tests.support.archives import token_of
from tests.support.mounts import VIEWS, Steering
from tests.support.programs import PROGRAM, Done, running, sentence, usage_error

Run = Callable[..., Done]


def _names(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


@pytest.mark.mount
@pytest.mark.parametrize("name", ["two  spaces,ünïcode 文", "back\\slash\nline\"quo'te%"])
def test_a_mount_point_may_have_any_name(
    background: Run, attachfs: Run, tmp_path: Path, name: str
) -> None:
    """It is mounted on, listed by the kernel under that name, and unmounted."""
    mountpoint = tmp_path / name
    mountpoint.mkdir()
    done = background(mountpoint)
    assert done.returncode == 0, done.stderr
    assert f" is mounted on {mountpoint}; log: " in done.stdout
    assert os.path.ismount(mountpoint)
    assert _names(mountpoint) == VIEWS
    assert attachfs("umount", mountpoint).returncode == 0
    assert _names(mountpoint) == []


@pytest.mark.mount
def test_a_mount_point_may_be_a_link_or_relative(
    background: Run, run: Run, environment: dict[str, str], mountpoint: Path
) -> None:
    """What is said is where it leads, and each way to say it unmounts it."""
    (mountpoint.parent / "link").symlink_to("mnt")
    (mountpoint.parent / "elsewhere").mkdir()
    elsewhere = mountpoint.parent / "elsewhere"
    for given, taken_from, ended in (
        ("link/", mountpoint.parent, "link"),
        ("./../mnt", elsewhere, "../link"),
    ):
        done = background(given, cwd=taken_from)
        assert f" is mounted on {mountpoint}; " in done.stdout, done.stderr
        assert _names(mountpoint) == VIEWS
        done = run(*PROGRAM, "umount", ended, env=environment, cwd=taken_from)
        assert (done.returncode, done.stderr) == (0, "")
        assert not os.path.ismount(mountpoint)


@pytest.mark.mount
def test_a_relative_token_file_is_read_again_in_the_background(
    background: Run, attachfs: Run, archive: Steering, mountpoint: Path
) -> None:
    """The process works in another directory than the command was given in."""
    identities = archive.running.archive.identities
    token_file = mountpoint.parent / "token"
    token_file.touch(0o600)
    token_file.write_text(identities.issue("an-id", 60))
    done = background("mnt", "--token-file", "token", "--metadata-ttl", "0", cwd=mountpoint.parent)
    assert done.returncode == 0, done.stderr
    identities.revoke_all()
    token_file.write_text(identities.issue("an-id", 60))
    assert _names(mountpoint / "assets") != []
    assert attachfs("umount", mountpoint).returncode == 0


@pytest.mark.mount
def test_a_working_directory_that_is_gone_is_not_needed(
    background: Run, run: Run, attachfs: Run, environment: dict[str, str], mountpoint: Path
) -> None:
    """A path from / on works; a relative one is refused as one."""
    gone = mountpoint.parent / "gone"
    gone.mkdir()
    go = ("sh", "-c", 'rmdir "$PWD" && exec "$@"', "sh")
    done = run(*go, *PROGRAM, "mount", "mnt", env=environment, cwd=gone)
    assert "mnt is relative to a working directory that is gone" in usage_error(done)
    gone.mkdir()
    done = background(mountpoint, prefix=go, cwd=gone)
    assert done.returncode == 0, done.stderr
    assert _names(mountpoint) == VIEWS
    assert attachfs("umount", mountpoint).returncode == 0


@pytest.mark.mount
@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_no_harm(
    background: Run, attachfs: Run, mountpoint: Path, closed: str
) -> None:
    """Nothing else gets their numbers: the mount answers in the background."""
    done = background(mountpoint, prefix=("sh", "-c", f'exec "$@" {closed}', "sh"))
    assert done.returncode == 0, done.stderr
    assert ("is mounted on" in done.stdout) == (">&-" not in closed.split())
    assert _names(mountpoint) == VIEWS
    assert attachfs("umount", mountpoint).returncode == 0


def test_a_mistake_is_no_output(run: Run, environment: dict[str, str]) -> None:
    """Without standard error, the exit code alone tells it."""
    silent = ("sh", "-c", 'exec "$@" 2>&-', "sh")
    done = run(*silent, *PROGRAM, "umount", "/nowhere", env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (13, "", "")


@pytest.mark.mount
@pytest.mark.parametrize("form", ["HTTP://LocalHost:{port}/", "http://[::1]:{port}/archivist/"])
def test_the_url_may_be_written_in_many_ways(
    background: Run,
    attachfs: Run,
    serve: Callable[[ArchiveConfig], RunningArchive],
    mountpoint: Path,
    form: str,
) -> None:
    """Capitals, slashes, the API's path, an IPv6 address."""
    archive = serve(ArchiveConfig(host="::1" if "::1" in form else "127.0.0.1"))
    url = form.format(port=archive.url.rpartition(":")[2])
    done = background(mountpoint, "--url", url, "--token-file", archive.token_file)
    assert done.returncode == 0, done.stderr
    assert _names(mountpoint / "assets") != []
    assert attachfs("umount", mountpoint).returncode == 0


@pytest.mark.mount
def test_empty_variables_are_as_good_as_none(
    background: Run, attachfs: Run, archive: Steering, mountpoint: Path
) -> None:
    """Each option has its default then, or what the SDK's variable says."""
    names = ("URL", "TOKEN_FILE", "CLIENT_ID", "CLIENT_SECRET_FILE", "CACHE_DIR", "CACHE_SIZE",
             "MEMORY_CACHE", "METADATA_TTL", "SCAN_POLICY", "UNTRACKED", "CA_BUNDLE",
             "ALLOW_HTTP", "FOREGROUND", "LOG_LEVEL")  # fmt: skip
    empty = {f"ATTACHFS_{name}": "" for name in names}
    theirs = {
        "DATATRAILS_URL": archive.url,
        "DATATRAILS_AUTHTOKEN_FILENAME": "",
        "DATATRAILS_AUTHTOKEN": token_of(archive.running),
        "SSL_CERT_FILE": "",
        "HTTP_PROXY": "",
    }
    done = background(mountpoint, **empty, **theirs)
    assert done.returncode == 0, done.stderr
    assert _names(mountpoint) == VIEWS
    assert attachfs("umount", mountpoint).returncode == 0


@pytest.mark.mount
@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("options", [(), ("--foreground",)], ids=["background", "foreground"])
def test_an_interrupted_command_leaves_nothing(
    environment: dict[str, str],
    mountpoint: Path,
    token_file: Path,
    options: tuple[str, ...],
    ended_by: signal.Signals,
) -> None:
    """Ctrl-C while the server is waited for is 130, and neither mount nor message is there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        arguments = ("mount", mountpoint, "--url", url, "--token-file", token_file, *options)
        with running(*arguments, env=environment) as process:
            connection, _ = server.accept()
            process.send_signal(ended_by)
            out, error = process.communicate()
        with connection:
            while connection.recv(4096):
                pass  # the end of it: no process holds the connection any more
    assert (process.returncode, out, error.strip()) == (128 + ended_by, "", "")
    assert not os.path.ismount(mountpoint)


def test_no_environment_is_needed_to_tell_a_mistake(
    run: Run, mountpoint: Path, token_file: Path
) -> None:
    """Not even HOME and PATH."""
    done = run(*PROGRAM, "mount", mountpoint, "--token-file", token_file, "--url", "x", env={})
    assert done.returncode == 30
    assert "is not a URL" in sentence(done)
