"""Seconds that each DAG file costs to parse, on top of what Airflow's processes have loaded already.

`python bench/parse_cost.py [REPEATS]` runs each measurement in a fresh interpreter and shows the median of several,
beside what one careless import at the top of a file would cost.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CARELESS = ("pandas", "pyarrow.parquet", "boto3", "clickhouse_connect", "great_expectations")

TIMED = """
import time, airflow.sdk, runpy, importlib
began = time.perf_counter()
{action}
print(time.perf_counter() - began)
"""


def seconds(action: str, repeats: int) -> float:
    """Return the median wall time in seconds of the action after `import airflow.sdk`."""
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"PYTHONPATH": str(ROOT / "plugins"), "AIRFLOW_HOME": home}
        command = [sys.executable, "-c", TIMED.format(action=action)]
        runs = [
            subprocess.run(command, env=environment, capture_output=True, text=True, check=True) for _ in range(repeats)
        ]
    return statistics.median(float(run.stdout.split()[-1]) for run in runs)


def main() -> None:
    """Print one line for each DAG file and each careless import."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for path in sorted((ROOT / "dags").glob("*.py")):
        print(f"{path.name:<28} {seconds(f'runpy.run_path({str(path)!r})', repeats):7.3f} s")
    for module in CARELESS:
        print(f"import {module:<21} {seconds(f'importlib.import_module({module!r})', repeats):7.3f} s")


if __name__ == "__main__":
    main()
