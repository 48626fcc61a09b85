"""Snapshots side by side with the tools that people use today, on one machine in one run.

    python bench/snapshots.py [--rows 1000000] [--rounds 3] [--wide]

Every contestant runs in a process of its own, interleaved, several rounds; medians are shown, as ratios to a raw
`COPY … (FORMAT binary)` of the same tables to nowhere in the same round. In the first round, the first snapshot and the
restore are also measured with one and with two connections. The result goes to
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
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import psycopg
import yaml

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
RAW, DUMP, PG_RESTORE = "raw COPY binary to nowhere", "pg_dump -Fc", "pg_restore --jobs=3"
FIRST, UNCHANGED, CHURN, RESTORE = (
    f"mindguard, {what}" for what in ("first", "nothing changed", "1 % churn", "restore")
)
WIDE = "wide_notes"
COMMAND = [sys.executable, "-c", "from mindguard.cli import main; main()"]


CREATE_WIDE = """
create table public.wide_notes (
    id bigint generated always as identity primary key,
    user_id bigint not null,
    body text not null,
    created_at timestamptz not null default clock_timestamp()
)
"""
# Characters at random, some more often than others, compress about as well as prose. What refers to a row is made for
# each row anew.
INSERT_WIDE = """
insert into public.wide_notes (user_id, body)
select number %% 997, (
    select string_agg(chr(19968 + 0 * place + floor(random() * random() * 3000)::int), '')
    from generate_series(1, 1400 + number * 37 %% 5200) as place
)
from generate_series(1, %(rows)s) as number
"""
UPDATE_WIDE = """
update public.wide_notes set body = body || '。'
where id in (select id from public.wide_notes order by id desc limit 10 * %(rows)s) and id %% 10 = 0
"""


class Bench:
    """A stack with sample data, and the contestants that are measured.

    Args:
        stack: a running PostgreSQL and store.
        folder: for settings and the dump.
        tables: names of the tables in schema `public`.
    """

    def __init__(self, stack: Stack, folder: Path, tables: tuple[str, ...] = TABLES) -> None:
        self.stack = stack
        self.folder = folder
        self.tables = tables
        self.owner = stack.postgres_conninfo("mindguard_app_owner")
        self.environment = os.environ | stack.environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
        self.environment |= {"AIRFLOW_HOME": str(folder / "airflow"), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
        self.uri = psycopg.conninfo.conninfo_to_dict(self.owner)
        # Otherwise each run would compile every module that it imports.
        self.environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self.environment["PGPASSWORD"] = str(self.uri["password"])
        self.database = f"host={self.uri['host']} port={self.uri['port']} user={self.uri['user']} dbname=mindguard"

    def measure(self, command: list[str], prefix: str | None = None, connections: int = 3) -> dict[str, float]:
        """Run a command and measure it.

        Args:
            command: argument list.
            prefix: prefix of the bucket that it stores under; None when it stores nothing there.
            connections: the setting `snapshot.connections`.

        Returns:
            Wall seconds, CPU seconds of the client, of PostgreSQL and of the store, peak RSS (MB), bytes stored (MB).
        """
        environment = self.environment | (self.settings(prefix, connections) if prefix else {})
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

    def settings(self, prefix: str, connections: int) -> dict[str, str]:
        """Write the shipped settings with these tables and a prefix, and return the variable that names the file."""
        settings = yaml.safe_load((ROOT / "include/config/mindguard.yaml").read_text("utf-8"))
        shipped = {table["name"]: table for table in settings["snapshot"]["tables"]}
        chosen = [shipped.get(name, {"name": name}) for name in (f"public.{table}" for table in self.tables)]
        settings["snapshot"] |= {"prefix": prefix, "tables": chosen, "connections": connections}
        file = self.folder / f"{prefix}.yaml"
        file.write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
        return {"MINDGUARD_SETTINGS": str(file)}

    def stored(self, prefix: str | None) -> int:
        """Return the bytes under the prefix."""
        if prefix is None:
            return 0
        pages = self.stack.seaweedfs.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        return sum(found["Size"] for page in pages for found in page.get("Contents", ()))

    def raw_copy(self) -> dict[str, float]:
        """Copy the three tables in binary to nowhere, one after the other: the lower limit for a single reader."""
        statements = [f"copy public.{table} to stdout (format binary)" for table in self.tables]
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
        code = OPERATOR.format(tables=self.tables, bucket=BUCKET, prefix=f"{prefix}/")
        return self.measure([sys.executable, "-c", code], prefix)

    def into_empty(self, command: list[str], prefix: str | None = None, connections: int = 3) -> dict[str, float]:
        """Measure a command that fills the new, empty database `bench_restored`."""
        with psycopg.connect(self.stack.postgres_conninfo("postgres", "postgres"), autocommit=True) as admin:
            admin.execute("create database bench_restored owner mindguard_app_owner")
            admin.execute("checkpoint")  # no contestant pays for the writes of the one before
            try:
                return self.measure(command, prefix, connections)
            finally:
                admin.execute("drop database bench_restored with (force)")

    def pg_restore(self) -> dict[str, float]:
        """Restore the last `pg_dump -Fc` from the local file into an empty database over three connections."""
        database = self.database.replace("dbname=mindguard", "dbname=bench_restored")
        dump = str(self.folder / "bench.dump")
        return self.into_empty([tool("pg_restore"), "--jobs=3", "--no-owner", f"--dbname={database}", dump])

    def restore(self, prefix: str, connections: int = 3) -> dict[str, float]:
        """Run `mindguard snapshot restore --whole`, with its checks, from the store into an empty database."""
        connection = self.stack.connections()["mindguard_restore"] | {"schema": "bench_restored"}
        self.environment |= connection_variables({"bench_restored": connection})
        command = [*COMMAND, "snapshot", "restore", "latest", "--whole", "--to", "bench_restored"]
        return self.into_empty(command, prefix, connections)

    def drill(self, prefix: str) -> dict[str, float]:
        """Run `mindguard snapshot drill`: a restore, the fingerprint of every table, inserts, proof."""
        return self.measure([*COMMAND, "snapshot", "drill", "latest"], prefix)

    def take(self, prefix: str, connections: int = 3) -> dict[str, float]:
        """Run `mindguard snapshot take`, with all its steps: fingerprints, upload, read back, manifest."""
        return self.measure([*COMMAND, "snapshot", "take"], prefix, connections)

    def after_churn(self, prefix: str, percent: float, number: int) -> dict[str, float]:
        """Take a snapshot after a day in which `percent` percent of the rows were added and a tenth as many changed."""
        if self.tables == TABLES:
            churn(self.owner, percent=percent, seed=1000 * number + int(percent), hours=24)
        else:
            with psycopg.connect(self.owner) as connection:
                found = connection.execute("select count(*) from public.wide_notes").fetchone()
                added = round((found[0] if found else 0) * percent / 100)
                connection.execute(INSERT_WIDE, {"rows": added})
                connection.execute(UPDATE_WIDE, {"rows": added // 10})
        return self.take(prefix)


def cpu_s(process: psutil.Process) -> float:
    """Return the CPU seconds of a process and all its descendants."""
    while True:
        try:
            return sum(sum(each.cpu_times()[:4]) for each in (process, *process.children(recursive=True)))
        except psutil.NoSuchProcess:
            process.cpu_times()  # only a descendant has ended, and its parent's times contain its own now


def one_round(bench: Bench, number: int, *, with_operator: bool) -> dict[str, dict[str, float]]:
    """Measure each contestant once.

    Args:
        bench: the stack and the contestants.
        number: number of the round.
        with_operator: measure the SqlToS3Operator too.
    """
    prefix = f"bench-{number}"
    steps: list[tuple[str, Callable[[], dict[str, float]]]] = [
        (RAW, bench.raw_copy),
        (DUMP, bench.pg_dump),
        *([("SqlToS3Operator", lambda: bench.operator(f"operator-{number}"))] if with_operator else []),
        (FIRST, lambda: bench.take(prefix)),
        (PG_RESTORE, bench.pg_restore),
        (RESTORE, lambda: bench.restore(prefix)),
        ("mindguard, drill", lambda: bench.drill(prefix)),
        (UNCHANGED, lambda: bench.take(prefix)),
        (CHURN, lambda: bench.after_churn(prefix, 1, number)),
        ("mindguard, 10 % churn", lambda: bench.after_churn(prefix, 10, number)),
    ]
    if number == 1:
        for few in (1, 2):
            own = f"bench-with-{few}"
            name = f"{few} connection{'s' if few > 1 else ''}"
            steps += [
                (f"{FIRST}, {name}", partial(bench.take, own, few)),
                (f"{RESTORE}, {name}", partial(bench.restore, own, few)),
            ]
    measured = {}
    for name, step in steps:
        measured[name] = step()
        print(f"round {number}: {name:<28} {measured[name]['wall_s']:7.2f} s", file=sys.stderr, flush=True)
    return measured


def medians(rounds: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """Return the median of each figure over the rounds, and of the ratio to raw COPY within each round."""
    result = {}
    for name in rounds[0]:
        measured = [each for each in rounds if name in each]
        figures = {key: statistics.median(each[name][key] for each in measured) for key in rounds[0][name]}
        figures["to_copy"] = statistics.median(each[name]["wall_s"] / each[RAW]["wall_s"] for each in measured)
        result[name] = figures
    return result


def against_targets(rounds: list[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """Return each target with the median over the rounds of what it bounds, and the rows for which it is set.

    A ratio is one of two figures of the same round. A target for None rows is set for any number.
    """
    ours = (FIRST, UNCHANGED, CHURN, RESTORE, "mindguard, drill")
    ten, one = 10_000_000, 1_000_000
    figures: list[tuple[str, int | None, float, Callable[[dict[str, dict[str, float]]], float]]] = [
        ("unchanged day, time to raw COPY's", ten, 0.25, lambda r: r[UNCHANGED]["wall_s"] / r[RAW]["wall_s"]),
        ("unchanged day, seconds in all", one, 1.5, lambda r: r[UNCHANGED]["wall_s"]),
        ("1 % churn, time to raw COPY's", ten, 0.4, lambda r: r[CHURN]["wall_s"] / r[RAW]["wall_s"]),
        (
            "1 % churn, PostgreSQL's CPU to raw COPY's",
            ten,
            0.35,
            lambda r: r[CHURN]["postgres_cpu_s"] / r[RAW]["postgres_cpu_s"],
        ),
        ("first snapshot, time to raw COPY's", ten, 1.8, lambda r: r[FIRST]["wall_s"] / r[RAW]["wall_s"]),
        ("first snapshot, time to pg_dump's", ten, 1 / 1.3, lambda r: r[FIRST]["wall_s"] / r[DUMP]["wall_s"]),
        ("restore, time to pg_restore's", ten, 0.95, lambda r: r[RESTORE]["wall_s"] / r[PG_RESTORE]["wall_s"]),
        ("first snapshot, bytes to pg_dump's", ten, 0.7, lambda r: r[FIRST]["stored_mb"] / r[DUMP]["stored_mb"]),
        ("1 % churn, bytes to the first's", ten, 0.04, lambda r: r[CHURN]["stored_mb"] / r[FIRST]["stored_mb"]),
        ("largest memory of a process of ours, MB", None, 512, lambda r: max(r[name]["peak_mb"] for name in ours)),
    ]
    return [
        {"target": name, "rows": rows, "limit": limit, "figure": statistics.median(map(figure, rounds))}
        for name, rows, limit, figure in figures
    ]


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, memory."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown processor"
    )
    return {"processor": model, "cores": os.cpu_count(), "memory_gb": round(psutil.virtual_memory().total / 2**30)}


def others_use() -> float:
    """Return the share of all cores, in percent, that programs use now: call it while nothing is measured."""
    return psutil.cpu_percent(interval=5)


def load_wide(conninfo: str, rows: int) -> None:
    """Create `public.wide_notes`, whose texts of 4 to 20 kB PostgreSQL keeps outside the table (TOAST)."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(CREATE_WIDE)
        connection.execute(INSERT_WIDE, {"rows": rows})


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
    parser.add_argument(
        "--wide", action="store_true", help="measure one table with texts of 4 to 20 kB instead of the three tables"
    )
    arguments = parser.parse_args()
    tables = (WIDE,) if arguments.wide else TABLES
    others = [others_use()]
    state = Path(tempfile.mkdtemp(prefix="mindguard-bench-"))
    try:
        with Stack(state, airflow=False, parts=("postgres", "seaweedfs")) as stack:
            bench = Bench(stack, state, tables)
            say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
            if arguments.wide:
                load_wide(bench.owner, arguments.rows)
            else:
                load_tables(bench.owner, rows=arguments.rows, seed=1, today=datetime.now(UTC).date(), progress=say)
            with psycopg.connect(bench.owner) as connection:
                row = connection.execute(
                    "select sum(pg_table_size(('public.' || name)::regclass)) from unnest(%s::text[]) as name",
                    [list(tables)],
                ).fetchone()
            bench.raw_copy()  # warms the cache for every contestant
            rounds = [
                one_round(bench, number, with_operator=not arguments.without_operator)
                for number in range(1, arguments.rounds + 1)
            ]
    finally:
        shutil.rmtree(state, ignore_errors=True)
    others.append(others_use())
    options = f"{' --without-operator' if arguments.without_operator else ''}{' --wide' if arguments.wide else ''}"
    result: dict[str, Any] = {
        "command": f"python bench/snapshots.py --rows {arguments.rows} --rounds {arguments.rounds}{options}",
        "rows": arguments.rows,
        "wide": arguments.wide,
        "source_mb": float(row[0]) / 1e6 if row else 0,
        "rounds": arguments.rounds,
        **machine(),
        "others_percent": others,
        "medians": medians(rounds),
        "targets": against_targets(rounds),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    target = RESULTS / f"snapshots-{'wide' if arguments.wide else arguments.rows}.json"
    target.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
