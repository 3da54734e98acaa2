"""What no option says: the tree, files, signals, examples."""

from manual_pages.roff import Page

_TREE = """
assets/<asset>/
  asset.json                     the record, as served
  <attachment>                   the bytes
  <attachment>.info.json         what /info says of them
  SHA256SUMS                     sha256sum -c SHA256SUMS
  events/<event>/                the same, with event.json
by-name/<name>~<short id>/       the same assets under their display names
publicassets/<asset>/            public assets, asked for without a token
as-of/<time>/assets/<asset>/     as it stood then
"""

_EXAMPLES = (
    (
        "Mount an archive, look at it, and take the mount down:",
        """
mkdir -p ~/evidence
attachfs mount ~/evidence --token-file ~/.datatrails-token
ls ~/evidence/by-name
cd ~/evidence/by-name/SOME-ASSET && sha256sum -c SHA256SUMS
cd && attachfs umount ~/evidence
""",
    ),
    (
        "See why a file could not be read, and everything that is known of it:",
        """
getfattr --only-values -n user.archivist.last_error FILE
getfattr -d FILE
""",
    ),
    (
        "Mount by a profile of the configuration, and see what that comes to:",
        """
attachfs config show --profile acme
attachfs mount --profile acme
""",
    ),
    (
        "In /etc/fstab, mounted when somebody looks there:",
        """
acme /mnt/evidence fuse.attachfs noauto,x-systemd.automount,_netdev 0 0
""",
    ),
    (
        "Try it without an archive of your own:",
        """
attachfs demo
""",
    ),
)


def description(page: Page) -> None:
    """Say what a mount is."""
    page.heading("DESCRIPTION")
    page.paragraph(
        "`attachfs` mounts an archive as a directory in which every attachment of every asset and "
        "event is a file that any program can read. Bytes are fetched when they are read, and "
        "checked against the length and SHA-256 of the record and of /info; those that differ are "
        "never seen whole. It is read-only: the kernel refuses every write, and no request that is "
        "sent changes anything."
    )
    page.example(_TREE)
    page.paragraph(
        "Names in `assets/` are UUIDs. A path that is not listed and exists can be read by its "
        "name. In `as-of/`, a time is written like 2024-06-01T12:00:00Z; a date stands for its "
        "end in UTC."
    )
    page.paragraph(
        "Extended attributes of a file (`getfattr -d`) are the fields of /info as "
        "user.archivist.<field>, the sources that verified the bytes "
        "(user.archivist.verified_by), and, after a failed read, why "
        "(user.archivist.last_error)."
    )
    page.paragraph(
        "As `mount`(8) calls it, and /etc/fstab says it, SOURCE is a profile of the configuration "
        "or a URL, and the options stand after `-o`, with commas between and with underscores or "
        "hyphens: `-o allow_other,cache_size=1GiB`."
    )


def more_environment(page: Page) -> None:
    """List the variables that belong to no option."""
    page.listed(
        "HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY",
        "Proxies for every request, and the hosts that are asked directly.",
    )
    page.listed("SSL_CERT_DIR", "A directory of certificate authorities to trust.")
    page.listed(
        "XDG_CONFIG_HOME, XDG_CACHE_HOME, XDG_STATE_HOME, XDG_RUNTIME_DIR",
        "Where the files below are, instead of ~/.config, ~/.cache, ~/.local/state and the "
        "runtime directory of the user.",
    )
    page.listed("NOTIFY_SOCKET", "Where to tell that the mount is ready: `sd_notify`(3).")


def files(page: Page) -> None:
    """List the files that are read and written."""
    page.heading("FILES")
    page.listed(
        "~/.config/attachfs/config.toml, /etc/attachfs/config.toml",
        "The configuration: `attachfs.toml`(5).",
    )
    page.listed(
        "~/.cache/attachfs/",
        "Verified attachments, and an index of what exists; `--cache-dir` names another. It may "
        "be removed while nothing is mounted. Nobody but its user may read it.",
    )
    page.listed(
        "~/.local/state/attachfs/log/", "The logs of mounts in the background, one a mount point."
    )
    page.listed(
        "$XDG_RUNTIME_DIR/attachfs/",
        "The sockets by which commands talk to mounts; of root's mounts without "
        "XDG_RUNTIME_DIR, in /run/attachfs.",
    )
    page.listed("/dev/fuse", "What the kernel mounts through.")
    page.listed(
        "/etc/fuse.conf",
        "Where an administrator allows `--allow-other` to users, by a line `user_allow_other`.",
    )


def signals(page: Page) -> None:
    """Say what signals do to the process of a mount."""
    page.heading("SIGNALS")
    page.paragraph("To the process of a mount, which `attachfs status` names:")
    page.listed(
        "SIGTERM, SIGINT", "Unmount and end. Readers get an error; what was mounted is let go."
    )
    page.listed(
        "SIGHUP",
        "Ask the server again for everything that it may have changed, as `attachfs refresh` "
        "does. Verified bytes are kept.",
    )
    page.listed("SIGUSR1", "Log where every task and thread waits.")


def examples(page: Page) -> None:
    """Show how it is used."""
    page.heading("EXAMPLES")
    for text, lines in _EXAMPLES:
        page.paragraph(text)
        page.example(lines)
