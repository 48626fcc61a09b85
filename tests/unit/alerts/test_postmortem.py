"""The post-mortem document against golden files, in both languages."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from mindguard.alerts.alert import Alert, fingerprint
from mindguard.alerts.incidents.models import Incident, TimelineEntry
from mindguard.alerts.postmortem import postmortem
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def incident(*, reviewed: bool) -> Incident:
    alert = Alert(
        title="接口错误率过高 <script>",
        severity=Severity.P1,
        subject="POST /api/checkins",
        happened_at=AT,
        fingerprint=fingerprint("api", "checkins"),
    )
    found = Incident(
        id=12,
        fingerprint=alert.fingerprint,
        severity="P1",
        state="open",
        alert=alert,
        opened_at=AT,
        occurrences=3,
        acknowledged_by="",
        resolved_by="",
        impact="",
        cause="",
        remedy="",
        actions=[],
        timeline=[TimelineEntry(at=AT, kind="opened", by="", text=alert.title)],
    )
    if reviewed:
        found.state, found.acknowledged_by, found.acknowledged_at = "resolved", "ann", AT + 5 * MINUTE
        found.resolved_at, found.resolved_by = AT + 47 * MINUTE, "ann"
        found.impact, found.remedy = "8% of check-ins failed", "rolled back"
        found.cause = "| a release\nwith password=not-a-real-password-1234"
        found.actions = [{"text": "load test", "owner": "bob", "due": "2026-12-01"}]
        found.timeline += [
            TimelineEntry(at=AT + 5 * MINUTE, kind="acknowledged", by="ann", text=""),
            TimelineEntry(at=AT + 9 * MINUTE, kind="note", by="ann", text="a | b"),
            TimelineEntry(at=AT + 47 * MINUTE, kind="cause", by="ann", text="a release"),
            TimelineEntry(at=AT + 47 * MINUTE, kind="resolved", by="ann", text=""),
        ]
    return found


@pytest.mark.parametrize("locale", ["zh", "en"])
@pytest.mark.parametrize("reviewed", [True, False])
def test_the_document_is_as_agreed(locale: Locale, reviewed: bool, golden: Callable[[str, str], None]) -> None:
    document = postmortem(incident(reviewed=reviewed), locale=locale, zone=ZoneInfo("Asia/Shanghai"))
    golden(f"postmortems/{'reviewed' if reviewed else 'open'}.{locale}.md", document)
    assert "not-a-real-password" not in document
    assert "<script>" not in document.replace("\\<", "")
