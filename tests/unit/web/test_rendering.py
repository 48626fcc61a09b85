"""What the pages say of silenced incidents, in both languages."""

from __future__ import annotations

from dataclasses import replace
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.incidents.models import Incident
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale
from mindguard.web.rendering import render
from tests.incidents import MINUTE, NOW, finding


def page(template: str, incident: Incident, locale: Locale = "en") -> str:
    more = {
        "incident.html": {"incident": incident, "timeline": [], "matchers": ["subject=api"], "longest_h": 168},
        "incidents.html": {"incidents": [incident], "latest": True},
    }
    return render(template, locale=locale, zone=ZoneInfo("Asia/Shanghai"), nonce="n", **more[template])


def silenced(severity: Severity = Severity.P1, state: str = "open") -> Incident:
    return Incident(
        id=7,
        state=state,
        severity=severity.value,
        alert=replace(finding().alert, severity=severity),
        opened_at=NOW,
        occurrences=1,
        flaps=0,
        silenced_by=3,
        silenced_until=NOW + 60 * MINUTE,
        acknowledged_by="",
        resolved_at=NOW + MINUTE if state == "resolved" else None,
    )


@pytest.mark.parametrize("template", ["incident.html", "incidents.html"])
def test_what_ended_in_a_silence_is_not_called_silenced(template: str) -> None:
    assert ">silenced<" in page(template, silenced())
    over = page(template, silenced(state="resolved"))
    assert ">ended while silenced<" in over
    assert ">silenced<" not in over
    assert "Silenced until" not in over
    assert ">在静默期间恢复<" in page(template, silenced(state="resolved"), "zh")


def test_the_form_says_that_a_p0_is_not_silenced_without_the_tick() -> None:
    assert "people are still called" in page("incident.html", silenced(Severity.P0))
    assert "仍会通知和呼叫" in page("incident.html", silenced(Severity.P0), "zh")
    assert "people are still called" not in page("incident.html", silenced(Severity.P1))
