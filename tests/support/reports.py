"""The rows of a verification's report, whatever its form."""

import json
from pathlib import Path
from typing import Any

from tests.support.lazy import LazyModule

# Not pyarrow.dataset, which imports pandas.
parquet = LazyModule("pyarrow.parquet")


# They differ from run to run: when it was, and whether an earlier one had the bytes.
_OF_THE_RUN = dict.fromkeys(("checked", "record_asked", "info_asked", "body_source"), "")


def rows_of(report: Path) -> list[dict[str, Any]]:
    """Return the findings of a report in JSON or Parquet, as they are whenever they are made."""
    findings = (
        [
            row
            for part in report.glob("*.parquet")
            for row in parquet.ParquetFile(part).read().to_pylist()
        ]
        if report.is_dir()
        else json.loads(report.read_bytes())["findings"]
    )
    return sorted(({**row, **_OF_THE_RUN} for row in findings), key=lambda row: str(row["path"]))
