"""The rows of a verification's report, whatever its form."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

# In a process of its own: a worker of xdist that has imported pyarrow keeps its 130 MB. Not
# pyarrow.dataset, which imports pandas.
_READ = """
import json, sys
from pathlib import Path
from pyarrow import parquet
parts = Path(sys.argv[1]).glob("*.parquet")
print(json.dumps([row for part in parts for row in parquet.ParquetFile(part).read().to_pylist()]))
"""


# They differ from run to run: when it was, and whether an earlier one had the bytes.
_OF_THE_RUN = dict.fromkeys(("checked", "record_asked", "info_asked", "body_source"), "")


def rows_of(report: Path) -> list[dict[str, Any]]:
    """Return the findings of a report in JSON or Parquet, as they are whenever they are made."""
    if report.is_dir():
        command = [sys.executable, "-c", _READ, str(report)]
        findings = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    else:
        findings = json.loads(report.read_bytes())["findings"]
    return sorted(({**row, **_OF_THE_RUN} for row in findings), key=lambda row: str(row["path"]))
