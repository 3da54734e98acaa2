"""Public assets, by UUID or by public URL, and the options of `attachfs mount` that use them."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attachfs.access.settings import Settings
from attachfs.cli import mount as mounting
from attachfs.cli.public import parse_public_assets
from attachfs.errors import UsageError
from attachfs.mount import mountpoint as mountpoints
from tests.support.programs import Done, sentence

_ASSET = "3a0a0d49-5a2c-4e4c-8f9f-0123456789ab"
_EVENT = "018fa97c-ef5f-7c8a-9e0d-0123456789ab"
_ARCHIVE = "https://app.datatrails.ai"
_LOCAL = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("text", "archive"),
    [
        (_ASSET, _ARCHIVE),
        (_ASSET.upper(), _ARCHIVE),
        (f"  {_ASSET}\n", _ARCHIVE),
        (f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}", _ARCHIVE),
        (f"{_ARCHIVE}/archivist/publicassets/{_ASSET}", _ARCHIVE),
        (f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET.upper()}/", _ARCHIVE),
        (f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}/events/{_EVENT}", _ARCHIVE),
        (f"{_ARCHIVE}/archivist/publicassets/{_ASSET}/events/{_EVENT.upper()}/", _ARCHIVE),
        (f"HTTPS://App.DataTrails.AI:443/archivist/publicassets/{_ASSET}", _ARCHIVE),
        (f"https://app.datatrails.ai./archivist/publicassets/{_ASSET}", _ARCHIVE),
        (f"https://app.rkvst.io/archivist/publicassets/{_ASSET}", _ARCHIVE),
        (f"https://app.rkvst.io/archivist/publicassets/{_ASSET}", "https://app.rkvst.io"),
        (f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}", "https://app.rkvst.io"),
        (f"{_LOCAL}/archivist/v2/publicassets/{_ASSET}", _LOCAL),
        (f"http://[::1]:81/archivist/v2/publicassets/{_ASSET}", "http://[::1]:81"),
    ],
)
def test_assets_are_named_by_uuid_or_url(text: str, archive: str) -> None:
    """In both forms of the URL, of the asset or an event of it, on either name of the host."""
    assert parse_public_assets([text], archive_url=archive) == (_ASSET,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "asset",
        _ASSET[:-1],
        f"{_ASSET}0",
        _ASSET.replace("-", ""),
        f"{{{_ASSET}}}",
        f"publicassets/{_ASSET}",
        f"/archivist/v2/publicassets/{_ASSET}",
        f"app.datatrails.ai/archivist/v2/publicassets/{_ASSET}",
        f"ftp://app.datatrails.ai/archivist/v2/publicassets/{_ASSET}",
        f"https:///archivist/v2/publicassets/{_ASSET}",
        f"{_ARCHIVE}/archivist/v2/assets/{_ASSET}",
        f"{_ARCHIVE}/archivist/v1/publicassets/{_ASSET}",
        f"{_ARCHIVE}/archivist/v2/PublicAssets/{_ASSET}",
        f"{_ARCHIVE}/archivist/v2/publicassets/",
        f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}//",
        f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}/events",
        f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}/{_EVENT}",
        f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}?x=1",
        f"{_ARCHIVE}/archivist/v2/publicassets/{_ASSET}#x",
        f"https://user@app.datatrails.ai/archivist/v2/publicassets/{_ASSET}",
        f"https://app.datatrails.ai:port/archivist/v2/publicassets/{_ASSET}",
        f"https://[::1/archivist/v2/publicassets/{_ASSET}",
        f"{_ASSET},{_EVENT}",
        f"\u0663{_ASSET[1:]}",
    ],
)
def test_what_names_no_public_asset_is_refused(text: str) -> None:
    """The message repeats it and shows what it should look like."""
    with pytest.raises(UsageError) as caught:
        parse_public_assets([text], archive_url=_ARCHIVE)
    assert repr(text) in str(caught.value)
    assert f"{_ARCHIVE}/archivist/v2/publicassets/<uuid>" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["https://app.datatrails.com", "https://app.datatrails.ai:444", _LOCAL]
)
def test_an_asset_of_another_archive_is_refused(url: str) -> None:
    """The message names both, and what to do."""
    asset = f"{url}/archivist/v2/publicassets/{_ASSET}"
    with pytest.raises(UsageError) as caught:
        parse_public_assets([asset], archive_url=_ARCHIVE)
    for part in (asset, "another host than the archive, app.datatrails.ai;", "the UUID alone"):
        assert part in str(caught.value)


@given(st.text() | st.from_regex(r"\Ahttps?://[^/]*/archivist/publicassets/[0-9a-f-]{36}/?\Z"))
def test_no_text_breaks_it(text: str) -> None:
    """Any text gives a UUID or `UsageError`."""
    try:
        (uuid,) = parse_public_assets([text], archive_url=_ARCHIVE)
    except UsageError:
        return
    assert uuid == uuid.lower()


def test_each_asset_counts_once_in_the_order_given() -> None:
    """However it is named."""
    texts = [_EVENT, f"{_ARCHIVE}/archivist/publicassets/{_ASSET}", _EVENT.upper(), _ASSET]
    assert parse_public_assets(texts, archive_url=_ARCHIVE) == (_EVENT, _ASSET)
    assert parse_public_assets([], archive_url=_ARCHIVE) == ()


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Settings]:
    """Return what `attachfs mount` with these options would mount with."""

    def settings(*options: str) -> Settings:
        made: list[Settings] = []

        def serve(serving: mounting.Serving, *_: Any) -> int:
            made.append(serving.settings)
            return 0

        monkeypatch.setattr(mounting, "serve", serve)
        monkeypatch.setattr(mountpoints, "check_fuse", lambda **_: None)
        arguments = [*options, "--cache-dir", f"{tmp_path}/cache", "--foreground", f"{tmp_path}"]
        monkeypatch.setattr(mountpoints, "check", lambda _: None)
        assert mounting.command.main(arguments, standalone_mode=False) == 0
        return made[0]

    return settings


def test_a_public_mount_has_no_credentials(
    settings_of: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither given nor needed; the assets to list are those named."""
    monkeypatch.setenv("DATATRAILS_AUTHTOKEN", "hunter2")
    settings = settings_of("--public", "--public-asset", _ASSET, "--public-asset", _EVENT.upper())
    assert (settings.credentials, settings.public) == (None, True)
    assert settings.public_assets == (_ASSET, _EVENT)
    assert "DATATRAILS_AUTHTOKEN" not in os.environ


def test_public_assets_go_with_credentials_too(
    settings_of: Callable[..., Settings], token_file: Path
) -> None:
    """By variable as by option; without either, there are none; lifetimes are passed on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTACHFS_PUBLIC_ASSET", f"{_ASSET}\n {_EVENT}")
        settings = settings_of("--token-file", str(token_file))
    assert settings.credentials is not None
    assert (settings.public, settings.public_assets) == (False, (_ASSET, _EVENT))
    settings = settings_of(
        "--token-file", str(token_file), "--negative-ttl", "0", "--stale-ok", "2h"
    )
    assert settings.public_assets == ()
    assert (settings.negative_ttl_s, settings.stale_ok_s) == (0.0, 7200.0)


def test_public_and_credentials_contradict_each_other(
    attachfs: Callable[..., Done], token_file: Path
) -> None:
    """As wrong usage, in one sentence."""
    done = attachfs("mount", "/nowhere", "--public", "--token-file", token_file)
    assert done.returncode == 2
    assert "--public takes no credentials; leave out --token-file" in sentence(done)
