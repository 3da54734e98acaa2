"""What a mount has fetched or learnt serves fsspec too, and the other way round."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from attachfs.demo.estate import SAMPLE
from attachfs.fsspec import ArchivistFileSystem
from tests.support.estates import BLOB_PATHS
from tests.support.mounts import Mount, Steering, environment, mount

__all__ = ["environment", "mount"]

_CONTAINER = f"assets/{SAMPLE['asset:container']}"
_CERTIFICATE = f"{_CONTAINER}/{SAMPLE['blob:certificate']}"
_PHOTO = f"{_CONTAINER}/{SAMPLE['blob:container-photo']}"


@pytest.mark.mount
def test_bytes_are_fetched_once_for_both(
    mount: Callable[..., Mount], archive: Steering, options: dict[str, Any], tmp_path: Path
) -> None:
    """While both are there, with one cache directory."""
    cache = tmp_path / "shared"
    mounted = mount("--cache-dir", cache)
    certificate = (mounted.path / _CERTIFICATE).read_bytes()
    fs = ArchivistFileSystem(**options, cache_dir=str(cache))
    assert fs.cat_file(_CERTIFICATE) == certificate
    photo = fs.cat_file(_PHOTO)
    assert (mounted.path / _PHOTO).read_bytes() == photo
    assert len(archive.paths(BLOB_PATHS)) == 2
    assert fs.info(_PHOTO)["ino"] == (mounted.path / _PHOTO).stat().st_ino
