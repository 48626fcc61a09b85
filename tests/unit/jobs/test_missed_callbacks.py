"""How far a sweep looks back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mindguard.jobs.missed_callbacks import look_back_to

NOW = datetime(2026, 11, 19, 6, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("swept_before", "looks_back"),
    [
        pytest.param(None, timedelta(hours=1), id="the first sweep"),
        pytest.param(timedelta(minutes=1), timedelta(minutes=6), id="a minute ago: what was committed late is found"),
        pytest.param(timedelta(hours=7), timedelta(hours=7, minutes=5), id="after an outage of hours"),
        pytest.param(timedelta(days=9), timedelta(days=2), id="after more days than anybody needs"),
    ],
)
def test_a_sweep_looks_back_to_the_last_good_one(swept_before: timedelta | None, looks_back: timedelta) -> None:
    swept_until = NOW - swept_before if swept_before is not None else None
    assert NOW - look_back_to(swept_until, now=NOW) == looks_back
