"""A storm of findings against the real store and the sandbox: how fast they are stored, and how long P0s wait.

    python bench/alerts.py [--counts 100,1000,5000]

One in fifty findings is P0, half of the others are P1. They are reported one by one, as callbacks do, while a sender
in another thread delivers. The result goes to `docs/benchmarks/alerts.json`; `python bench/report.py` makes the page.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select, text

from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.alert import Alert, Fact, fingerprint
from mindguard.alerts.finding import Finding
from mindguard.alerts.incidents.models import Incident, Notification
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.connections import Connection, from_environment
from mindguard.jobs.alerting import deliver
from mindguard.settings import load_settings

RESULTS = ROOT / "docs" / "benchmarks"


def finding(number: int, at: datetime) -> Finding:
    """Make one finding of a storm.

    Args:
        number: its number, which decides its severity.
        at: when it happened, aware.
    """
    severity = Severity.P0 if number % 50 == 25 else Severity.P1 if number % 2 else Severity.P2
    alert = Alert(
        title=f"Endpoint answers slowly ({severity})",
        severity=severity,
        subject=f"endpoint {number}",
        happened_at=at,
        fingerprint=fingerprint("bench", str(number), at=at),
        facts=(Fact("p95", "4.2 s", "1 s", wrong=True),),
    )
    return Finding(alert, source="bench", recovery_key=f"bench:{number}")


def storm(stack: Stack, count: int) -> dict[str, Any]:
    """Run one storm of `count` findings from an empty store.

    Returns:
        The figures of one row of the result.
    """
    environment = stack.environment()

    def resolve(conn_id: str) -> Connection:
        return from_environment(conn_id, environment)

    settings, store = load_settings(), IncidentStore.of(resolve("mindguard_ops"))
    with store.database.session() as session:
        session.execute(text("truncate mindguard.incidents, mindguard.notifications, mindguard.requests cascade"))
    before = len(messages(stack))
    done = threading.Event()

    def send() -> None:
        while not done.is_set():
            deliver(settings, resolve, now=datetime.now(UTC), budget_s=2)
            done.wait(0.1)

    sender = threading.Thread(target=send)
    sender.start()
    began = time.perf_counter()
    for number in range(count):
        now = datetime.now(UTC)
        store.record([finding(number, now)], now=now)
    stored_s = time.perf_counter() - began
    deadline = time.monotonic() + 150
    while store.depth(now=datetime.now(UTC) + timedelta(hours=1)).pending and time.monotonic() < deadline:
        time.sleep(0.5)
    done.set()
    sender.join()
    taken = messages(stack)[before:]
    return {
        "findings": count,
        "stored_per_s": round(count / stored_s, 1),
        "p0_wait_max_s": round(longest_wait(store), 2),
        "messages": sum(message["code"] == 0 for message in taken),
        "refused": sum(message["code"] != 0 for message in taken),
        "undelivered": store.depth(now=datetime.now(UTC) + timedelta(hours=1)).pending,
    }


def longest_wait(store: IncidentStore) -> float:
    """Return the longest time in seconds from the report of a P0 until Feishu had received it."""
    with store.database.session() as session:
        waits = session.execute(
            select(Notification.sent_at, Incident.opened_at)
            .join(Incident, Incident.id == Notification.incident_id)
            .where(Incident.severity == "P0", Notification.kind == "opened", Notification.sent_at.is_not(None))
        ).all()
    return max(((sent - opened).total_seconds() for sent, opened in waits), default=0.0)


def messages(stack: Stack) -> list[dict[str, Any]]:
    """Return the messages that the sandbox received."""
    feed = httpx.get(f"{stack.feishu.url}/_messages", trust_env=False, timeout=30).json()
    return list(feed["messages"])


def main() -> None:
    """Measure each size, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--counts", default="100,1000,5000", help="findings of each storm (%(default)s)")
    counts = [int(count) for count in parser.parse_args().counts.split(",")]
    with tempfile.TemporaryDirectory(prefix="mindguard-bench-") as folder:
        Path(folder).chmod(0o755)
        with Stack(Path(folder) / "state", airflow=False, parts=("postgres", "feishu")) as stack:
            storms = []
            for count in counts:
                storms.append(storm(stack, count))
                print(storms[-1], flush=True)
    result = {
        "title": "Storms of findings",
        "command": f"python bench/alerts.py --counts {','.join(map(str, counts))}",
        "note": f"{os.cpu_count()} cores for PostgreSQL, sandbox, reporter and sender together.",
        "columns": [
            *("findings", "stored per s", "longest wait of a P0, s"),
            *("messages", "refused by Feishu's limits", "not delivered"),
        ],
        "rows": [list(each.values()) for each in storms],
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "alerts.json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
