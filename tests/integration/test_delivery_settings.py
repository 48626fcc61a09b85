"""What the settings add to a delivery: the rota, the link that takes an incident, the shortened ladder."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from devstack.parts.base import ROOT
from mindguard.alerts.acknowledgement import incident_of
from mindguard.alerts.escalation import ladders
from mindguard.jobs.alerting import Callers, deliver
from mindguard.settings import Settings, load_settings
from tests.cards import as_text
from tests.incidents import NOW
from tests.integration.delivery_site import Site, findings

ROTA = """
rota:
  people: [{name: 张三, feishu_id: ou_zhang}, {name: 李四, feishu_id: ou_li}]
  shifts: [{name: all day, from: "00:00", to: "24:00", rotation: [张三, 李四], rotate: daily, backup: next}]
escalation:
  P1: [{after_minutes: 1, position: 1, means: [card, app]}]
alerts: {acknowledge_base_url: "https://airflow.example.com/"}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "mindguard.yaml"
    shipped = (ROOT / "include/config/mindguard.yaml").read_text("utf-8")
    cut = min((at for key in ("\nrota:", "\nescalation:", "\nalerts:") if (at := shipped.find(key)) > 0), default=None)
    file.write_text(shipped[:cut] + "\n" + ROTA, "utf-8")
    return load_settings(file)


def test_the_card_names_the_people_and_its_link_takes_the_incident(site: Site, settings: Settings) -> None:
    # Noon of the rota: within an hour of its midnight a digest of the handover would be in the group too.
    now = NOW.replace(hour=4, minute=10)
    # It happened hours ago but became known only now, so the time to respond is not over yet.
    (incident,) = site.store.record(findings("api", at=now - timedelta(hours=5)), now=now)
    deliver(settings, site.resolve, now=now, budget_s=20)
    on_call, following = (Callers(settings)(now, position)[0] for position in (0, 1))
    (card,) = cards(site)
    assert f"<at id={on_call.feishu_id}>" in card
    assert "已超时" not in card
    token = card.partition("https://airflow.example.com/mindguard/acknowledge?token=")[2].partition('"')[0]
    assert incident_of(token, settings, site.resolve, now=now) == incident.id
    later = now + timedelta(minutes=2)
    deliver(settings, site.resolve, now=later, budget_s=20)
    assert site.store.get(incident.id).escalated_to == following.name
    assert {on_call.name, following.name} == {"张三", "李四"}
    assert [entry.kind for entry in site.store.get(incident.id).timeline] == ["opened", "escalated", "called"]
    site.store.acknowledge(incident.id, by="李四", now=later)
    assert ladders(settings.escalation)[incident.alert.severity][0].after == timedelta(minutes=1)


def cards(site: Site) -> list[str]:
    """Return the text of each card, its inner quotation marks without backslashes."""
    return [as_text(record).replace('\\"', '"') for record in site.shown()]
