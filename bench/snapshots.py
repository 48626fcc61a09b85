"""Snapshots side by side with the tools that people use today, on one machine in one run.

    python bench/snapshots.py [--rows 1000000] [--rounds 3]

Every contestant runs in a process of its own, interleaved, several rounds; medians are shown, as ratios to a raw
`COPY … (FORMAT binary)` of the same tables to nowhere in the same round. The result goes to
`docs/benchmarks/snapshots-<rows>.json`; `python bench/report.py` makes the page and the chart of all results.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import psycopg

from devstack.connections import connection_variables
from devstack.data.sample_data import TABLES, churn, load_tables
from devstack.parts.base import ROOT
from devstack.parts.seaweedfs import BUCKET
from devstack.stack import Stack
from mindguard.snapshots.pgtools import tool

RESULTS = ROOT / "docs" / "benchmarks"

OPERATOR = """
import os, sys
from airflow.providers.amazon.aws.transfers.sql_to_s3 import SqlToS3Operator
for table in {tables!r}:
    SqlToS3Operator(
        task_id="t", query=f"select * from public.{{table}}", s3_bucket={bucket!r}, s3_key={prefix!r} + table,
        sql_conn_id="mindguard_app", aws_conn_id="mindguard_backup", replace=True, file_format="parquet",
    ).execute({{}})
"""
COMMAND = [sys.executable, "-c", "from mindguard.cli import main; main()"]


class Bench:
    """A stack with sample data, and the contestants that are measured."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self.stack = stack
        self.folder = folder
        self.owner = stack.postgres_conninfo("mindguard_app_owner")
        self.environment = os.environ | stack.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
        self.environment |= {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        self.uri = psycopg.conninfo.conninfo_to_dict(self.owner)
        self.environment["PGPASSWORD"] = str(self.uri["password"])
        self.database = f"host={self.uri['host']} port={self.uri['port']} user={self.uri['user']} dbname=mindguard"

    def measure(self, command: list[str], prefix: str | None = None) -> dict[str, float]:
        """Run a command and measure it.

        Args:
            command: argument list.
            prefix: prefix of the bucket that it stores under; None when it stores nothing there.

        Returns:
            Wall seconds, CPU seconds of the client, of PostgreSQL and of the store, peak RSS (MB), bytes stored (MB).
        """
        environment = self.environment | (self.settings(prefix) if prefix else {})
        stored, servers = self.stored(prefix), self.server_cpu_s()
        began = time.perf_counter()
        with open(os.devnull, "wb") as nowhere:
            process = subprocess.Popen(command, env=environment, stdout=nowhere, stderr=subprocess.PIPE)
            assert process.stderr
            said = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"{command[0]} … failed: {said.decode(errors='replace')[-2000:]}")
        return {
            "wall_s": time.perf_counter() - began,
            "client_cpu_s": usage.ru_utime + usage.ru_stime,
            **{name: spent - servers[name] for name, spent in self.server_cpu_s().items()},
            "peak_mb": usage.ru_maxrss / 1024,
            "stored_mb": (self.stored(prefix) - stored) / 1e6,
        }

    def server_cpu_s(self) -> dict[str, float]:
        """Return the CPU seconds that PostgreSQL and the store have used so far, with their ended processes."""
        parts = {"postgres_cpu_s": self.stack.postgres, "store_cpu_s": self.stack.seaweedfs}
        return {name: cpu_s(psutil.Process(part.process.pid)) for name, part in parts.items() if part.process}

    def settings(self, prefix: str) -> dict[str, str]:
        """Write the shipped settings with a prefix of their own, and return the variable that names the file."""
        shipped = (ROOT / "include/config/mindguard.yaml").read_text("utf-8")
        file = self.folder / f"{prefix}.yaml"
        file.write_text(shipped.replace("prefix: key-tables", f"prefix: {prefix}"), "utf-8")
        return {"MINDGUARD_SETTINGS": str(file)}

    def stored(self, prefix: str | None) -> int:
        """Return the bytes under the prefix."""
        if prefix is None:
            return 0
        pages = self.stack.seaweedfs.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(found["Size"] for page in pages for found in page.get("Contents", ()))

    def raw_copy(self) -> dict[str, float]:
        """Copy the three tables in binary to nowhere, one after the other: the lower limit for a single reader."""
        statements = [f"copy public.{table} to stdout (format binary)" for table in TABLES]
        return self.measure(
            [tool("psql"), "-q", self.database, *(part for each in statements for part in ("-c", each))]
        )

    def pg_dump(self) -> dict[str, float]:
        """Dump the three tables with `pg_dump -Fc` into a local file.

        They are not named by `--table`, because the dump would then lack their types.
        """
        target = self.folder / "bench.dump"
        command = [tool("pg_dump"), "-Fc", "--exclude-schema=devstack", f"--file={target}", f"--dbname={self.database}"]
        measured = self.measure(command)
        return measured | {"stored_mb": target.stat().st_size / 1e6}

    def operator(self, prefix: str) -> dict[str, float]:
        """Store the three tables as Parquet with Airflow's own SqlToS3Operator, one after the other."""
        code = OPERATOR.format(tables=TABLES, bucket=BUCKET, prefix=f"{prefix}/")
        return self.measure([sys.executable, "-c", code], prefix)

    def into_empty(self, command: list[str], prefix: str | None = None) -> dict[str, float]:
        """Measure a command that fills the new, empty database `bench_restored`."""
        with psycopg.connect(self.stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as admin:
            admin.execute("create database bench_restored owner mindguard_app_owner")
            admin.execute("checkpoint")  # no contestant pays for the writes of the one before
            try:
                return self.measure(command, prefix)
            finally:
                admin.execute("drop database bench_restored with (force)")

    def pg_restore(self) -> dict[str, float]:
        """Restore the last `pg_dump -Fc` from the local file into an empty database over three connections."""
        database = self.database.replace("dbname=mindguard", "dbname=bench_restored")
        dump = str(self.folder / "bench.dump")
        return self.into_empty([tool("pg_restore"), "--jobs=3", "--no-owner", f"--dbname={database}", dump])

    def restore(self, prefix: str) -> dict[str, float]:
        """Run `mindguard snapshot restore --whole`, with its checks, from the store into an empty database."""
        connection = self.stack.connections()["mindguard_restore"] | {"schema": "bench_restored"}
        self.environment |= connection_variables({"bench_restored": connection})
        return self.into_empty([*COMMAND, "snapshot", "restore", "latest", "--whole", "--to", "bench_restored"], prefix)

    def drill(self, prefix: str) -> dict[str, float]:
        """Run `mindguard snapshot drill`: a restore, the fingerprint of every table, inserts, proof."""
        return self.measure([*COMMAND, "snapshot", "drill", "latest"], prefix)

    def take(self, prefix: str) -> dict[str, float]:
        """Run `mindguard snapshot take`, with all its steps: fingerprints, upload, read back, manifest."""
        return self.measure([*COMMAND, "snapshot", "take"], prefix)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and all its descendants."""
    return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))


def one_round(bench: Bench, number: int, *, with_operator: bool) -> dict[str, dict[str, float]]:
    """Measure each contestant once.

    Args:
        bench: the stack and the contestants.
        number: number of the round.
        with_operator: measure the SqlToS3Operator too.
    """
    prefix = f"bench-{number}"
    steps: list[tuple[str, Callable[[], dict[str, float]]]] = [
        ("raw COPY binary to nowhere", bench.raw_copy),
        ("pg_dump -Fc", bench.pg_dump),
        *([("SqlToS3Operator", lambda: bench.operator(f"operator-{number}"))] if with_operator else []),
        ("mindguard, first", lambda: bench.take(prefix)),
        ("pg_restore --jobs=3", bench.pg_restore),
        ("mindguard, restore", lambda: bench.restore(prefix)),
        ("mindguard, drill", lambda: bench.drill(prefix)),
        ("mindguard, nothing changed", lambda: bench.take(prefix)),
        ("mindguard, 1 % churn", lambda: after_churn(bench, prefix, 1, number)),
        ("mindguard, 10 % churn", lambda: after_churn(bench, prefix, 10, number)),
    ]
    measured = {}
    for name, step in steps:
        measured[name] = step()
        print(f"round {number}: {name:<28} {measured[name]['wall_s']:7.2f} s", file=sys.stderr, flush=True)
    return measured


def after_churn(bench: Bench, prefix: str, percent: float, number: int) -> dict[str, float]:
    """Take a snapshot after `percent` percent of the rows were added and a tenth as many changed."""
    churn(bench.owner, percent=percent, seed=1000 * number + int(percent))
    return bench.take(prefix)


def medians(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of each figure over the rounds, and of the ratio to raw COPY within each round."""
    result = {}
    for name in rounds[0]:
        figures = {key: statistics.median(each[name][key] for each in rounds) for key in rounds[0][name]}
        figures["to_copy"] = statistics.median(
            each[name]["wall_s"] / each["raw COPY binary to nowhere"]["wall_s"] for each in rounds
        )
        result[name] = figures
    return result


def main() -> None:
    """Load the data, measure, and store the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows over the three tables (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds (%(default)s)")
    parser.add_argument(
        "--without-operator",
        action="store_true",
        help="leave out the SqlToS3Operator, which holds a whole table in memory, several times",
    )
    arguments = parser.parse_args()
    state = Path(tempfile.mkdtemp(prefix="mindguard-bench-"))
    try:
        with Stack(state, airflow=False, parts=("postgres", "seaweedfs")) as stack:
            bench = Bench(stack, state)
            say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
            load_tables(bench.owner, rows=arguments.rows, seed=1, today=datetime.now(UTC).date(), progress=say)
            with psycopg.connect(bench.owner) as connection:
                row = connection.execute(
                    "select sum(pg_table_size(('public.' || name)::regclass)) from unnest(%s::text[]) as name",
                    [list(TABLES)],
                ).fetchone()
            bench.raw_copy()  # warms the cache for every contestant
            rounds = [
                one_round(bench, number, with_operator=not arguments.without_operator)
                for number in range(1, arguments.rounds + 1)
            ]
    finally:
        shutil.rmtree(state, ignore_errors=True)
    result: dict[str, Any] = {
        "command": f"python bench/snapshots.py --rows {arguments.rows} --rounds {arguments.rounds}",
        "rows": arguments.rows,
        "source_mb": float(row[0]) / 1e6 if row else 0,
        "rounds": arguments.rounds,
        "cores": os.cpu_count(),
        "medians": medians(rounds),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"snapshots-{arguments.rows}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
