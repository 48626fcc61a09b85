"""The sender killed at every step, Feishu away, the store away: everything arrives, and in app mode once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.alert import Alert, Fact, fingerprint
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.connections import from_environment
from mindguard.database.session import StoreUnavailable
from mindguard.jobs.alerting import deliver, report
from mindguard.settings import load_settings
from tests.integration.outage import incident_store_down
from tests.integration.test_incident_store import connection_of

pytestmark = pytest.mark.integration

APP = {"APP_ID": "cli_test", "APP_SECRET": "app-secret-for-tests", "CHAT_ID": "oc_test"}

# Runs a delivery in a process of its own, which dies by SIGKILL at the named step.
DELIVERY = """
import os, signal, sys
from datetime import datetime, timedelta
from mindguard.alerts.outbox.sender import Sender
from mindguard.connections import from_environment
from mindguard.jobs.alerting import deliver
from mindguard.feishu.transport import AppTransport, HookTransport
from mindguard.settings import load_settings

step, at = sys.argv[1], datetime.fromisoformat(sys.argv[2])

def die(*args, **more):
    os.kill(os.getpid(), signal.SIGKILL)

def die_after(cls, name):
    done = getattr(cls, name)
    def wrapped(*args, **more):
        done(*args, **more)
        die()
    setattr(cls, name, wrapped)

if step == "before the claim":
    Sender._claim = die
elif step == "after the claim":
    die_after(Sender, "_claim")
elif step == "before the request":
    AppTransport.send = HookTransport.send = die
elif step == "after the request":
    Sender._mark_sent = die
elif step == "after the mark":
    die_after(Sender, "_mark_sent")
deliver(load_settings(), from_environment, now=at, budget_s=20)
"""
STEPS = ("before the claim", "after the claim", "before the request", "after the request", "after the mark")


class Site:
    """A database and a group of its own."""

    def __init__(self, url: str, environment: dict[str, str]) -> None:
        self.url = url
        self.environment = environment
        self.store = IncidentStore.of(from_environment("mindguard_ops", environment))

    def deliver(self, step: str, at: datetime) -> int:
        """Exit status of a delivery."""
        command = [sys.executable, "-c", DELIVERY, step, at.isoformat()]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def fail(self, mode: str, count: int) -> None:
        httpx.post(f"{self.url}/_control/fail", json={"mode": mode, "count": count}, trust_env=False).raise_for_status()

    def shown(self) -> list[dict[str, Any]]:
        """The messages in the group."""
        feed = httpx.get(f"{self.url}/_messages", trust_env=False).json()["messages"]
        return [message for message in feed if message["code"] == 0]


@pytest.fixture
def site(fresh_database: str, tmp_path: Path) -> Iterator[Site]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "MINDGUARD"))}
    plain["PYTHONPATH"] = f"{ROOT}:{ROOT / 'plugins'}"
    sandbox_environment = {f"MINDGUARD_SANDBOX_{name}": value for name, value in APP.items()}
    sandbox = subprocess.Popen(
        [sys.executable, "-m", "devstack.feishu_sandbox", "--port", str(port), "--state", str(tmp_path / "group")],
        env=plain | sandbox_environment | {"MINDGUARD_SANDBOX_TOKEN": "hook-token-for-tests"},
    )
    url = f"http://127.0.0.1:{port}"
    ops = connection_of(fresh_database)
    feishu = {
        "conn_type": "feishu",
        "host": url,
        "login": APP["APP_ID"],
        "password": APP["APP_SECRET"],
        "extra": {"chat_id": APP["CHAT_ID"]},
    }
    connections = {
        "AIRFLOW_CONN_MINDGUARD_OPS": json.dumps(
            {"conn_type": "postgres", **{k: getattr(ops, k) for k in ("host", "port", "login", "password", "schema")}}
        ),
        "AIRFLOW_CONN_MINDGUARD_FEISHU": json.dumps(feishu),
    }
    try:
        for _ in range(100):
            try:
                httpx.get(f"{url}/_messages", trust_env=False)
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        yield Site(url, plain | connections)
    finally:
        sandbox.terminate()
        sandbox.wait(10)


def findings(*subjects: str, at: datetime, severity: Severity = Severity.P1) -> list[Finding]:
    return [
        Finding(
            Alert(
                title=f"{subject} is down",
                severity=severity,
                subject=subject,
                happened_at=at,
                fingerprint=fingerprint("test", subject),
                facts=(Fact("error", "refused"),),
            ),
            source="test",
            recovery_key=f"test:{subject}",
        )
        for subject in subjects
    ]


def not_sharp(now: datetime) -> datetime:
    """The time, or one beyond the quiet seconds after the half hour."""
    return now + timedelta(seconds=12) if now.minute % 30 == 0 and now.second < 12 else now


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_each_incident_is_shown_once(site: Site, step: str) -> None:
    now = not_sharp(datetime.now(UTC))
    opened = site.store.record(findings("a", "b", "c", at=now), now=now)
    for kill in range(3):
        assert site.deliver(step, now + kill * timedelta(minutes=1)) == -signal.SIGKILL
    assert site.deliver("", now + timedelta(minutes=5)) == 0
    shown = [message["fingerprint"] for message in site.shown()]
    assert sorted(shown) == sorted(incident.fingerprint for incident in opened)
    assert site.store.depth(now=now + timedelta(hours=1)).pending == 0


def test_a_digest_whose_sender_was_killed_is_shown_once(site: Site) -> None:
    now = not_sharp(datetime.now(UTC))
    opened = site.store.record(findings(*(f"s{n}" for n in range(30)), at=now), now=now)
    assert site.deliver("after the request", now) == -signal.SIGKILL
    assert site.deliver("", now + timedelta(minutes=1)) == 0
    (message,) = site.shown()
    text = json.dumps(message["message"])
    assert opened[0].name.replace("-", "&#45;") in text or opened[0].name in text
    assert site.store.depth(now=now + timedelta(hours=1)).pending == 0


@pytest.mark.parametrize("mode", ["throttle", "http500", "drop"])
def test_while_feishu_is_away_nothing_is_lost(site: Site, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINDGUARD_SETTINGS", str(ROOT / "include/config/mindguard.yaml"))
    now = not_sharp(datetime.now(UTC))
    site.fail(mode, 1000)

    def resolve(conn_id: str) -> Any:
        return from_environment(conn_id, site.environment)

    first = report(findings("a", at=now), [], settings=load_settings(), resolve=resolve, now=now, budget_s=3)
    assert first.delivered is not None
    assert first.delivered.later == 1
    later = deliver(load_settings(), resolve, now=now + timedelta(minutes=1), budget_s=3)
    assert later.later == 1
    site.fail(mode, 0)
    assert deliver(load_settings(), resolve, now=now + timedelta(minutes=10), budget_s=20).sent == 1
    assert len(site.shown()) == 1


def test_without_the_store_an_alert_is_sent_directly_and_says_so(stack: Stack) -> None:
    environment = stack.environment()

    def resolve(conn_id: str) -> Any:
        return from_environment(conn_id, environment)

    def shown() -> list[dict[str, Any]]:
        feed = httpx.get(f"{stack.feishu.url}/_messages", trust_env=False).json()["messages"]
        return [message for message in feed if message["code"] == 0]

    now, before = datetime.now(UTC), len(shown())
    lost = findings("direct", at=now)
    with incident_store_down(stack):
        reported = report(lost, [], settings=load_settings(), resolve=resolve, now=now, budget_s=10)
        recovery = Recovery("test:direct", at=now)
        with pytest.raises(StoreUnavailable):
            report([], [recovery], settings=load_settings(), resolve=resolve, now=now, budget_s=10)
    assert reported.direct
    (card,) = shown()[before:]
    assert "直接发送" in json.dumps(card, ensure_ascii=False)
    again = report(lost, [], settings=load_settings(), resolve=resolve, now=not_sharp(now), budget_s=10)
    assert not again.direct
    assert len(again.changed) == 1
