"""What a worker of this machine begins with: Ctrl-C is for whoever runs the job."""

import signal


def dask_setup(_worker: object) -> None:
    """Ignore SIGINT, which a terminal sends to workers as well; called by Dask as one starts."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
