"""Why an event fell: where it is missing, since when, what fell with it, which release came before. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mindguard.alerts.alert import Release
from mindguard.volume.series import TOTAL

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_Values = dict[str, dict[str, dict[date, int]]]
"""Counts by dimension, value and day."""

SLOT_S = 300
_SLOTS = 25 * 3600 // SLOT_S  # the longest day, when summer time ends
_SHOWN_VALUES = 5
_MAIN_SHARE = 0.7
_MAIN_EXCESS = 0.15
_TOGETHER = timedelta(hours=1)
_RELEASE_AGE = timedelta(hours=72)
_MISDATED_SHARE = 0.01


def explain(
    frame: pd.DataFrame,
    *,
    slots: pd.DataFrame,
    losses: pd.DataFrame,
    misdated: dict[str, int],
    day: date,
    day_start: datetime,
    releases: Sequence[Release] = (),
) -> pd.DataFrame:
    """The frame with `onset` and `cause` for every row to investigate.

    Args:
        frame: of `build_frame`.
        slots: `name, day, second, count` of the judged day and the rows' baseline days; a row for all traffic under
            the name `TOTAL`, as in `losses`.
        losses: `name, dimension, value, day, count` of the judged day and the rows' yesterdays.
        misdated: by event, how many of the judged day had a clock that is not believed.
        day: the judged one.
        day_start: its start, UTC.

    Returns:
        A copy. `onset`: UTC, the five minutes at which the fall began; the day's start where it began before.
        `cause`: JSON with

        - `main`: the `{dimension, value, share}` that holds at least 70 % of the loss, and clearly more of it than of
          the usual traffic; null where the loss is spread.
        - `losses`: by dimension, up to five values: `value, expected, actual, loss, share` of the loss, `usual_share`.
        - `co_moving`: other events that fell within an hour of the onset.
        - `release`: the last one within three days before the onset, `{version, released_at}`, or null.
        - `misdated`: events of the day whose clock was wrong, where it is more than 1 %.
    """
    result = frame.copy()
    fallen: list[dict[Any, Any]] = frame[frame["investigate"]].to_dict("records")
    slots_of = dict(iter(slots.groupby("name")))
    values_of = _by_value(losses)
    onsets = {
        row["event_name"]: _onset(row, slots_of.get(row["event_name"], slots[:0]), day, day_start) for row in fallen
    }
    causes = {}
    for row in fallen:
        name = row["event_name"]
        by_dimension = _losses(row, values_of.get(name, {}), day)
        cause = {
            "main": _main(by_dimension),
            "losses": by_dimension,
            "co_moving": _co_moving(name, onsets),
            "release": _release(onsets[name], releases),
            "misdated": _misdated(row["actual"], misdated.get(name, 0)),
        }
        causes[name] = json.dumps(cause, ensure_ascii=False)
    result["onset"] = result["event_name"].map(onsets).astype("datetime64[us, UTC]")
    result["cause"] = result["event_name"].map(causes).fillna("")
    return result


def _onset(row: dict[Any, Any], slots: pd.DataFrame, day: date, day_start: datetime) -> datetime:
    import numpy as np

    # Other rows' baseline days are in there too.
    baseline = {date.fromisoformat(each) for each in row["baseline_dates"].split()}
    number = (slots["second"].to_numpy(dtype=np.int64)) // SLOT_S
    counted = slots["count"].to_numpy(dtype=np.float64)
    usual, today = slots["day"].isin(baseline).to_numpy(), (slots["day"] == day).to_numpy()
    expected = np.bincount(number[usual], counted[usual], _SLOTS) / max(len(baseline), 1)
    actual = np.bincount(number[today], counted[today], _SLOTS).astype(np.float64)
    position = find_onset(actual, expected * _finite(row["fleet_move"]))
    return day_start + timedelta(seconds=SLOT_S * position)


def find_onset(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> int:
    """Position from which on `actual` is best explained as a constant share of `expected`, and as all of it before.

    The Poisson likelihood ratio of a single step downwards; 0 where no step is better than none.
    """
    import numpy as np

    have = np.cumsum(actual[::-1])[::-1]
    want = np.cumsum(expected[::-1])[::-1]
    share = np.clip(have / np.maximum(want, 1e-9), 1e-3, 1.0)
    likelihood = have * np.log(share) - (share - 1) * want
    return int(np.argmax(likelihood))


def _by_value(losses: pd.DataFrame) -> dict[str, _Values]:
    # Plain dictionaries: with all events down there are hundreds of small tables, and pandas takes seconds for them.
    found: dict[str, _Values] = {}
    ordered = losses[["name", "dimension", "value", "day", "count"]].sort_values(["dimension", "value"])
    for name, dimension, value, day, count in ordered.itertuples(index=False, name=None):
        days = found.setdefault(name, {}).setdefault(str(dimension), {}).setdefault(str(value), {})
        days[day] = days.get(day, 0) + int(count)
    return found


def _losses(row: dict[Any, Any], values: _Values, day: date) -> dict[str, list[dict[str, Any]]]:
    expected_total = row["weekday_median"] * _finite(row["fleet_move"])
    if not math.isfinite(expected_total):
        expected_total = row["yesterday"]
    # The mix of yesterday, since versions come and go within weeks; the level of the weekday.
    scale = expected_total / max(row["yesterday"], 1.0)
    missing = expected_total - row["actual"]
    found: dict[str, list[dict[str, Any]]] = {}
    for dimension, counted in values.items():
        lines = []
        for value, days in counted.items():
            # Other rows' yesterdays are in there too.
            if day not in days and row["yesterday_date"] not in days:
                continue
            before, actual = float(days.get(row["yesterday_date"], 0)), days.get(day, 0)
            loss = before * scale - actual
            lines.append(
                {
                    "value": value,
                    "expected": round(before * scale, 1),
                    "actual": actual,
                    "loss": round(loss, 1),
                    "share": round(loss / missing, 3) if missing > 0 else 0.0,
                    "usual_share": round(before / max(row["yesterday"], 1.0), 3),
                }
            )
        if lines:
            found[dimension] = sorted(lines, key=lambda line: -line["loss"])[:_SHOWN_VALUES]
    return found


def _main(by_dimension: dict[str, list[dict[str, Any]]]) -> dict[str, Any] | None:
    candidates = [
        (line["share"] - line["usual_share"], {"dimension": dimension, "value": line["value"], "share": line["share"]})
        for dimension, lines in by_dimension.items()
        for line in lines[:1]
        if line["share"] >= _MAIN_SHARE and line["share"] - line["usual_share"] >= _MAIN_EXCESS
    ]
    return max(candidates, key=lambda each: each[0])[1] if candidates else None


def _co_moving(name: str, onsets: dict[str, datetime]) -> list[str]:
    return [
        other
        for other, onset in onsets.items()
        if other not in (name, TOTAL) and abs(onset - onsets[name]) <= _TOGETHER
    ]


def _release(onset: datetime, releases: Sequence[Release]) -> dict[str, str] | None:
    # The onset is known to a few minutes, and a release takes its time to spread.
    before = [each for each in releases if onset - _RELEASE_AGE <= each.released_at <= onset + _TOGETHER]
    if not before:
        return None
    last = max(before, key=lambda each: each.released_at)
    return {"version": last.version, "released_at": last.released_at.astimezone(UTC).isoformat()}


def _misdated(actual: int, misdated: int) -> int:
    return misdated if misdated > _MISDATED_SHARE * max(actual, 1) else 0


def _finite(move: float) -> float:
    return move if math.isfinite(move) else 1.0
