"""What doctor says of drills in parts: how long a proof takes, and what follows from that."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mindguard.connections import Connection
from mindguard.doctor import drills
from mindguard.errors import ConnectionMissing
from mindguard.settings import Settings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
MONITOR = {"name": "age", "kind": "freshness", "source": "snapshots", "severity": "P1"}


def texts(drill: dict[str, Any], days: float = 1.1, **retention: Any) -> list[tuple[str, str]]:
    """What it says if no snapshot can be read, so that `every_days` counts."""
    snapshot = {"bucket": "b", "tables": [{"name": "public.t"}], "drill": drill, "retention": retention}
    monitor = MONITOR | {"error_after_s": days * 86400}
    settings = Settings.model_validate({"snapshot": snapshot, "monitors": [monitor]})

    def resolve(conn_id: str) -> Connection:
        raise ConnectionMissing(conn_id)

    return [(each.status, str(each.text)) for each in drills.examine_drills(settings, resolve, lambda: NOW)]


def test_whole_drills_need_no_word() -> None:
    assert texts({}) == []


def test_what_drills_in_parts_do_to_expiry_and_monitors_is_said_with_figures() -> None:
    (days, expiry, monitor) = texts({"max_gb": 50})
    assert days == ("pass", "at 50 GB a day, it takes 7 days to prove one snapshot, by the size of the newest")
    assert expiry[0] == monitor[0] == "warn"
    assert "one snapshot is proven in 7 days" in expiry[1]
    assert "after up to 55 days instead of 30" in expiry[1]
    assert "monitor age alarms if the newest proven snapshot is older than 1.1 days" in monitor[1]
    assert "up to 13 days old" in monitor[1]


@pytest.mark.parametrize(
    ("every_days", "minimum", "warned"), [(7, 3, False), (7, 4, True), (1, 7, False), (3, 7, False)]
)
def test_expiry_is_mentioned_only_if_it_lags_behind(every_days: int, minimum: int, warned: bool) -> None:
    said = texts({"max_gb": 50, "every_days": every_days}, days=20, minimum=minimum)
    assert [status for status, _ in said] == ["pass", *["warn"] * warned]
