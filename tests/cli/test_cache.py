"""`attachfs cache`: what is kept on this machine is shown, and removed."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.archives import sha256
from tests.support.mounts import Mount, Steering
from tests.support.programs import Done, sentence, usage_error

_NOBODY = 65534

_PHOTO = f"assets/{SAMPLE['asset:container']}/{SAMPLE['blob:container-photo']}"


def _json(done: Done) -> Any:
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


@pytest.mark.mount
def test_evidence_is_seen_and_removed_while_it_is_mounted(
    mounted: Mount, archive: Steering, attachfs: Callable[..., Done]
) -> None:
    """The mount goes on; what it may still read it fetches again."""
    photo = (mounted.path / _PHOTO).read_bytes()
    shown = _json(attachfs("cache", "show", "--json", "--long"))
    assert (shown["attachments"], shown["bytes"]) == (1, len(photo))
    assert shown["max_bytes"] == 10 * 2**30
    assert shown["objects"] == [
        {
            "sha256": sha256(photo),
            "size_bytes": len(photo),
            "last_used": shown["least_recent_use"],
        }
    ]
    (index,) = shown["indexes"]
    assert index["url"] == archive.url
    assert index["identity"]
    assert index["entries"] > 0
    assert shown["mounts"] == [str(mounted.path)]

    text = attachfs("cache", "show", "-l")
    lines = text.stdout.splitlines()
    assert text.stderr == ""
    assert lines[0] == shown["directory"]
    assert lines[1].startswith("  attachments: 1, ")
    assert lines[2].endswith(" last used within a day")
    assert f"{archive.url} as {index['identity']}" in text.stdout
    assert f"  used by:     {mounted.path}\n" in text.stdout
    assert lines[-1].split()[:2] == [sha256(photo), str(len(photo))]

    recent = attachfs("cache", "clear", "--older-than", "1h")
    assert recent.stdout == "removed: 0 files, 0 B; 0 entries of what is known\n"
    cleared = attachfs("cache", "clear", "--json")
    assert json.loads(cleared.stdout)["removed_files"] == 1
    assert json.loads(cleared.stdout)["removed_entries"] > 0
    assert f"what the mount on {mounted.path} holds in memory" in cleared.stderr
    left = _json(attachfs("cache", "show", "--json"))
    assert (left["attachments"], left["least_recent_use"]) == (0, None)
    assert (mounted.path / _PHOTO).read_bytes() == photo


def test_nothing_is_kept_and_nothing_removed(attachfs: Callable[..., Done], tmp_path: Path) -> None:
    """Where there is no cache."""
    missing = tmp_path / "missing"
    shown = attachfs("cache", "show", "--cache-dir", missing, "--cache-size", "1MiB")
    assert shown.stdout == f"{missing}\n  attachments: 0, 0 B of 1MiB\n"
    done = attachfs("cache", "clear", "--cache-dir", missing)
    assert done.stdout == "removed: 0 files, 0 B; 0 entries of what is known\n"
    assert not missing.exists()


def test_a_mistake_is_told(attachfs: Callable[..., Done], tmp_path: Path) -> None:
    """In one sentence, or with a hint at the help."""
    file = tmp_path / "file"
    file.write_bytes(b"mine")
    for command in ("show", "clear"):
        done = attachfs("cache", command, "--cache-dir", file / "below")
        assert done.returncode == 43
        assert "Not a directory" in sentence(done)
    assert "'long'" in usage_error(attachfs("cache", "clear", "--older-than", "long"))
    assert file.read_bytes() == b"mine"


@pytest.mark.parametrize("command", ["show", "clear"])
def test_two_users_of_one_directory_get_a_sentence(
    attachfs: Callable[..., Done], tmp_path: Path, command: str
) -> None:
    """The second one is told to use another directory."""
    tmp_path.chmod(0o1777)
    (tmp_path / "objects").mkdir()
    os.chown(tmp_path / "objects", _NOBODY, _NOBODY)
    done = attachfs("cache", command, "--cache-dir", tmp_path)
    assert done.returncode == 43
    assert "give one of yours with --cache-dir" in sentence(done)
