"""A server of objects that speaks S3, for shared stores."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.outcomes import until
from tests.support.ports import answers, free_port

_RCLONE = Path(sys.executable).with_name("rclone")
_KEY, _SECRET = "auditor", "a-secret-of-tests"


class Objects:
    """The server: where its buckets are kept, and what programs need that use it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._port = free_port()
        self.environment = {
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_DEFAULT_REGION": "us-east-1",
            # It gives the checksum of the whole with a part.
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
        self._process = self._started()

    def stop(self) -> None:
        """Have it answer nobody, while connections are made."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)

    def restart(self) -> None:
        """Have it look anew at what is there."""
        self.end()
        self._process = self._started()

    def end(self) -> None:
        """End it."""
        self._process.kill()  # asked to end, it waits for its clients for ten seconds
        self._process.wait()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [str(_RCLONE), "serve", "s3", str(self.root), "--addr", f"127.0.0.1:{self._port}"]
        process = subprocess.Popen(
            [
                *command,
                "--auth-key",
                f"{_KEY},{_SECRET}",
                "--config",
                "",
                "--vfs-cache-mode",
                "off",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            until(lambda: process.poll() is not None or answers(self._port))
            assert process.poll() is None
        except BaseException:
            process.kill()
            process.wait()
            raise
        return process


@contextmanager
def serving_objects(root: Path) -> Iterator[Objects]:
    """Serve the directories below `root` as buckets."""
    objects = Objects(root)
    try:
        yield objects
    finally:
        objects.end()
