"""The program with settings that no option sets: `impatient.py negative_ttl_s=0.2 -- mount ...`."""

import sys

from attachfs.access import settings
from attachfs.cli.app import main


def impatient(**settings_s: float) -> tuple[str, ...]:
    """Return what to run in place of `-m attachfs`, to have these settings, in seconds."""
    return (__file__, *(f"{name}={value}" for name, value in settings_s.items()), "--")


if __name__ == "__main__":
    given = sys.argv[1 : sys.argv.index("--")]
    sys.argv[1:] = sys.argv[sys.argv.index("--") + 1 :]
    chosen = {name: float(value) for name, _, value in (pair.partition("=") for pair in given)}
    made = settings.Settings
    settings.Settings = lambda **given: made(**given | chosen)  # type: ignore[misc, assignment]
    main()
