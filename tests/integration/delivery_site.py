"""An incident store and a chat group of a test's own, and deliveries that die at a chosen step."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from mindguard.alerts.alert import Alert, Fact, fingerprint
from mindguard.alerts.finding import Finding
from mindguard.alerts.incidents.store import IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.connections import Connection, from_environment
from tests.cards import messages
from tests.connections import as_variable, connection_of
from tests.processes import plain_environment
from tests.sandbox import APP_ID, APP_SECRET, CHAT_ID, Running

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
    """A database and a chat group of their own.

    Attributes:
        sandbox: the group's Feishu sandbox.
        store: the incident store.
    """

    def __init__(self, sandbox: Running, environment: dict[str, str]) -> None:
        self.sandbox = sandbox
        self.store = IncidentStore.of(from_environment("mindguard_ops", environment))
        self._environment = environment

    def resolve(self, conn_id: str) -> Connection:
        """Look a connection of the site up."""
        return from_environment(conn_id, self._environment)

    def deliver(self, step: str, at: datetime) -> int:
        """Run one delivery as a process that dies at the step (one of `STEPS`, or none), and return its exit status."""
        command = [sys.executable, "-c", DELIVERY, step, at.isoformat()]
        done = subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False, timeout=100)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    def shown(self) -> list[dict[str, Any]]:
        """Return the records of the messages in the group."""
        return messages(self.sandbox.base)


@contextmanager
def delivery_site(conninfo: str, folder: Path) -> Iterator[Site]:
    """Run a sandbox, and yield a site with it and with the database as incident store."""
    sandbox = Running(folder / "received.jsonl")
    feishu = Connection(
        "mindguard_feishu",
        "feishu",
        host=sandbox.base,
        login=APP_ID,
        password=APP_SECRET,
        extra={"chat_id": CHAT_ID},
    )
    try:
        yield Site(sandbox, plain_environment() | as_variable(connection_of(conninfo)) | as_variable(feishu))
    finally:
        sandbox.end()


def findings(*subjects: str, at: datetime, severity: Severity = Severity.P1) -> list[Finding]:
    """Return a finding about each subject."""
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
