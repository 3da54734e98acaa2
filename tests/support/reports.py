"""The rows of a verification's report, whatever its form."""

import json
from pathlib import Path
from typing import Any

from tests.support.lazy import LazyModule

dataset = LazyModule("pyarrow.dataset")


def rows_of(report: Path) -> list[dict[str, Any]]:
    """Return the findings of a report in JSON or Parquet, as they are whenever they are made."""
    findings = (
        dataset.dataset(report, format="parquet").to_table().to_pylist()
        if report.is_dir()
        else json.loads(report.read_bytes())["findings"]
    )
    return sorted(({**row, "checked": ""} for row in findings), key=lambda row: str(row["path"]))
