"""What doctor says of monitors: one line each, with what to do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mindguard.connections import Connection
from mindguard.doctor import monitors
from mindguard.doctor.diagnosis import Diagnosis
from mindguard.monitors.judge import Reading, State, judge, unknown
from mindguard.monitors.result import Result
from mindguard.settings import Settings

NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
SETTINGS = Settings.model_validate(
    {
        "snapshot": {"bucket": "b", "tables": [{"name": "public.t"}]},
        "monitors": [
            {"name": "api", "kind": "rate", "source": "postgres", "query": "m.sql", "error_above": 0.01, "min_base": 1}
        ],
    }
)


def result(dimension: str = "", **facts: Any) -> Result:
    (monitor,) = SETTINGS.monitors
    reason = facts.pop("reason", "")
    if reason:
        verdict = unknown(reason, State(), now=NOW, note=facts.get("note", ""))
    else:
        verdict = judge(monitor, Reading(**facts), State(), now=NOW)
    return Result.of(monitor, dimension, verdict, at=NOW, took_s=0.25)


@pytest.mark.parametrize(
    ("results", "status", "text"),
    [
        ([result(value=0.0)], "pass", "can be measured, in 0.25 s"),
        ([result(value=9.0)], "pass", "can be measured, in 0.25 s"),
        ([result("/a", base=0.0), result("/b", value=0.0)], "pass", "can be measured, in 0.25 s"),
        ([result(base=0.0)], "pass", "can be measured, in 0.25 s; too little traffic to judge now"),
        ([result(reason="failed", note="no – correct it")], "error", "no – correct it"),
        ([result("t", value=0.0), result("u", reason="failed", note="no")], "error", "u: no"),
        ([result()], "warn", "the value is NULL, NaN or infinite – make the query return a number"),
        (
            [result("/a", value=0.0), result("/b", value=-1.0)],
            "warn",
            "/b: the value is negative – correct the query: ages and shares are never negative",
        ),
    ],
)
def test_one_line_for_a_monitor(results: list[Result], status: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitors, "run_monitors", lambda *_, **__: results)
    found = list(monitors.examine_monitors(SETTINGS, lambda conn_id: Connection(conn_id, "x"), lambda: NOW))
    assert found == [Diagnosis(status, "api", "monitor", text)]  # type: ignore[arg-type]
