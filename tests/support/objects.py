"""A server of objects that speaks S3, for shared stores."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.mounts import PATIENCE_S
from tests.support.ports import answers, free_port

_RCLONE = Path(sys.executable).with_name("rclone")
_KEY, _SECRET = "auditor", "a-secret-of-tests"


@dataclass(frozen=True)
class Objects:
    """The server: where its buckets are kept, and what programs need that use it."""

    root: Path
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def stop(self) -> None:
        """Have it answer nobody, while connections are made."""
        self.process.send_signal(signal.SIGSTOP)

    def forget(self) -> None:
        """Have it look anew at what is there."""
        self.process.send_signal(signal.SIGHUP)
        time.sleep(0.5)

    def resume(self) -> None:
        """Have it go on."""
        self.process.send_signal(signal.SIGCONT)


@contextmanager
def serving_objects(root: Path) -> Iterator[Objects]:
    """Serve the directories below `root` as buckets."""
    port = free_port()
    command = [str(_RCLONE), "serve", "s3", str(root), "--addr", f"127.0.0.1:{port}"]
    with subprocess.Popen(
        [*command, "--auth-key", f"{_KEY},{_SECRET}", "--config", "", "--vfs-cache-mode", "off"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            deadline_s = time.monotonic() + PATIENCE_S
            while not answers(port):
                assert process.poll() is None
                assert time.monotonic() < deadline_s
                time.sleep(0.05)
            environment = {
                "AWS_ACCESS_KEY_ID": _KEY,
                "AWS_SECRET_ACCESS_KEY": _SECRET,
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
                "AWS_DEFAULT_REGION": "us-east-1",
                # It gives the checksum of the whole with a part.
                "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
            }
            yield Objects(root, environment, process)
        finally:
            process.kill()  # asked to end, it waits for its clients for ten seconds
