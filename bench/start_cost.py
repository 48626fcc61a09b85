"""Measures what small commands cost as whole processes, beside what they should cost.

    python bench/start_cost.py [--rounds 5]

The commands that ask a database or the store ask those of a small stack of their own. The result goes to
`docs/benchmarks/start-cost.json`; `python bench/report.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from devstack.parts.base import ROOT
from devstack.stack import Stack

RESULTS = ROOT / "docs" / "benchmarks"
TARGET_S = 0.4
COMMAND = "from mindguard.cli import main; main()"
COMMANDS: dict[str, float | None] = {
    "": None,  # Python alone, which tells how busy the machine was
    "--help": TARGET_S,
    "--version": TARGET_S,
    "snapshot list --help": TARGET_S,
    "keys new 2026-11": TARGET_S,
    "feishu preview resolved": TARGET_S,
    "monitors list": TARGET_S,
    "snapshot list": TARGET_S,
    "incidents list": TARGET_S,
    "suites lint": None,  # reads suites as Great Expectations does, which takes seconds to import
}


def cost(code: str, arguments: Sequence[str], environment: dict[str, str]) -> tuple[float, float]:
    """Return the wall seconds and the processor seconds of one process.

    Raises:
        RuntimeError: it failed.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, used = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(arguments)} ended with {process.returncode}")
    return wall_s, used.ru_utime + used.ru_stime


def main() -> None:
    """Measure each command, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each command (%(default)s)")
    rounds = parser.parse_args().rounds
    rows: list[list[str | float]] = []
    with tempfile.TemporaryDirectory(prefix="mindguard-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with Stack(folder / "state", airflow=False) as stack:
            environment = {**os.environ, **stack.environment()}
            for command, target_s in COMMANDS.items():
                code = COMMAND if command else "pass"
                cost(code, command.split(), environment)  # compiles what nobody has imported before
                costs = [cost(code, command.split(), environment) for _ in range(rounds)]
                wall_s, cpu_s = map(statistics.median, zip(*costs, strict=True))
                name = f"`{command}`" if command else "Python alone"
                rows.append([name, target_s or "–", round(wall_s, 2), round(cpu_s, 2)])
                print(*rows[-1], flush=True)
    result = {
        "title": "Start of small commands",
        "command": f"python bench/start_cost.py --rounds {rounds}",
        "note": f"Each a process of its own, {os.cpu_count()} cores for the engines and the command together; "
        f"medians of {rounds} rounds after one that is not counted.",
        "columns": ["`mindguard` …", "target s", "wall s", "CPU s"],
        "rows": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "start-cost.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
