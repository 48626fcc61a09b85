from datetime import UTC, datetime, timedelta

import pytest

from mindguard.alerts.alert import Alert, fingerprint
from mindguard.alerts.severity import Severity

AT = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)


def test_a_fingerprint_is_stable_and_distinguishes_incidents() -> None:
    known = fingerprint("snapshot_tables", "export", run="r1", table="t")
    assert known == "97dd2de649098014"
    assert known == fingerprint("snapshot_tables", "export", table="t", run="r1")
    others = [
        fingerprint("snapshot_tables", "export", run="r2", table="t"),
        fingerprint("snapshot_table", "sexport", run="r1", table="t"),
        fingerprint("snapshot_tables", "export", run="r1,table=t"),
    ]
    assert len({known, *others}) == 4


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Alert("t", Severity.P0, "s", datetime(2026, 11, 19), "f")  # noqa: DTZ001
    with pytest.raises(ValueError, match="no time zone"):
        Alert("t", Severity.P0, "s", AT, "f", resolved_at=datetime(2026, 11, 19))  # noqa: DTZ001


def test_respond_by_follows_severity() -> None:
    assert Alert("t", Severity.P0, "s", AT, "f").respond_by == AT + timedelta(minutes=15)


def test_the_time_to_respond_starts_when_people_know() -> None:
    known = AT + timedelta(hours=14)
    assert Alert("t", Severity.P1, "s", AT, "f", known_at=known).respond_by == known + timedelta(minutes=30)
