"""What the settings add to a delivery: the rota, the link that takes an incident, the shortened ladder."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devstack.parts.base import ROOT
from mindguard.alerts.acknowledgement import incident_of
from mindguard.alerts.escalation import ladders
from mindguard.connections import Connection, from_environment
from mindguard.jobs.alerting import Callers, deliver
from mindguard.settings import Settings, load_settings
from tests.integration.test_delivery_faults import Site, findings, site

pytestmark = pytest.mark.integration

__all__ = ["site"]

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
    def resolve(conn_id: str) -> Connection:
        return from_environment(conn_id, site.environment)

    # Noon of the rota: within an hour of its midnight a digest of the handover would be in the group too.
    now = datetime.now(UTC).replace(hour=4, minute=10)
    # It is known now, and has been so for hours: the time to respond is not over yet.
    (incident,) = site.store.record(findings("api", at=now - timedelta(hours=5)), now=now)
    deliver(settings, resolve, now=now, budget_s=20)
    on_call, following = (Callers(settings)(now, position)[0] for position in (0, 1))
    (card,) = cards(site)
    assert f"<at id={on_call.feishu_id}>" in card
    assert "已超时" not in card
    token = card.partition("https://airflow.example.com/mindguard/acknowledge?token=")[2].partition('"')[0]
    assert incident_of(token, settings, resolve, now=now) == incident.id
    later = now + timedelta(minutes=2)
    deliver(settings, resolve, now=later, budget_s=20)
    assert site.store.get(incident.id).escalated_to == following.name
    assert {on_call.name, following.name} == {"张三", "李四"}
    assert [entry.kind for entry in site.store.get(incident.id).timeline] == ["opened", "escalated", "called"]
    site.store.acknowledge(incident.id, by="李四", now=later)
    assert ladders(settings.escalation)[incident.alert.severity][0].after == timedelta(minutes=1)


def cards(site: Site) -> list[str]:
    """The cards as text, escapes undone."""

    def plain(message: dict[str, Any]) -> str:
        return html.unescape(json.dumps(message["message"], ensure_ascii=False)).replace('\\"', '"')

    return [plain(message) for message in site.shown()]
