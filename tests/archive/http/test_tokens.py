"""Tokens on requests: put there, renewed in time, and after a 401."""

import gzip
import tracemalloc
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio

from attachfs.archive import endpoints
from attachfs.archive.client_credentials import ClientCredentials
from attachfs.archive.credentials import Credentials, GivenToken, TokenFile
from attachfs.archive.endpoints import ScanPolicy
from attachfs.archive.identities import Holder
from attachfs.archive.secrets import Secret
from attachfs.demo.launch import RunningArchive
from attachfs.errors import (
    AttachfsError,
    BadReply,
    Busy,
    NotFound,
    ServerFault,
    Unauthenticated,
    Unreachable,
)
from tests.support.archives import (
    ASSET,
    HOLDER,
    PATH,
    client,
    received,
    settled,
    token_of,
    uuid_in,
)
from tests.support.canned import Asked, Script, reply, start_canned

_RECORD = {"identity": f"assets/{ASSET}", "attributes": {}}
_TOKEN_PATH = "/archivist/iam/v1/appidp/token"
_SECRET = "hunter2-of-the-app"


class _Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def _app(running: RunningArchive, clock: Callable[[], float] | None = None) -> ClientCredentials:
    secret = Secret(running.client_secret_file.read_text().strip())
    return ClientCredentials(running.url, running.client_id, secret, now_s=clock or _Clock())


def _exchanges(running: RunningArchive) -> int:
    return len(running.archive.requests(f"^{_TOKEN_PATH}$"))


def _tokens(*granted: str, accepts: Callable[[str], bool]) -> Script:
    """Answer exchanges with these tokens in turn, and requests with tokens that are accepted."""
    left = list(granted)

    def script(asked: Asked) -> bytes:
        if asked.path == _TOKEN_PATH:
            return reply(200, {"access_token": left.pop(0), "expires_in": 3600})
        if accepts(asked.headers.get("authorization", "")):
            return reply(200, _RECORD)
        return reply(401, {"code": 16, "message": "JWT is not valid"})

    return script


def _write(path: Path, token: str) -> None:
    path.write_text(token)
    path.chmod(0o600)


async def test_a_given_token_that_is_refused_is_refused_once(nursery: trio.Nursery) -> None:
    """There is no other to try."""
    canned = await start_canned(nursery, lambda _: reply(401))
    async with client(canned.url, credentials=GivenToken(Secret("t"))) as archive:
        with pytest.raises(Unauthenticated):
            await archive.ask(endpoints.record(HOLDER))
    assert len(canned.requests) == 1


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "Authorization: Bearer {}"])
async def test_an_archive_takes_the_token_of_a_file_in_every_form(
    running: RunningArchive, tmp_path: Path, form: str
) -> None:
    """What is sent is the same for all three."""
    _write(tmp_path / "token", form.format(token_of(running)))
    asset = running.archive.create_asset({})
    async with client(running.url, credentials=TokenFile(tmp_path / "token")) as archive:
        await archive.ask(endpoints.record(Holder(uuid_in(asset))))


async def test_a_rotated_token_file_is_used_from_the_next_request_on(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Without a 401 in between."""
    path = tmp_path / "token"
    _write(path, "one")
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    async with client(canned.url, credentials=TokenFile(path)) as archive:
        await archive.ask(endpoints.record(HOLDER))
        _write(path, "three")
        await archive.ask(endpoints.record(HOLDER))
    sent = [asked.headers["authorization"] for asked in canned.requests]
    assert sent == ["Bearer one", "Bearer three"]


async def test_a_401_makes_the_token_file_be_read_again(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """A token that was rotated while the request was under way saves it."""
    path = tmp_path / "token"
    _write(path, "one")

    def script(asked: Asked) -> bytes:
        if asked.headers["authorization"] == "Bearer three":
            return reply(200, _RECORD)
        _write(path, "three")
        return reply(401)

    canned = await start_canned(nursery, script)
    async with client(canned.url, credentials=TokenFile(path)) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
    assert len(canned.requests) == 2


async def test_a_401_on_both_tokens_is_final(nursery: trio.Nursery, tmp_path: Path) -> None:
    """One renewal is tried a request, no more."""
    path = tmp_path / "token"
    _write(path, "x")

    def script(asked: Asked) -> bytes:
        _write(path, f"{asked.headers['authorization'][7:]}x")
        return reply(401)

    canned = await start_canned(nursery, script)
    async with client(canned.url, credentials=TokenFile(path)) as archive:
        with pytest.raises(Unauthenticated):
            await archive.ask(endpoints.record(HOLDER))
    assert len(canned.requests) == 2


async def test_a_token_file_exposed_on_rotation_leaves_the_last_good_token_in_use(
    nursery: trio.Nursery, tmp_path: Path, expected_warnings: set[str]
) -> None:
    """A mount goes on with what it had, and never sends what others could read."""
    expected_warnings.add("keeping the last good token")
    path = tmp_path / "token"
    _write(path, "one")
    canned = await start_canned(nursery, lambda _: reply(200, _RECORD))
    async with client(canned.url, credentials=TokenFile(path)) as archive:
        path.write_text("exposed")
        path.chmod(0o644)
        await archive.ask(endpoints.record(HOLDER))
    assert canned.requests[0].headers["authorization"] == "Bearer one"


async def test_client_credentials_are_exchanged_once_for_many_requests(
    running: RunningArchive,
) -> None:
    """However many requests wait for the first token, one exchange serves them all."""
    holder = Holder(uuid_in(running.archive.create_asset({})))
    async with client(running.url, credentials=_app(running)) as archive:
        async with trio.open_nursery() as calls:
            for _ in range(40):
                calls.start_soon(archive.ask, endpoints.record(holder))
        await settled()
    assert _exchanges(running) == 1
    (exchange,) = running.archive.requests(_TOKEN_PATH)
    assert (exchange.method, exchange.has_authorization) == ("POST", False)
    assert len(running.archive.requests("/assets/")) == 40


async def test_a_token_is_renewed_before_it_expires(running: RunningArchive) -> None:
    """No request ever meets the end of its token."""
    running.archive.set_switches(token_lifetime_s=600)
    holder = Holder(uuid_in(running.archive.create_asset({})))
    clock = _Clock()
    async with client(running.url, credentials=_app(running, clock)) as archive:
        for clock.now_s in (0, 539, 541, 1000, 1082):
            await archive.ask(endpoints.record(holder))
        await settled()
    assert _exchanges(running) == 3
    assert {entry.status for entry in running.archive.requests()} == {200}


async def test_a_revoked_token_is_renewed_once_for_all_requests(running: RunningArchive) -> None:
    """After a 401 the request is sent again with the new token; nobody notices."""
    holder = Holder(uuid_in(running.archive.create_asset({})))
    async with client(running.url, credentials=_app(running)) as archive:
        await archive.ask(endpoints.record(holder))
        running.archive.identities.revoke_all()
        async with trio.open_nursery() as calls:
            for _ in range(20):
                calls.start_soon(archive.ask, endpoints.record(holder))
        await settled()
    assert _exchanges(running) == 2


async def test_a_401_with_a_fresh_token_is_final(nursery: trio.Nursery) -> None:
    """One exchange and one more try, then it is refused."""
    canned = await start_canned(nursery, _tokens("one", "two", accepts=lambda _: False))
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET))
    async with client(canned.url, credentials=credentials) as archive:
        with pytest.raises(Unauthenticated):
            await archive.ask(endpoints.record(HOLDER))
    assert [asked.path == _TOKEN_PATH for asked in canned.requests] == [True, False, True, False]


async def test_a_wrong_secret_is_refused_without_retries(running: RunningArchive) -> None:
    """The message names the client id, never the secret."""
    credentials = ClientCredentials(running.url, running.client_id, Secret(_SECRET))
    async with client(running.url, credentials=credentials) as archive:
        with pytest.raises(Unauthenticated, match=running.client_id) as caught:
            await archive.ask(endpoints.record(HOLDER))
        await settled()
    assert _SECRET not in str(caught.value)
    assert [entry.path for entry in running.archive.requests()] == [_TOKEN_PATH]


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", Unreachable),
        (reply(503), ServerFault),
        (reply(404), BadReply),
        (reply(429), Busy),
        (reply(200, b"<html>"), BadReply),
        (reply(302, Location="/elsewhere"), BadReply),
        (reply(200, {"access_token": "t", "expires_in": -5}), Unauthenticated),
    ],
)
async def test_a_token_endpoint_in_trouble_has_its_own_error(
    nursery: trio.Nursery, answer: bytes, kind: type[AttachfsError]
) -> None:
    """None of them says that the asset is not there, and none goes on without a token."""
    canned = await start_canned(nursery, lambda _: answer)
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET))
    async with client(canned.url, credentials=credentials) as archive:
        with pytest.raises(kind) as caught:
            await archive.ask(endpoints.record(HOLDER))
    assert not isinstance(caught.value, NotFound)
    assert {asked.path for asked in canned.requests} == {_TOKEN_PATH}


@pytest.mark.usefixtures("quick_retries")
async def test_a_token_endpoint_that_recovers_is_not_noticed(nursery: trio.Nursery) -> None:
    """The exchange is retried like any other request."""
    good = _tokens("t", accepts=lambda header: header == "Bearer t")
    troubles = [b"", reply(503)]
    canned = await start_canned(nursery, lambda asked: troubles.pop(0) if troubles else good(asked))
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET))
    async with client(canned.url, credentials=credentials) as archive:
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


async def test_a_cancelled_exchange_leaves_the_next_request_free(nursery: trio.Nursery) -> None:
    """The one who waited for a token may go; the others get theirs."""
    silent = True

    def script(asked: Asked) -> bytes | list[bytes | trio.Event]:
        if silent and asked.path == _TOKEN_PATH:
            return [trio.Event()]
        answer = _tokens("t", accepts=lambda header: header == "Bearer t")(asked)
        assert isinstance(answer, bytes)
        return answer

    canned = await start_canned(nursery, script)
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET))
    async with client(canned.url, credentials=credentials) as archive:
        with trio.move_on_after(0.05) as scope:
            await archive.ask(endpoints.record(HOLDER))
        assert scope.cancelled_caught
        silent = False
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


@pytest.mark.usefixtures("quick_retries")
async def test_no_secret_is_told_by_any_failure(
    nursery: trio.Nursery, quiet_log: list[structlog.typing.EventDict]
) -> None:
    """Neither errors, with all their causes, nor the log show a secret or a token."""
    texts: list[str] = []
    answers: list[Any] = [b"", reply(401), reply(503), reply(200, {"access_token": "ab cd-token"})]
    for answer in answers:
        canned = await start_canned(nursery, lambda _, answer=answer: answer)  # type: ignore[misc]
        for credentials in (
            ClientCredentials(canned.url, "id", Secret(_SECRET)),
            GivenToken(Secret("given-token")),
        ):
            async with client(canned.url, credentials=credentials) as archive:
                with pytest.raises(AttachfsError) as caught:
                    await archive.ask(endpoints.record(HOLDER))
                texts += [repr(archive), repr(credentials), str(archive._server._tokens)]
            error: BaseException | None = caught.value
            while error is not None:
                texts += [str(error), repr(error)]
                error = error.__cause__ or error.__context__
    everything = " ".join([*texts, str(quiet_log)])
    for secret in (_SECRET, "given-token", "cd-token"):
        assert secret not in everything


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("answer", [b"", reply(503), reply(429), reply(401), reply(200, {})])
async def test_a_token_serves_to_its_end_where_no_new_one_is_to_be_had(
    nursery: trio.Nursery, expected_warnings: set[str], answer: bytes
) -> None:
    """Whatever the exchange says; it is tried again every five seconds."""
    expected_warnings.add("no new token, using the last one to its end")
    exchanges: list[bytes] = [reply(200, {"access_token": "t-1", "expires_in": 3600})]
    asked_for = 0

    def script(asked: Asked) -> bytes:
        nonlocal asked_for
        if asked.path == _TOKEN_PATH:
            asked_for += 1
            return exchanges.pop() if exchanges else answer
        return reply(200, _RECORD)

    canned = await start_canned(nursery, script)
    clock = _Clock()
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET), now_s=clock)
    async with client(canned.url, credentials=credentials) as archive:
        for now_s, exchanged in ((0, 1), (3539, 1), (3541, 2), (3545, 2), (3547, 3), (3553, 4)):
            clock.now_s = now_s
            assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET
            assert asked_for == exchanged
        clock.now_s = 3601
        with pytest.raises(AttachfsError):
            await archive.ask(endpoints.record(HOLDER))
        exchanges.append(reply(200, {"access_token": "t-2", "expires_in": 3600}))
        await trio.sleep(0.2)
        assert (await archive.ask(endpoints.record(HOLDER))).id == ASSET


@pytest.mark.parametrize("kind", ["given", "file", "app"])
async def test_a_refusal_says_what_can_be_done(
    nursery: trio.Nursery, tmp_path: Path, kind: str
) -> None:
    """Which file to renew, whether the bytes were asked for or what is known of them."""
    canned = await start_canned(nursery, _tokens("t-1", "t-2", "t-3", accepts=lambda _: False))
    file = tmp_path / "token.txt"
    file.touch(mode=0o600)
    file.write_text("t-1")
    kinds: dict[str, tuple[Credentials, str]] = {
        "given": (GivenToken(Secret("t-1")), "mount again with a new token"),
        "file": (TokenFile(file), f"write a new token into {file}"),
        "app": (ClientCredentials(canned.url, "app-5", Secret(_SECRET)), "app registration app-5"),
    }
    credentials, remedy = kinds[kind]
    download = endpoints.download(PATH, ScanPolicy.BLOCK_BAD)
    async with client(canned.url, credentials=credentials) as archive:
        with pytest.raises(Unauthenticated, match=remedy):
            await archive.ask(endpoints.record(HOLDER))
        with pytest.raises(Unauthenticated, match=remedy):
            await received(archive, download)


async def test_a_stalled_token_endpoint_keeps_nobody_once_it_has_healed(
    nursery: trio.Nursery,
) -> None:
    """Readers of bodies of whatever size fail in time meanwhile, and hold no slot for ever."""
    good = _tokens(*("t" for _ in range(99)), accepts=lambda header: header == "Bearer t")
    stalled = True

    def script(asked: Asked) -> bytes | list[bytes | trio.Event]:
        if stalled and asked.path == _TOKEN_PATH:
            return [trio.Event()]
        answer = good(asked)
        assert isinstance(answer, bytes)
        return answer

    canned = await start_canned(nursery, script)
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET))
    download = endpoints.download(PATH, ScanPolicy.BLOCK_BAD)
    failures: list[AttachfsError] = []
    async with client(canned.url, credentials=credentials, timeout_s=1) as archive:

        async def read(*, large: bool) -> None:
            try:
                if large:
                    await archive.policy.run(
                        lambda deadline: archive.stream(download, offset=0, deadline=deadline),
                        subject="it",
                    )
                else:
                    await archive.take(download, max_bytes=999, check_announced=lambda _: None)
            except AttachfsError as error:
                failures.append(error)

        begun_s = trio.current_time()
        async with trio.open_nursery() as readers:
            for number in range(20):
                readers.start_soon(partial(read, large=number % 2 == 0))
        assert trio.current_time() - begun_s < 5
        assert len(failures) == 20
        stalled = False
        with trio.fail_after(5):
            while True:  # the breaker may ask for some patience
                try:
                    assert (await received(archive, download))[1]
                    break
                except AttachfsError:
                    await trio.sleep(0.1)


def _refuse_large(announced_bytes: int | None) -> None:
    if announced_bytes is not None and announced_bytes > 999:
        raise BadReply("too large")


_BOMB = gzip.compress(bytes(64 * 1024 * 1024))  # 64 KiB that would be 64 MiB


@pytest.mark.usefixtures("quick_retries")
@pytest.mark.parametrize("status", [200, 401, 403, 503])
@pytest.mark.parametrize("target", ["token", "record", "body"])
@pytest.mark.parametrize("kind", ["encoded", "endless"])
async def test_no_body_of_any_status_is_read_whole_or_decompressed(
    nursery: trio.Nursery, status: int, target: str, kind: str
) -> None:
    """Neither a bomb nor a body without end takes memory, or time beyond the timeout."""
    head = {
        "encoded": reply(status, _BOMB, Content_Encoding="gzip"),
        "endless": reply(status, length=10**12),
    }[kind]
    sent_bytes = 0

    def script(asked: Asked) -> bytes | list[bytes | trio.Event]:
        nonlocal sent_bytes
        if (asked.path == _TOKEN_PATH) is not (target == "token"):
            return reply(200, {"access_token": "t", "expires_in": 3600})
        sent_bytes += len(head)
        return [head, *([b"x" * 1_000_000] * 64 if kind == "endless" else []), trio.Event()]

    canned = await start_canned(nursery, script)
    credentials = ClientCredentials(canned.url, "id", Secret(_SECRET))
    tracemalloc.start()
    try:
        async with client(canned.url, credentials=credentials, timeout_s=2) as archive:
            work: Callable[[], Awaitable[object]]
            if target == "body":
                download = endpoints.download(PATH, ScanPolicy.BLOCK_BAD)
                work = partial(archive.take, download, max_bytes=999, check_announced=_refuse_large)
            else:
                work = partial(archive.ask, endpoints.record(HOLDER))
            with trio.fail_after(10), pytest.raises(AttachfsError):
                await work()
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent_bytes
    assert peak_bytes < 16 * 1024 * 1024
