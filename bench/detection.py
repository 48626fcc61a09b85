"""From a stall to the card, and from recovery to the green card: real scheduler, real engines, Feishu sandbox.

    python bench/detection.py [--repetitions 2] [--add]

A benchmark that waits out the five minutes each time would measure the clock. So the last good record is written
some four minutes old: it crosses the threshold within a minute or so, at a random moment of the scheduler's minute,
and from there on nothing is different. `--add` keeps the samples of earlier runs. The result goes to
`docs/benchmarks/detection.json`; `python bench/report.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from clickhouse_connect.driver.client import Client
from ruamel.yaml import YAML

from devstack.data.live_data import create_tables, land_events
from devstack.kafka_broker import TOPIC, KafkaBroker
from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.alert import fingerprint
from mindguard.monitors.findings import SOURCE, recovery_key

RESULT = ROOT / "docs" / "benchmarks" / "detection.json"
DAGS = ("pipeline_freshness", "service_levels", "alert_delivery")
THRESHOLD = timedelta(minutes=5)
TIMEOUT_S = 300.0


class Pipelines:
    """Three pipelines that can be stalled, as of a given moment, and started again."""

    def __init__(self, client: Client, broker: KafkaBroker) -> None:
        self._client = client
        self._broker = broker

    def stall(self, last: datetime) -> None:
        """Make `last`, an aware instant, the time of the last good record of each pipeline."""
        for table in ("events", "user_mood_daily"):
            self._client.command(f"TRUNCATE TABLE mindguard.{table} SYNC")
        land_events(self._client, until=last, minutes=10, seed=int(last.timestamp()))
        self._load(last)
        self._broker.consume()
        self._broker.produce(20, at=last)

    def go_on(self) -> None:
        """Process the waiting records, and write new ones."""
        now = datetime.now(UTC)
        land_events(self._client, until=now, minutes=0.5, seed=int(now.timestamp()))
        self._load(now)
        self._broker.produce(20, at=now)
        self._broker.consume()

    def _load(self, at: datetime) -> None:
        self._client.insert("mindguard.user_mood_daily", [[at.date(), 1, 1, at]])


# Name of a pipeline → its monitor and dimension.
WATCHED = {
    "event landing": ("event_landing", ""),
    "ETL table": ("etl_user_mood_daily", ""),
    "Kafka consumer group": ("event_consumers", TOPIC),
}


def settings() -> dict[str, Any]:
    """Return the repository's settings, with a limit of five minutes for each of the three pipelines.

    The limit also holds where there was no traffic yesterday.
    """
    shipped = YAML(typ="safe").load((ROOT / "include/config/mindguard.yaml").read_text("utf-8"))
    watched = {monitor for monitor, _ in WATCHED.values()}
    for monitor in shipped["monitors"]:
        if monitor["name"] in watched:
            monitor |= {"error_after_s": THRESHOLD.total_seconds(), "min_base": 0}
    return dict(shipped)


@contextmanager
def running(folder: Path) -> Iterator[tuple[Stack, Pipelines]]:
    """Run the stack with Airflow, its minutely DAGs, and all three pipelines working.

    Args:
        folder: keeps the state and the settings.

    Yields:
        The stack and the pipelines.
    """
    file = folder / "mindguard.yaml"
    file.write_text(json.dumps(settings(), default=str))  # JSON is YAML
    broker = KafkaBroker()
    with Stack(folder / "state", settings=file, kafka=broker.connection()) as stack:
        client = stack.clickhouse.client()
        create_tables(client, stack.postgres_conninfo("mindguard_app_owner"))
        pipelines = Pipelines(client, broker)
        pipelines.go_on()
        api = stack.airflow_api()
        api.wait_for_dags(*DAGS)
        for dag_id in DAGS:
            api.set_paused(dag_id, paused=False)
        wait_until(lambda: api.runs(DAGS[0])[1:], pipelines.go_on)
        yield stack, pipelines


def cards(stack: Stack, watched: tuple[str, str], colours: tuple[str, ...], since: datetime) -> list[datetime]:
    """Return when cards of one monitor's incident arrived.

    Args:
        stack: the stack whose sandbox is asked.
        watched: the monitor and the dimension.
        colours: the colours of the cards that count.
        since: only cards after this aware instant count.
    """
    feed = httpx.get(f"{stack.feishu.url}/_messages", trust_env=False, timeout=10).json()["messages"]
    wanted = fingerprint(SOURCE, recovery_key(*watched))
    arrived = [
        datetime.fromisoformat(message["received_at"])
        for message in feed
        if message["code"] == 0
        and message["fingerprint"] == wanted
        and message["message"]["card"]["header"]["template"] in colours
    ]
    return [at for at in arrived if at > since]


def wait_until(condition: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None) -> Any:
    """Wait until a condition is true, and meanwhile call another function every few seconds.

    Args:
        condition: returns something true when the wait is over.
        meanwhile: called while the condition is not true.

    Returns:
        The result of the condition.

    Raises:
        TimeoutError: the condition did not become true.
    """
    deadline = time.monotonic() + TIMEOUT_S
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing after {TIMEOUT_S:.0f} s")
        meanwhile()
        time.sleep(2)
    return value


def repetition(stack: Stack, pipelines: Pipelines) -> dict[str, dict[str, float]]:
    """Stall all three pipelines once, and let them recover.

    Returns:
        Seconds of each delay, by the name of what was watched.
    """
    while not 10 <= datetime.now(UTC).second <= 50:
        time.sleep(1)  # a run must not see the tables while they are empty
    stalled = datetime.now(UTC)
    last = stalled - THRESHOLD + timedelta(seconds=random.uniform(20, 80))
    pipelines.stall(last)

    def all_of(colours: tuple[str, ...], since: datetime) -> dict[str, datetime] | None:
        found = {name: cards(stack, watched, colours, since) for name, watched in WATCHED.items()}
        return {name: min(at) for name, at in found.items()} if all(found.values()) else None

    alerted = wait_until(lambda: all_of(("orange", "blue"), stalled))
    restarted = datetime.now(UTC)
    pipelines.go_on()
    recovered = wait_until(lambda: all_of(("green",), restarted), pipelines.go_on)
    return {
        name: {
            "threshold_to_card_s": round((alerted[name] - last - THRESHOLD).total_seconds(), 1),
            "last_good_to_card_s": round((alerted[name] - last).total_seconds(), 1),
            "recovery_to_green_s": round((recovered[name] - restarted).total_seconds(), 1),
        }
        for name in WATCHED
    }


def row(name: str, samples: list[dict[str, float]]) -> list[Any]:
    """Return the median and the longest of each delay; a percentile of so few samples would be the longest."""

    def both(key: str) -> tuple[float, float]:
        values = [sample[key] for sample in samples]
        return statistics.median(values), max(values)

    return [
        name,
        len(samples),
        *both("threshold_to_card_s"),
        both("last_good_to_card_s")[1],
        *both("recovery_to_green_s"),
    ]


def main() -> None:
    """Measure, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repetitions", type=int, default=2)
    parser.add_argument("--add", action="store_true", help="keep the samples of earlier runs")
    options = parser.parse_args()
    samples: dict[str, list[dict[str, float]]] = {name: [] for name in WATCHED}
    if options.add and RESULT.exists():
        samples = json.loads(RESULT.read_text())["samples"]
    with tempfile.TemporaryDirectory(prefix="mindguard-bench-") as folder:
        Path(folder).chmod(0o755)  # PostgreSQL runs as another user
        with running(Path(folder)) as (stack, pipelines):
            for _ in range(options.repetitions):
                for name, sample in repetition(stack, pipelines).items():
                    print(name, sample, flush=True)
                    samples[name].append(sample)
                write(samples)


def write(samples: dict[str, list[dict[str, float]]]) -> None:
    """Write all samples measured so far."""
    result = {
        "title": "From a stall to the card, and back",
        "command": "python bench/detection.py --add",
        "note": f"{os.cpu_count()} cores for the whole stack, and other programs ran beside it. The scheduler ticks "
        "every minute, and what it sees was written already old: the last good record is some four minutes old when "
        "the stall begins, so that it crosses the 5-minute threshold soon, at a random second of the minute. All three "
        "stall together. At worst it is a whole minute until the next run, and what a run takes. Green needs one good "
        "measurement, and two of the consumer group, whose wait may hover about the threshold while it catches up.",
        "columns": [
            *("pipeline", "stalls"),
            *("threshold → card, median s", "longest s"),
            "last good record → card, longest s",
            *("running again → green card, median s", "longest s"),
        ],
        "rows": [row(name, each) for name, each in samples.items()],
        "samples": samples,
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
