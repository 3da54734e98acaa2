"""What a worker of this machine does not listen to: Ctrl-C, and HTTP from other users."""

import signal
from typing import Any


def dask_setup(worker: Any) -> None:
    """Ignore SIGINT, which a terminal sends to workers as well, and close the HTTP server.

    Dask calls it as a worker starts, and cannot be told to start without an HTTP server. Until it
    is closed, that has no routes (`attachfs.cluster.crew`).
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    worker.http_server.stop()
