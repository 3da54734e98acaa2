"""What mount(8) passes on: sources, mount points and `-o` options."""

from collections.abc import Callable

import pytest

from attachfs.cli.fstab import flags, rewritten
from attachfs.cli.options import configurable
from attachfs.errors import UsageError
from tests.support.programs import Done, sentence


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("acme /mnt -o ro", "mount /mnt --profile acme --source acme -o ro"),
        ("demo /mnt -o rw,dev", "mount /mnt --profile demo --source demo -o rw,dev"),
        (
            "https://host /mnt -o ro",
            "mount /mnt --url https://host --source https://host -o ro",
        ),
        ("mount /mnt -o ro", "mount /mnt -o ro"),
        ("demo /mnt", "demo /mnt"),
        ("ls assets", "ls assets"),
        ("--help", "--help"),
        ("", ""),
    ],
)
def test_a_source_a_directory_and_options_are_a_mount(given: str, expected: str) -> None:
    """Whatever the source is called; every other command line is left alone."""
    assert rewritten(given.split()) == expected.split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("defaults,noauto,_netdev,nofail,user,users", []),
        ("rw,dev,suid,exec,noatime,x-systemd.automount,x-gvfs-show,comment=mine,user=me", []),
        ("ro,allow_other", ["--allow-other"]),
        ("token_file=/etc/token,cache-size=1GiB", ["--token-file=/etc/token", "--cache-size=1GiB"]),
        (r"cache_dir=/a\,b", ["--cache-dir=/a,b"]),
        ("uid=1000,gid=adm,umask=027", ["--uid=1000", "--gid=adm", "--umask=027"]),
    ],
)
def test_options_are_flags(text: str, expected: list[str]) -> None:
    """Under their names with `_` or `-`; those of every file system say nothing new."""
    assert flags([text], configurable()) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("tokenfile=/x", "-o tokenfile is no option of attachfs; did you mean token_file?"),
        ("remount", "-o remount is no option"),
        ("xyzzy", "`attachfs mount --help` lists them"),
        ("token_file", "write token_file=..."),
        ("token_file=", "write token_file=..."),
        ("allow_other=yes", "leave out =yes"),
    ],
)
def test_what_is_no_option_is_refused(text: str, says: str) -> None:
    """With what was probably meant."""
    with pytest.raises(UsageError) as caught:
        flags([f"ro,{text}"], configurable())
    assert says in str(caught.value)


def test_a_mistake_in_fstab_is_one_sentence(attachfs: Callable[..., Done]) -> None:
    """It ends up in the journal of whoever mounts."""
    done = attachfs("acme", "/mnt", "-o", "rw,tokenfile=/x")
    assert done.returncode == 2
    assert "did you mean token_file?" in sentence(done)
    done = attachfs("acme", "/mnt", "-o", "rw")
    assert done.returncode == 3
    assert "there is no profile 'acme'" in sentence(done)
