"""The one place where errors become the kernel's."""

import errno
from typing import Any

import pyfuse3
import pytest
import structlog
import trio
from trio.testing import wait_all_tasks_blocked

from attachfs import errors
from attachfs.errors import AttachfsError, Busy, Mismatch, NotFound, Unreachable
from attachfs.mount.guard import guarded

_ERRNOS = {
    "AttachfsError": errno.EIO,
    "NotFound": errno.ENOENT,
    "Stale": errno.ESTALE,
    "Denied": errno.EACCES,
    "Unauthenticated": errno.EACCES,
    "BlockedByScan": errno.EACCES,
    "TimedOut": errno.ETIMEDOUT,
    "GatewayTimeout": errno.ETIMEDOUT,
    "Busy": errno.EBUSY,
    "Interrupted": errno.EINTR,
    "Unreachable": errno.EHOSTUNREACH,
    "NoConnection": errno.EHOSTUNREACH,
    "Untrusted": errno.EHOSTUNREACH,
    "BadReply": errno.EIO,
    "ServerFault": errno.EIO,
    "Unavailable": errno.EIO,
    "Mismatch": errno.EIO,
    "ReadOnly": errno.EROFS,
    "IsADirectory": errno.EISDIR,
    "NotADirectory": errno.ENOTDIR,
    "NoSuchXattr": errno.ENODATA,
    "XattrUnsupported": errno.EOPNOTSUPP,
    "Unsupported": errno.ENOSYS,
    "Closing": errno.ENOTCONN,
}


def _kinds(kind: type[AttachfsError] = AttachfsError) -> list[type[AttachfsError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in _kinds(below))]


def _made(kind: type[AttachfsError]) -> AttachfsError:
    return Mismatch("so it is", digests={}) if kind is Mismatch else kind("so it is")


class _Handlers:
    """Two handlers, of which one does what it is told."""

    @guarded
    async def answer(self, outcome: Any, *, extra: int = 0) -> Any:
        """Return or raise."""
        await trio.lowlevel.checkpoint()
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome, extra

    @guarded
    async def wait(self) -> None:
        """Wait for ever."""
        await trio.sleep_forever()


async def _number(handlers: _Handlers, outcome: Any) -> int:
    with pytest.raises(pyfuse3.FUSEError) as caught:
        await handlers.answer(outcome)
    number: int = caught.value.errno
    return number


async def test_what_a_handler_returns_is_passed_on() -> None:
    """Arguments as well."""
    assert await _Handlers().answer(5, extra=7) == (5, 7)
    assert await _Handlers().answer(None) == (None, 0)
    assert _Handlers.answer.__name__ == "answer"


@pytest.mark.parametrize("kind", _kinds(), ids=lambda kind: kind.__name__)
async def test_every_error_of_ours_is_its_errno(
    kind: type[AttachfsError], expected_warnings: set[str]
) -> None:
    """All there are, those of the design and those of the user's mistakes."""
    expected_warnings.add("so it is")
    expected = _ERRNOS.get(kind.__name__, errno.EINVAL)
    assert await _number(_Handlers(), _made(kind)) == expected
    assert (kind.__name__ in _ERRNOS) or issubclass(kind, errors.SetupError)


def test_every_mistake_of_the_user_has_an_exit_code_of_its_own() -> None:
    """Scripts tell them apart."""
    # A kind of trouble that has kinds of its own has one code for them.
    codes = [
        vars(kind)["exit_code"] for kind in _kinds(errors.SetupError) if "exit_code" in vars(kind)
    ]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes


def test_no_error_makes_a_reader_spin() -> None:
    """EAGAIN and EINTR are retried for ever by Python and others: EINTR is for the dying alone."""
    kinds = set(_kinds()) - {errors.Interrupted}
    assert not {kind.errno for kind in kinds} & {errno.EAGAIN, errno.EINTR, 0}


@pytest.mark.parametrize(
    "error",
    [ValueError("a defect"), KeyError(5), RecursionError("deep"), MemoryError(),
     ExceptionGroup("g", [NotFound("x")]), OSError(errno.ENOENT, "x"), StopAsyncIteration(),
     trio.TooSlowError(), AssertionError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
async def test_the_unexpected_is_eio_with_its_traceback_in_the_log(
    error: Exception,
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
) -> None:
    """Any of them would end the mount; another errno would say what is not so."""
    expected_warnings.add("unexpected error")
    assert await _number(_Handlers(), error) == errno.EIO
    (event,) = quiet_log
    assert (event["log_level"], event["operation"]) == ("error", "answer")
    assert event["exc_info"]


async def test_an_errno_chosen_by_a_handler_is_passed_on() -> None:
    """Without a word in the log."""
    assert await _number(_Handlers(), pyfuse3.FUSEError(errno.ENOTTY)) == errno.ENOTTY


async def test_an_error_is_logged_once_however_often_it_is_raised(
    expected_warnings: set[str], quiet_log: list[structlog.typing.EventDict]
) -> None:
    """A latched verdict is raised for each of the kernel's retries."""
    expected_warnings.add("so it is")
    handlers, error = _Handlers(), _made(Mismatch)
    for _ in range(69):
        assert await _number(handlers, error) == errno.EIO
    (event,) = quiet_log
    assert (event["event"], event["operation"], event["error"], event["log_level"]) == (
        "so it is", "answer", "Mismatch", "error",
    )  # fmt: skip


async def test_failures_of_one_outage_are_told_of_once(
    quiet_log: list[structlog.typing.EventDict], expected_warnings: set[str]
) -> None:
    """The others are there for who debugs, and counted."""
    expected_warnings.add("failure 0")
    incident = errors.Incident()
    for number in range(3):
        error = Unreachable(f"failure {number}")
        error.incident = incident
        assert await _number(_Handlers(), error) == errno.EHOSTUNREACH
    levels = [event["log_level"] for event in quiet_log]
    assert levels == ["warning", "debug", "debug"]
    assert incident.untold == 2


@pytest.mark.parametrize(
    ("error", "level"),
    [(NotFound("x"), "debug"), (Unreachable("x"), "warning"), (Busy("x"), "warning")],
)
async def test_errors_are_logged_as_loud_as_they_matter(
    error: AttachfsError,
    level: str,
    expected_warnings: set[str],
    quiet_log: list[structlog.typing.EventDict],
) -> None:
    """A name that is not there is no news."""
    expected_warnings.add("x")
    await _number(_Handlers(), error)
    assert [event["log_level"] for event in quiet_log] == [level]


async def test_a_cancelled_request_is_answered_and_no_further_one_is_waited_for() -> None:
    """Taking down a mount cancels whoever serves it: each caller gets ENOTCONN, nobody waits."""
    handlers = _Handlers()
    numbers: list[int] = []

    async def serve() -> None:
        for _ in range(5):
            with pytest.raises(pyfuse3.FUSEError) as caught:
                await handlers.wait()
            numbers.append(caught.value.errno)
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(serve)
        await wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert numbers == [errno.ENOTCONN] * 3


async def test_what_ends_the_program_is_let_through() -> None:
    """A keyboard interrupt is no request's failure."""
    handlers = _Handlers()
    with pytest.raises(KeyboardInterrupt):
        await handlers.answer(KeyboardInterrupt())
