"""`attachfs status`: how mounts fare."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from attachfs.cli.mounts import (
    UntouchedPath,
    complete_mountpoint,
    our_mount_around,
    our_mounts,
)
from attachfs.cli.output import complain, say, say_json
from attachfs.cli.parameters import show_size
from attachfs.wording import rough_duration, rough_size

_SOURCES: Final = ("memory", "disk", "shared", "shared_store", "archive")


@click.command("status")
@click.argument(
    "mountpoint", type=UntouchedPath(), required=False, shell_complete=complete_mountpoint
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.  [default: no]")
def command(*, mountpoint: Path | None, as_json: bool) -> None:
    """Show how the mount on MOUNTPOINT fares, or all mounts of yours.

    Which archive it is of and as whom, for how long the token serves, whether the server answers,
    what is cached, where what was read came from, and the errors of late.
    """
    from attachfs.errors import SetupError
    from attachfs.mount.client import ANSWER_S, ask_all

    mounts = our_mounts() if mountpoint is None else [our_mount_around(mountpoint)[0]]
    answers: list[Mapping[str, Any]] = []
    failures: list[SetupError] = []
    for number, found in enumerate(ask_all(mounts, {"command": "status"}, timeout_s=ANSWER_S)):
        if isinstance(found, SetupError):
            failures.append(found)
            continue
        answer = dict(found)
        answer.pop("ok")
        answers.append(answer)
        if not as_json:
            say(*([""] if number else []), *_lines(answer))
    if as_json:
        say_json(answers)
    if failures:
        first, *others = failures
        for other in others:
            complain(other)
        raise first


def _lines(answer: Mapping[str, Any]) -> Iterator[str]:
    server, cache, requests = answer["server"], answer["cache"], answer["requests"]
    yield f"{answer['url']} on {answer['mountpoint']}"
    yield _line(
        "mounted", f"{answer['mounted']}, attachfs {answer['version']}, pid {answer['pid']}"
    )
    yield _line("identity", answer["identity"] or "none: public assets only")
    yield _line("token", _token(answer))
    yield _line(
        "server", "answers" if server["reachable"] else f"does not answer: {server['error']}"
    )
    used = "not in use" if cache["bytes"] is None else _of(cache["bytes"], cache["max_bytes"])
    yield _line("cache", f"{used} in {cache['directory']}")
    yield _line("memory", _of(cache["memory_bytes"], cache["memory_max_bytes"]))
    yield _line("bodies", _shares(answer["bodies"], _SOURCES))
    yield _line("metadata", _shares(answer["lookups"], ("known", "archive", "stale")))
    answers = sum(requests["answers"].values())
    yield _line(
        "requests",
        f"{answers:,} answered, {sum(requests['failures'].values()):,} not; "
        f"{rough_size(requests['body_bytes'])} of attachments downloaded",
    )
    if answer["bodies"]["mismatches"]:
        yield _line("MISMATCHES", f"{answer['bodies']['mismatches']:,}")
    errors = answer["recent_errors"]
    yield _line("errors", "none" if not errors else f"{len(errors)} of late:")
    for error in errors:
        yield f"    {error['time']} {error['operation']}: {error['message']}"


def _line(name: str, text: str) -> str:
    return f"  {name + ':':<11} {text}"


def _token(answer: Mapping[str, Any]) -> str:
    left_s = answer["token_left_s"]
    if answer["identity"] is None:
        return "none"
    if left_s is None:
        return "serves for an unknown time"
    if left_s <= 0:
        return f"is over since {rough_duration(-left_s)}"
    return f"serves for another {rough_duration(left_s)}"


def _of(used_bytes: int, max_bytes: int) -> str:
    return f"{rough_size(used_bytes)} of {show_size(max_bytes)}"


def _shares(counts: Mapping[str, int], names: tuple[str, ...]) -> str:
    total = sum(counts[name] for name in names)
    if not total:
        return "none yet"
    parts = [f"{counts[name] / total:.0%} {name}" for name in names if counts[name]]
    return f"{total:,}: {', '.join(parts)}"
