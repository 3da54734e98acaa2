"""`storage_options` are a mount's options; mistakes are told before anybody is asked."""

import os
from pathlib import Path
from typing import Any

import pytest

from attachfs.archive.endpoints import ScanPolicy
from attachfs.fsspec import ArchivistFileSystem
from attachfs.fsspec.options import settings_of


def test_they_are_those_of_a_mount(options: dict[str, Any], tmp_path: Path) -> None:
    """As numbers or as people write them; None and False are as good as left out."""
    chosen = settings_of(
        options
        | {
            "cache_dir": str(tmp_path / "own"),
            "cache_size": "5MiB",
            "memory_cache": 1000,
            "cache_min_free": "1%",
            "timeout": 2.5,
            "metadata_ttl": "2m",
            "scan_policy": "require-ok",
            "untracked": True,
            "public": False,
            "ca_bundle": None,
        }
    )
    assert chosen.url == options["archive"]
    assert chosen.cache_dir == tmp_path / "own"
    assert chosen.cache_dir.stat().st_mode & 0o777 == 0o700
    assert (chosen.cache_size_bytes, chosen.memory_cache_bytes) == (5 << 20, 1000)
    assert (chosen.timeout_s, chosen.metadata_ttl_s) == (2.5, 120)
    assert chosen.scan_policy is ScanPolicy.REQUIRE_OK
    assert (chosen.untracked, chosen.public) == (True, False)


def test_what_is_left_open_is_taken_from_elsewhere(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a profile, and before that from the environment, which keeps its secrets."""
    file = tmp_path / "config.toml"
    file.write_text(f'[profiles.acme]\nurl = "{options["archive"]}"\ntimeout = "9s"\n')
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "a.bare.token")
    chosen = settings_of({"config": str(file), "profile": "acme"})
    assert (chosen.url, chosen.timeout_s) == (options["archive"], 9)
    assert chosen.credentials is not None
    assert os.environ["DATATRAILS_AUTHTOKEN"] == "a.bare.token"
    monkeypatch.setenv("ATTACHFS_TIMEOUT", "8s")
    assert settings_of({"config": str(file), "profile": "acme"}).timeout_s == 8


def test_the_process_is_not_ours(options: dict[str, Any]) -> None:
    """Its umask stays what it was."""
    before = os.umask(0o022)
    try:
        settings_of(options)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"tokenfile": "x"}, "tokenfile is no option of archivist://; did you mean token_file?"),
        ({"allow_other": True}, "allow_other is no option"),
        ({"timeout": "soon"}, "'soon' is not a duration"),
        ({"scan_policy": "maybe"}, "'maybe' is not one of"),
        ({"config": "/nothing/here"}, "/nothing/here"),
        ({"profile": "none"}, "none"),
    ],
)
def test_a_mistake_is_told_at_once(options: dict[str, Any], wrong: Any, told: str) -> None:
    """With what may have been meant."""
    with pytest.raises(ValueError, match=told.replace("?", r"\?")):
        ArchivistFileSystem(**options, **wrong)


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"token_file": "/nothing/here"}, PermissionError),
        ({"token_file": None}, PermissionError),
        ({"archive": "http://127.0.0.1:1", "timeout": 0.5}, OSError),
        ({"archive": "ftp://127.0.0.1"}, ValueError),
        ({"cache_dir": "/proc/nothing"}, OSError),
    ],
)
def test_what_cannot_be_opened_is_told_when_it_is_asked(
    options: dict[str, Any],
    changed: Any,
    kind: type[Exception],
    expected_warnings: set[str],
) -> None:
    """As an error of Python's, not of attachfs'."""
    expected_warnings.add("retry_scheduled")
    fs = ArchivistFileSystem(**options | changed)
    with pytest.raises(kind):
        fs.ls("")
