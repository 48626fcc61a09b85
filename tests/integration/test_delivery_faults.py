"""The sender killed at every step, Feishu away, the store away: everything arrives, and in app mode once."""

from __future__ import annotations

import json
import signal
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from devstack.parts.base import ROOT
from devstack.stack import Stack
from mindguard.alerts.alert import Fact
from mindguard.alerts.finding import Recovery
from mindguard.connections import Connection, from_environment
from mindguard.database.session import StoreUnavailable
from mindguard.feishu.answers import FeishuUnreachable
from mindguard.jobs.alerting import deliver, report
from mindguard.settings import load_settings
from tests.cards import as_text, colour, messages
from tests.incidents import MINUTE, NOW
from tests.integration.delivery_site import STEPS, Site, findings
from tests.integration.outage import incident_store_down


def not_sharp(now: datetime) -> datetime:
    """Return the time, or one beyond the quiet seconds after the half hour."""
    return now + timedelta(seconds=12) if now.minute % 30 == 0 and now.second < 12 else now


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_each_incident_is_shown_once(site: Site, step: str) -> None:
    opened = site.store.record(findings("a", "b", "c", at=NOW), now=NOW)
    for kill in range(3):
        assert site.deliver(step, NOW + kill * MINUTE) == -signal.SIGKILL
    assert site.deliver("", NOW + 5 * MINUTE) == 0
    shown = [message["fingerprint"] for message in site.shown()]
    assert sorted(shown) == sorted(incident.fingerprint for incident in opened)
    assert site.store.depth(now=NOW + timedelta(hours=1)).pending == 0


def test_a_digest_whose_sender_was_killed_is_shown_once(site: Site) -> None:
    opened = site.store.record(findings(*(f"s{n}" for n in range(30)), at=NOW), now=NOW)
    assert site.deliver("after the request", NOW) == -signal.SIGKILL
    assert site.deliver("", NOW + MINUTE) == 0
    (message,) = site.shown()
    assert opened[0].name in as_text(message)
    assert site.store.depth(now=NOW + timedelta(hours=1)).pending == 0


@pytest.mark.parametrize("mode", ["throttle", "http500", "drop"])
def test_while_feishu_is_away_nothing_is_lost(site: Site, mode: str) -> None:
    settings = load_settings(ROOT / "include/config/mindguard.yaml")
    site.sandbox.fail(mode, 1000)
    first = report(findings("a", at=NOW), [], settings=settings, resolve=site.resolve, now=NOW, budget_s=3)
    assert first.delivered is not None
    assert first.delivered.later == 1
    later = deliver(settings, site.resolve, now=NOW + MINUTE, budget_s=3)
    assert later.later == 1
    site.sandbox.fail(mode, 0)
    assert deliver(settings, site.resolve, now=NOW + 10 * MINUTE, budget_s=20).sent == 1
    assert len(site.shown()) == 1


def test_without_the_store_an_alert_is_sent_directly_and_says_so(stack: Stack) -> None:
    environment = stack.environment()

    def resolve(conn_id: str) -> Connection:
        return from_environment(conn_id, environment)

    now, before = datetime.now(UTC), len(messages(stack.feishu.url))
    lost = findings("direct", at=now)
    with incident_store_down(stack):
        reported = report(lost, [], settings=load_settings(), resolve=resolve, now=now, budget_s=10)
        recovery = Recovery("test:direct", at=now)
        with pytest.raises(StoreUnavailable):
            report([], [recovery], settings=load_settings(), resolve=resolve, now=now, budget_s=10)
    assert reported.direct
    (card,) = messages(stack.feishu.url)[before:]
    assert "直接发送" in json.dumps(card, ensure_ascii=False)
    again = report(lost, [], settings=load_settings(), resolve=resolve, now=not_sharp(now), budget_s=10)
    assert not again.direct
    assert {incident.alert.subject for incident in again.changed} == {"direct"}
    assert len(messages(stack.feishu.url)) == before + 1, "what was sent directly does not come again"


@pytest.mark.parametrize("feishu_too", [False, True])
def test_an_alert_from_an_outage_is_one_card_that_the_store_knows_afterwards(site: Site, *, feishu_too: bool) -> None:
    """The app's card changes in place: it gets the incident's name, and loses the notice of the outage."""
    (lost,) = findings("direct", at=NOW)
    lost = replace(lost, occurrence="run 1", alert=replace(lost.alert, facts=(Fact("error", "ValueError: x"),)))
    unknown = replace(lost.alert, facts=(Fact("error", "not known"),), error_unknown=True)

    def away(conn_id: str) -> Connection:
        if conn_id == "mindguard_ops":
            raise ConnectionError("Airflow does not say where the store is")
        return site.resolve(conn_id)

    settings = load_settings()
    site.sandbox.fail("http500", 1000 if feishu_too else 0)
    with pytest.raises(FeishuUnreachable) if feishu_too else nullcontext():
        report([lost], [], settings=settings, resolve=away, now=NOW, budget_s=5)
    site.sandbox.fail("http500", 0)
    assert len(site.shown()) == (0 if feishu_too else 1)
    later = NOW + MINUTE
    report([replace(lost, alert=unknown)], [], settings=settings, resolve=site.resolve, now=later, budget_s=5)
    (incident,) = site.store.list()
    assert incident.occurrences == 1
    (card,) = site.shown()
    assert incident.name in as_text(card)
    assert "ValueError: x" in as_text(card)
    assert "直接发送" not in as_text(card)
    report([], [Recovery("test:direct", at=later)], settings=settings, resolve=site.resolve, now=later, budget_s=5)
    assert [colour(each) for each in site.shown()] == ["green"]
