"""Whatever the server does, each reader gets the errno for it and the mount stays up."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.clocks import Clocks
from tests.support.mounts import Mount, Steering
from tests.support.outcomes import WELL, ask_for_nothing, outcome, until

pytestmark = pytest.mark.mount

_JSON = {"content-type": "application/json"}
# What is answered for a record, and the errno that its reader gets.
_ANSWERS: tuple[tuple[dict[str, Any], str], ...] = (
    *(({"status": status}, "EIO") for status in (204, 304, 400, 402, 405, 418, 451, 500, 501)),
    *(({"status": status}, "EIO") for status in (502, 503, 507)),
    *(({"status": status}, "EACCES") for status in (401, 403)),
    *(({"status": status}, "ENOENT") for status in (404, 410)),
    *(({"status": status}, "ETIMEDOUT") for status in (408, 504)),
    ({"status": 429, "headers": {"archivist-rate-limit-reset": "0.01"}}, "EBUSY"),
    ({"status": 429, "headers": {"retry-after": "soon"}}, "EBUSY"),
    ({"status": 429, "headers": {"archivist-rate-limit-reset": "86400"}}, "EBUSY"),
    ({"status": 401, "body": "<h1>Who are you?</h1>"}, "EACCES"),
    ({"status": 403, "body": '{"message": "Invalid Token"}'}, "EACCES"),
    ({"status": 500, "body": "\x00\x1b[31m" * 99}, "EIO"),
    *(
        ({"status": 200, "headers": _JSON, "body": body}, "EIO")
        for body in ("", "{", "null", "[]", "{}", "[" * 100_000, '{"identity": 5}', "<html>")
    ),
    ({"status": 200, "body": f'{{"identity": "assets/{UUID(int=5)}"}}'}, "EIO"),
    ({"status": 200, "headers": {"content-encoding": "gzip"}, "body": "{}"}, "EIO"),
    ({"status": 302, "headers": {"location": "http://[::1]:1/elsewhere"}}, "EIO"),
    ({"status": 307, "headers": {"location": "http://[bad"}}, "EIO"),
    ({"disconnect": True}, "EHOSTUNREACH"),
)


def _photo(mounted: Mount) -> Path:
    return mounted.asset("container") / SAMPLE["blob:container-photo"]


@pytest.fixture(scope="module")
def shared_clocks(tmp_path_factory: pytest.TempPathFactory) -> Clocks:
    """The clocks of the mount that all tests share."""
    return Clocks(tmp_path_factory.mktemp("clocks") / "clocks")


@pytest.fixture(scope="module")
def hasty(shared_mount: Callable[..., Mount], shared_clocks: Clocks) -> Mount:
    """The shared archive, mounted by somebody who does not wait long for trouble to pass."""
    return shared_mount("--timeout", "3s", program=shared_clocks.program())


def test_every_answer_has_its_errno(
    hasty: Mount, shared_archive: Steering, shared_clocks: Clocks
) -> None:
    """Refusals, failures, garbage, lies and cut connections, all at once: no reader is confused."""
    hasty.expected_warnings.add("/00000000-0000-4000-8000-")
    # The kernel looks up one name at a time in a directory: the more of them the better.
    directories = [asset / "events" for asset in (hasty.path / "assets").iterdir()]
    readers = []
    for number, (answer, _) in enumerate(_ANSWERS):
        uuid = f"00000000-0000-4000-8000-{number:012}"
        shared_archive.fail_next(path_regex=f"/{uuid}$", times=99, **answer)
        readers.append((directories[number % len(directories)] / uuid / "event.json").read_text)
    # A server that answers nobody at all is another matter: an outage.
    others = partial(ask_for_nothing, hasty.path / "assets")
    with shared_clocks.passing(after_each=others), ThreadPoolExecutor(len(readers)) as pool:
        names = list(pool.map(outcome, readers))
    answers = [answer for answer, _ in _ANSWERS]
    assert list(zip(answers, names, strict=True)) == list(_ANSWERS)
    assert (hasty.asset("light") / SAMPLE["blob:light-report"]).read_bytes()


def test_a_download_has_its_errnos_too(
    hasty: Mount, shared_archive: Steering, shared_clocks: Clocks
) -> None:
    """What the open file turned out not to be is never taken for its bytes."""
    hasty.expected_warnings.add("/archivist/v2/attachments/")
    hasty.expected_warnings.add("were recorded")
    answers: dict[str, tuple[Path, dict[str, Any]]] = {
        "EIO": (_photo(hasty), {"status": 200, "body": "<html>Please log in</html>"}),
        "EACCES": (hasty.asset("sensor") / SAMPLE["blob:sensor-photo"], {"status": 403}),
        "ESTALE": (hasty.asset("light") / SAMPLE["blob:light-photo"], {"status": 404}),
        "ETIMEDOUT": (hasty.asset("conformity") / SAMPLE["blob:certificate"], {"status": 504}),
        "EBUSY": (
            hasty.event("coffee-delivery", of="coffee") / SAMPLE["blob:delivery-note"],
            {"status": 429, "headers": {"retry-after": "0.01"}},
        ),
        "EHOSTUNREACH": (
            hasty.event("container-arrival", of="container") / SAMPLE["blob:temperature-log"],
            {"status": 0},  # only the end is missing
        ),
    }
    shared_archive.edit("blobs", SAMPLE["blob:temperature-log"], truncate_body=5_000_000)
    for path, answer in answers.values():
        assert path.stat()
        shared_archive.fail_next(path_regex=f"/{path.name}$", times=99, **answer)
    others = partial(ask_for_nothing, hasty.path / "assets")
    with shared_clocks.passing(after_each=others), ThreadPoolExecutor(len(answers)) as pool:
        outcomes = list(pool.map(outcome, [path.read_bytes for path, _ in answers.values()]))
    assert outcomes == list(answers)
    assert (hasty.asset("light") / SAMPLE["blob:light-report"]).read_bytes()


def test_no_answer_is_an_answer_in_time(
    mount: Callable[..., Mount], archive: Steering, clocks: Clocks
) -> None:
    """A server that hangs is ETIMEDOUT once the time is over, wherever it does, and no later."""
    mounted = mount("--timeout", "5s", program=clocks.program())
    mounted.expected_warnings.update(("no answer within 5 s", "no answer in time"))
    report = mounted.asset("light") / SAMPLE["blob:light-report"]
    assert report.stat()
    hanging: dict[str, Callable[[], object]] = {
        "/assets$": lambda: list((mounted.path / "assets").iterdir()),
        f"/assets/{SAMPLE['asset:container']}$": _photo(mounted).stat,
        f"/assets/{SAMPLE['asset:coffee']}/events$": lambda: list(
            (mounted.asset("coffee") / "events").iterdir()
        ),
        f"/{report.name}$": report.read_bytes,
    }
    for path_regex in hanging:
        archive.fail_next(path_regex=path_regex, status=0, delay_s=600.0, times=99)
    # A directory is looked up and opened: two operations, of which each has a deadline.
    with clocks.passing(11), ThreadPoolExecutor(len(hanging)) as pool:
        assert list(pool.map(outcome, hanging.values())) == ["ETIMEDOUT"] * len(hanging)
    assert clocks.now_s() <= 11
    archive.reset()
    with clocks.passing():
        # Time passes while it answers, too: on a slow machine it may do so too late, once.
        until(lambda: outcome(_photo(mounted).read_bytes) == WELL)
