"""`attachfs cache`: what is kept on this machine, and how to be rid of it."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from attachfs.cli.options import cache_options
from attachfs.cli.output import complain, say, say_json
from attachfs.cli.parameters import Duration, show_size
from attachfs.cli.progress import files_of
from attachfs.wording import NS_PER_S, rough_size, time_text

if TYPE_CHECKING:
    from attachfs.access.kept import Kept
    from attachfs.catalog.index_files import IndexFile
    from attachfs.content.stored_files import StoredFile

_DAY_S: Final = 86400
_AGES: Final = (("day", _DAY_S), ("week", 7 * _DAY_S), ("month", 30 * _DAY_S))


@click.group("cache")
def command() -> None:
    """See what is kept on this machine, and remove it."""


@command.command("show")
@click.option("--long", "-l", "details", is_flag=True, help="List every attachment by its SHA-256.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.  [default: no]")
@cache_options
def show(
    *, details: bool, as_json: bool, cache_dir: Path | None, cache_size: int, **_: Any
) -> None:
    """Show what the cache directory keeps: attachments, and what is known of archives.

    Both stay there after unmounting, and after a right to read them has ended.
    """
    from attachfs.access.kept import kept
    from attachfs.cli.chosen import cache_dir as directory_of

    directory = directory_of(cache_dir)
    found = kept(directory)
    objects = sorted(found.objects.items(), key=lambda named: named[1].used_ns)
    if as_json:
        fields = _fields(directory, found, cache_size)
        if details:
            fields["objects"] = [_object(digest, file) for digest, file in objects]
        say_json(fields)
        return
    say(*_lines(directory, found, cache_size))
    if details:
        for digest, file in objects:
            row = _object(digest, file)
            say(f"{digest} {row['size_bytes']:>12} {row['last_used']}")


@command.command("clear")
@click.option(
    "--older-than",
    type=Duration(),
    default=None,
    help="Keep what was used within this time, such as 30d.  [default: keep nothing]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.  [default: no]")
@cache_options
def clear(*, older_than: float | None, as_json: bool, cache_dir: Path | None, **_: Any) -> None:
    """Remove what the cache directory keeps: attachments, and what is known of archives.

    Mounts may go on: what is gone they fetch again when it is wanted, and when the server lets
    them. What they hold in memory goes when they are unmounted.
    """
    import time

    from attachfs.access.kept import remove
    from attachfs.cli.chosen import cache_dir as directory_of

    directory = directory_of(cache_dir)
    before_s = time.time() - older_than if older_than is not None else float(2**33)
    removed = remove(directory, before_s)
    if as_json:
        fields = {
            "removed_files": removed.files,
            "removed_bytes": removed.size_bytes,
            "removed_entries": removed.entries,
        }
        say_json(fields)
    else:
        say(
            f"removed: {files_of(removed.files)}, {rough_size(removed.size_bytes)}; "
            f"{removed.entries:,} entries of what is known"
        )
    for mountpoint in _mounts_using(directory):
        complain(f"note: what the mount on {mountpoint} holds in memory goes when it is unmounted")


def _lines(directory: Path, found: "Kept", max_bytes: int) -> Iterator[str]:
    yield str(directory)
    sizes = sum(file.size_bytes for file in found.objects.values())
    yield _line(
        "attachments", f"{len(found.objects):,}, {rough_size(sizes)} of {show_size(max_bytes)}"
    )
    for when, count, size_bytes in _by_age(found):
        yield _line("", f"{count:,}, {rough_size(size_bytes)} last used {when}")
    if found.drafts:
        yield _line("unfinished", f"{found.drafts:,}")
    if found.leftovers:
        yield _line("left behind", f"{len(found.leftovers)} by a verify --refetch that was killed")
    for index in found.indexes:
        yield _line("index", f"{_known(index)}, {rough_size(index.size_bytes)}")
        yield _line("", _owner(index))
    mounts = _mounts_using(directory)
    if mounts:
        yield _line("used by", ", ".join(map(str, mounts)))


def _line(name: str, text: str) -> str:
    return f"  {name + ':' if name else '':<13}{text}"


def _known(index: "IndexFile") -> str:
    if index.entries is None:
        return "unreadable"
    return f"{index.entries:,} entries, the last of {time_text(int(index.written_s * NS_PER_S))}"


def _owner(index: "IndexFile") -> str:
    url, identity = index.owner.url, index.owner.identity
    return f"{url or 'of an unknown archive'} as {identity or 'nobody'}"


def _by_age(found: "Kept") -> Iterator[tuple[str, int, int]]:
    """Yield when it was last used, files and bytes, of all that is not too old."""
    import time

    now_ns, newer = time.time_ns(), 0.0
    limits = [(f"within a {name}", limit_s) for name, limit_s in _AGES]
    for when, limit_s in (*limits, ("before", float("inf"))):
        sizes = [
            file.size_bytes
            for file in found.objects.values()
            if newer <= max(0.0, (now_ns - file.used_ns) / NS_PER_S) < limit_s
        ]
        newer = limit_s
        if sizes:
            yield when, len(sizes), sum(sizes)


def _fields(directory: Path, found: "Kept", max_bytes: int) -> dict[str, Any]:
    return {
        "directory": str(directory),
        "attachments": len(found.objects),
        "bytes": sum(file.size_bytes for file in found.objects.values()),
        "max_bytes": max_bytes,
        "least_recent_use": _time_of(min, found),
        "most_recent_use": _time_of(max, found),
        "unfinished": found.drafts,
        "left_behind": [str(path) for path in found.leftovers],
        "indexes": [
            {
                "file": str(index.path),
                "url": index.owner.url or None,
                "identity": index.owner.identity or None,
                "entries": index.entries,
                "bytes": index.size_bytes,
                "written": time_text(int(index.written_s * NS_PER_S)) or None,
            }
            for index in found.indexes
        ],
        "mounts": [str(path) for path in _mounts_using(directory)],
    }


def _time_of(pick: Any, found: "Kept") -> str | None:
    times = [file.used_ns for file in found.objects.values()]
    return time_text(pick(times)) if times else None


def _object(digest: str, file: "StoredFile") -> Mapping[str, Any]:
    from attachfs.content.stored import body_size

    return {
        "sha256": digest,
        "size_bytes": body_size(file.size_bytes),
        "last_used": time_text(file.used_ns),
    }


def _mounts_using(directory: Path) -> list[Path]:
    """Return the mounts of this user's that use a cache directory, as far as they answer."""
    from attachfs.cli.mounts import our_mounts
    from attachfs.errors import MountTrouble, NotMounted, SetupError
    from attachfs.mount.client import ANSWER_S, ask_all
    from attachfs.mount.mounts import absolute

    def is_it(answer: Mapping[str, Any] | SetupError) -> bool:
        try:
            return not isinstance(answer, SetupError) and (
                absolute(Path(answer["cache"]["directory"])) == absolute(directory)
            )
        except MountTrouble:  # the cache of that mount is on a disk that hangs
            return False

    try:
        mounts = our_mounts()
    except NotMounted:
        return []
    answers = ask_all(mounts, {"command": "status"}, timeout_s=ANSWER_S)
    return [mount for mount, answer in zip(mounts, answers, strict=True) if is_it(answer)]
