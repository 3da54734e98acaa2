"""What mount(8) and /etc/fstab say, in the words of `attachfs mount`.

`mount -t fuse.attachfs acme /mnt/evidence -o ro,token_file=/etc/attachfs/token` ends up as
`attachfs acme /mnt/evidence -o ...` (mount.fuse3(8)): a profile or a URL, a directory, options.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Final

import click

from attachfs.errors import UsageError

# Those of every file system (mount(8)): about when to mount, which is over by now, or what always
# holds. `rw`, `dev`, `suid` and `exec` are defaults of mount(8), which cannot weaken anything.
_GENERIC_NAMES: Final = """
    async atime auto bsdgroups defaults dev diratime dirsync exec group iversion lazytime loud mand
    noatime noauto nodev nodiratime noexec nofail noiversion nolazytime nomand nonempty norelatime
    nostrictatime nosuid nosymfollow nouser nousers owner relatime ro rw silent strictatime suid
    sync user users _netdev default_permissions
"""
_GENERIC: Final = frozenset(_GENERIC_NAMES.split())
_GENERIC_WITH_VALUE: Final = ("x-", "X-", "comment", "context", "fsname", "subtype", "user")


def rewritten(arguments: Sequence[str]) -> list[str]:
    """Return a command line in which `SOURCE MOUNTPOINT -o ...` is a `mount` of that source."""
    match arguments:
        case [source, mountpoint, *rest] if "-o" in rest and not source.startswith("-"):
            # As mount(8) has it, whatever the source is called: also `demo`.
            if source == "mount":
                return list(arguments)
            kind = "--url" if "://" in source else "--profile"
            return ["mount", mountpoint, kind, source, "--source", source, *rest]
    return list(arguments)


def flags(texts: Sequence[str], known: Mapping[str, click.Option]) -> list[str]:
    """Return the flags that the texts after `-o` stand for; `known` are options by their names.

    Raises `UsageError` for what is neither an option of ours nor one of every file system.
    """
    found: list[str] = []
    for text in texts:
        for part in filter(None, _split(text)):
            found += _flag(part, known)
    return found


def _flag(part: str, known: Mapping[str, click.Option]) -> list[str]:
    name, equals, value = part.partition("=")
    option = known.get(name.replace("_", "-"))
    if option is None:
        if name in _GENERIC and not equals:
            return []
        if (equals and name.startswith(_GENERIC_WITH_VALUE)) or name.startswith(("x-", "X-")):
            return []
        names = [option.replace("-", "_") for option in known]
        near = get_close_matches(name, [*names, *_GENERIC], n=1)
        hint = f"did you mean {near[0]}?" if near else "`attachfs mount --help` lists them"
        raise UsageError(f"-o {name} is no option of attachfs; {hint}")
    flag = option.opts[0]
    if option.is_flag:
        if equals:
            raise UsageError(f"-o {name} takes no value; leave out ={value}")
        return [flag]
    if not equals or not value:
        raise UsageError(f"-o {name} needs a value; write {name}=...")
    return [f"{flag}={value}"]


def _split(text: str) -> list[str]:
    r"""Return what stands between commas; `\,` is a comma in a value (mount.fuse3(8))."""
    parts = [""]
    characters = iter(text)
    for character in characters:
        if character == "\\":
            parts[-1] += next(characters, "")
        elif character == ",":
            parts.append("")
        else:
            parts[-1] += character
    return parts
