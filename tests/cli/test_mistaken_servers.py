"""URLs that are none, and servers that are no archive, away or in trouble: one sentence each."""

import socket
from collections.abc import Callable
from functools import partial

import pytest
import trio

from attachfs.archive import policy
from tests.support.canned import Asked, Canned, reply, start_canned
from tests.support.programs import Done, sentence

Run = Callable[..., Done]


@pytest.mark.parametrize("url", ["app.datatrails.ai", "localhost:8080"])
def test_what_is_no_url_is_refused(refused: Run, url: str) -> None:
    """The message shows what one looks like."""
    done = refused("--url", url)
    assert done.returncode == 30
    expected = f"'{url}' is not a URL; it should look like https://app.datatrails.ai"
    assert sentence(done) == expected


@pytest.mark.parametrize(
    "url",
    ["https://user:hunter2@archive.example", "ftp://archive.example/?token=hunter2"],
)
def test_secrets_in_a_url_are_refused_and_not_repeated(refused: Run, url: str) -> None:
    """Not even where the URL is wrong in other ways too."""
    done = refused("--url", url)
    assert done.returncode == 30
    assert "URL" in sentence(done)
    assert "hunter2" not in done.stderr


def test_plain_http_is_for_this_machine_only(refused: Run) -> None:
    """The message says what it would give away, and how to insist."""
    done = refused("--url", "HTTP://archive.invalid")
    assert done.returncode == 30
    for part in ("would show the token to everyone", "use https, or --allow-http"):
        assert part in sentence(done)


@pytest.mark.mount
def test_a_host_that_nobody_knows_is_unreachable(refused: Run) -> None:
    """The message says what to check; plain http was allowed."""
    done = refused("--url", "http://archive.invalid", "--allow-http")
    assert done.returncode == 31
    assert sentence(done).startswith("cannot reach http://archive.invalid (")
    assert "check the URL, the network and the proxy" in sentence(done)


@pytest.mark.mount
def test_a_port_that_nobody_listens_on_is_unreachable(refused: Run) -> None:
    """The reason is the system's own."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        done = refused("--url", url)
    assert done.returncode == 31
    assert sentence(done).startswith(f"cannot reach {url} (")
    assert "Connection refused" in sentence(done)


async def _ask(
    nursery: trio.Nursery, refused: Run, answer: Callable[[Asked], bytes]
) -> tuple[Canned, Done]:
    """Mount what gives this answer to everything."""
    canned = await start_canned(nursery, answer)
    done = await trio.to_thread.run_sync(partial(refused, "--url", canned.url))
    return canned, done


@pytest.mark.mount
@pytest.mark.parametrize(
    "answer",
    [
        reply(200, b"<!DOCTYPE html><title>Welcome</title>", Content_Type="text/html"),
        reply(404, b"<h1>Not Found</h1>", Content_Type="text/html"),
        reply(302, Location="https://login.example/?next=/"),
    ],
    ids=["html", "404", "login page"],
)
async def test_what_is_no_archive_is_told_apart(
    nursery: trio.Nursery, refused: Run, answer: bytes
) -> None:
    """It was asked once, and what is wrong with its answer is told."""
    canned, done = await _ask(nursery, refused, lambda _: answer)
    assert done.returncode == 30
    assert f"{canned.url} answers, but not like an RKVST / DataTrails archive" in sentence(done)
    assert sentence(done).endswith("; check the URL")
    assert len(canned.requests) == 1


@pytest.mark.mount
@pytest.mark.parametrize(
    ("answer", "attempts"),
    [
        (reply(500, b"<h1>Maintenance</h1>"), policy.FAULT_ATTEMPTS),
        (reply(429, Retry_After="0.01"), policy.ATTEMPTS),
    ],
    ids=["500", "429"],
)
async def test_a_server_in_trouble_is_told_apart(
    nursery: trio.Nursery, refused: Run, answer: bytes, attempts: int
) -> None:
    """It was asked several times, and later may do."""
    canned, done = await _ask(nursery, refused, lambda _: answer)
    assert done.returncode == 32
    assert sentence(done).startswith(f"{canned.url} is in trouble (")
    assert sentence(done).endswith("; try again later")
    assert len(canned.requests) == attempts


@pytest.mark.mount
async def test_what_a_server_says_cannot_garble_the_terminal(
    nursery: trio.Nursery, refused: Run
) -> None:
    """Its own words are quoted in one line, control characters escaped."""
    answer = reply(400, {"message": "no\n\x1b[31mred\r\nattachfs: all is well"})
    _, done = await _ask(nursery, refused, lambda _: answer)
    assert done.returncode == 30
    assert r"no\n\x1b[31mred\r\nattachfs: all is well" in sentence(done)
