"""Real mounts by the real program, and an archive that can be steered."""

from tests.support.mounts import archive, attachfs, environment, mount, mounted, run

__all__ = ["archive", "attachfs", "environment", "mount", "mounted", "run"]
