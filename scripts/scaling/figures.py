"""What was measured, as it is kept in a file, and what follows for an item."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Self

from scaling.estate import Size
from scaling.model import Confirms, Work
from scaling.runs import Run
from scaling.stages import Kept

_CONFIRMS: Final = {"again": Confirms.ALWAYS, "list": Confirms.NEVER}


@dataclass(frozen=True, slots=True)
class Figures:
    """Hold the runs of one estate by the name of their stage, and what the first one left."""

    size: Size
    rate: float
    runs: Mapping[str, Run]
    kept: Kept | None

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return what was written."""
        told: dict[str, Any] = json.loads(path.read_text())
        runs = {name: Run(**run) for name, run in told["runs"].items()}
        kept = None if told["kept"] is None else Kept(**told["kept"])
        return cls(Size(**told["size"]), told["rate"], runs, kept)

    @property
    def request_bytes(self) -> float:
        """How many bytes a request and its answer take on the wire, the body of a body apart."""
        run = self.runs["wire"]
        return (run.wire_bytes - run.bytes["bodies"]) / run.all_requests

    def work(self, stage: str) -> Work:
        """Return what a stage takes a place."""
        confirms = _CONFIRMS.get(stage, Confirms.LATE)
        return Work.of(self.runs[stage], self.size, self.runs["start"], confirms)
