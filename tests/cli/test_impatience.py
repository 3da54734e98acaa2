"""Ctrl-C pressed again and again: what the first one began is done to its end."""

import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.programs import left_mounted, running


@pytest.mark.parametrize("command", ["serve", pytest.param("demo", marks=pytest.mark.mount)])
def test_signals_without_end_are_as_good_as_one(
    environment: dict[str, str], tmp_path: Path, command: str
) -> None:
    """However many come while all is taken down, it ends well and nothing stays behind."""
    env = environment | {"TMPDIR": str(tmp_path)}
    with running(command, env=env) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(("token file: ", "Ctrl-C")):
                break
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.002)
        _, error = process.communicate()
    assert left_mounted(tmp_path) == []
    assert (process.returncode, error) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert list((tmp_path / "run").rglob("*.socket")) == []
