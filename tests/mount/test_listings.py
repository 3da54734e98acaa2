"""Directories that come page by page: the first names at once, the whole of it or an error."""

import os
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from tests.support.archives import declared, uuid_in
from tests.support.mounts import PATIENCE_S, Mount, Steering
from tests.support.outcomes import WELL, outcome
from tests.support.programs import Done

pytestmark = pytest.mark.mount

Run = Callable[..., Done]

_MANY = 60


def _create(archive: Steering, name: str, files: int = 0) -> str:
    demo = archive.running.archive
    attributes: dict[str, Any] = {"arc_display_name": name}
    for number in range(files):
        blob = demo.create_blob(f"{name}, file {number}".encode())
        attributes[f"file {number}"] = declared(blob, arc_file_name=f"{number}.txt")
    return uuid_in(demo.create_asset({"attributes": attributes}))


@pytest.fixture
def paged(mount: Callable[..., Mount], archive: Steering) -> Mount:
    """A mount that believes nothing for long, of a server whose pages hold two entries."""
    archive.switch(max_page_limit=2)
    mounted = mount("--metadata-ttl", "0s", "--negative-ttl", "0s")
    archive.reset()
    return mounted


def test_a_reader_gets_names_before_the_second_page_has_come(
    paged: Mount, archive: Steering
) -> None:
    """`ls -U` prints the first one while it waits; killed then, it ends at once."""
    archive.fail_next(path_regex="/assets$", skip=1, status=0, delay_s=600.0)
    ls = ("stdbuf", "-oL", "ls", "-U", str(paged.path / "assets"))
    with subprocess.Popen(ls, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # Its C library asks for as many entries as fit: it has them in two calls.
        with os.scandir(paged.path / "assets") as entries:
            first = next(entries).name
        assert len(archive.paths("/assets$")) <= 2
        process.send_signal(signal.SIGKILL)
        assert process.wait(PATIENCE_S) == -signal.SIGKILL
    assert (paged.path / "assets" / first / "asset.json").read_text()


_HALF_WAY = {
    "assets": "assets",
    "by-name": "by-name",
    "as-of/2024-06-30/assets": "assets",
    f"assets/{SAMPLE['asset:container']}/events": "events",
    f"as-of/2024-06-30/assets/{SAMPLE['asset:container']}/events": "events",
    f"publicassets/{SAMPLE['asset:conformity']}/events": "events",
}


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_listing_that_fails_half_way_is_an_error(
    shared_archive: Steering, shared_mount: Callable[..., Mount], run: Run, tmp_path: Path, status: int
) -> None:
    """Of `ls`, `find` and whoever asks, in every view; never a short one that went well."""
    shared_archive.switch(max_page_limit=1)
    mounted = shared_mount(*("--metadata-ttl", "0s", "--negative-ttl", "0s"), "--cache-dir", tmp_path)
    mounted.expected_warnings.update((f"the server answered {status}", "Half-way"))
    for path, collection in _HALF_WAY.items():
        directory = mounted.path / path
        assert directory.stat()
        for program in (("ls", "-U"), ("find",)):
            shared_archive.reset()
            shared_archive.fail_next(
                path_regex=f"/{collection}$", skip=1, status=status, times=9999
            )
            failed = run(*program, directory)
            shared_archive.reset()
            assert failed.returncode != 0, (path, program, failed.stdout)
            assert failed.stderr
        whole = run("ls", "-U", directory)
        assert (whole.returncode, whole.stderr) == (0, ""), path
        assert len(whole.stdout.splitlines()) >= 2
    shared_archive.switch(max_page_limit=500)
