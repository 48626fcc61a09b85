"""Measures how much time and memory one run over many monitors takes: the shipped monitors, repeated, on sample data.

    python bench/monitors.py [--counts 6,60,600] [--events 5000000] [--rounds 3]

Each round is a process of its own that measures, judges and keeps the results, as the DAGs do, but without Airflow.
The result goes to `docs/benchmarks/monitors.json`; `python bench/report.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from mindguard.connections import from_environment
from mindguard.database.session import OpsDatabase
from mindguard.monitors.run import run_monitors
from mindguard.monitors.store import MonitorStore
from mindguard.settings import Settings, load_settings

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"
ROWS = 200_000
TARGETS_S = {60: 3, 600: 8}
"""Seconds that a process should take, by the number of monitors."""


def measure(settings_file: Path) -> dict[str, Any]:
    """Measure one run in this process."""
    settings = load_settings(settings_file)
    store = MonitorStore(OpsDatabase.of(from_environment(settings.connections.ops)), keep=timedelta(days=1))
    began = time.perf_counter()
    results = run_monitors(settings, from_environment, now=datetime.now(UTC), memory=store)
    return {
        "run_s": time.perf_counter() - began,
        "cpu_s": time.process_time(),
        # ru_maxrss would begin with the memory that the parent had when it forked.
        "rss_mb": int(re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[0]) / 1024,
        "results": len(results),
        "statuses": Counter(f"{result.status} {result.reason}".strip() for result in results),
    }


def round_of(count: int, folder: Path, environment: dict[str, str]) -> dict[str, Any]:
    """Run `count` monitors in a process of their own."""
    shipped = load_settings()
    named = [
        monitor.model_copy(update={"name": f"{monitor.name}_{number}"})
        for number, monitor in enumerate(islice(cycle(shipped.monitors), count))
    ]
    settings: Settings = shipped.model_copy(update={"monitors": tuple(named)})
    file = folder / f"monitors-{count}.yaml"
    file.write_text(settings.model_dump_json(by_alias=True, exclude_unset=True))
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, __file__, "--measure", str(file)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    measured: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return {**measured, "process_s": time.perf_counter() - began}


def main() -> None:
    """Measure each size, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", default="6,60,600", help="monitors of each size (%(default)s)")
    parser.add_argument("--events", type=int, default=5_000_000, help="sample events (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each size (%(default)s)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
        return
    # A round does without these: it would pay for their import, which no run of the monitors does.
    from devstack.data.live_data import LiveData
    from devstack.data.sample_data import SHANGHAI, load_events, load_tables
    from devstack.kafka_broker import KafkaBroker
    from devstack.stack import Stack

    rows: list[list[int | float | str]] = []
    with tempfile.TemporaryDirectory(prefix="mindguard-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        broker = KafkaBroker()
        with Stack(folder / "state", airflow=False, kafka=broker.connection()) as stack:
            today = datetime.now(SHANGHAI).date()
            owner, client = stack.postgres_conninfo("mindguard_app_owner"), stack.clickhouse.client()
            load_tables(owner, rows=ROWS, seed=1, today=today, progress=print)
            load_events(client, events=arguments.events, seed=1, today=today, progress=print)
            with LiveData(client, owner, broker, say=print):
                for count in map(int, arguments.counts.split(",")):
                    rounds = [round_of(count, folder, stack.environment()) for _ in range(arguments.rounds)]
                    print(count, rounds, flush=True)
                    times = ("run_s", "process_s", "cpu_s")
                    median = {key: statistics.median(each[key] for each in rounds) for key in times}
                    unknown = sum(n for status, n in rounds[-1]["statuses"].items() if status.startswith("unknown"))
                    rows.append(
                        [
                            *(count, rounds[-1]["results"], unknown),
                            TARGETS_S.get(count, "–"),
                            *(round(median[key], 2) for key in ("process_s", "run_s", "cpu_s")),
                            round(max(each["rss_mb"] for each in rounds)),
                        ]
                    )
    result = {
        "title": "Many monitors in one run",
        "command": f"python bench/monitors.py --counts {arguments.counts} --events {arguments.events}",
        "note": f"{os.cpu_count()} cores for the engines and the run together, {arguments.events:,} events, "
        f"{ROWS:,} rows; medians of {arguments.rounds} rounds, the largest memory. "
        "The ten shipped monitors over and over; an unknown one could not be judged. CPU is that of the process alone.",
        "columns": ["monitors", "results", "unknown", "target s", "process s", "of it the run s", "CPU s", "peak MB"],
        "rows": rows,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "monitors.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")


if __name__ == "__main__":
    main()
