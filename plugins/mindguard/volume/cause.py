"""Finds why an event fell: where it is missing, since when, which events fell too, which release came before. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from mindguard.alerts.alert import Release
from mindguard.volume.series import TOTAL, Series

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


@dataclass(frozen=True)
class Loss:
    """The number of events that are missing with one value of a dimension.

    Attributes:
        value: for instance `ios`.
        expected: events that were expected with this value.
        actual: events that were counted.
        loss: expected minus actual.
        share: the value's share of the whole loss; 0 if nothing is missing.
        usual_share: the value's share of yesterday's events.
    """

    value: str
    expected: float
    actual: int
    loss: float
    share: float
    usual_share: float


@dataclass(frozen=True)
class MainLoss:
    """The value that accounts for most of the loss, and its share of the loss."""

    dimension: str
    value: str
    share: float


@dataclass(frozen=True)
class Cause:
    """The explanation of one event's fall.

    Attributes:
        onset: UTC; the five minutes at which the fall began, or the day's start if it began before the day.
        main: the value with at least 70 % of the loss, and clearly more of it than of the usual traffic; None if the
            loss is spread.
        losses: for each dimension up to five values, the largest loss first.
        co_moving: other events that fell within an hour of the onset.
        release: the latest release within three days before the onset.
        misdated: events of the day whose clock was wrong, if they are more than 1 %; else 0.
    """

    onset: datetime
    main: MainLoss | None = None
    losses: Mapping[str, Sequence[Loss]] = field(default_factory=dict)
    co_moving: Sequence[str] = ()
    release: Release | None = None
    misdated: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return the cause, without the onset, in types that JSON has."""
        release = None
        if self.release:
            released_at = self.release.released_at.astimezone(UTC).isoformat()
            release = {"version": self.release.version, "released_at": released_at}
        return {
            "main": asdict(self.main) if self.main else None,
            "losses": {dimension: [asdict(each) for each in losses] for dimension, losses in self.losses.items()},
            "co_moving": list(self.co_moving),
            "release": release,
            "misdated": self.misdated,
        }


def explain(
    frame: pd.DataFrame,
    series: Mapping[str, Series],
    *,
    slots: pd.DataFrame,
    losses: pd.DataFrame,
    misdated: Mapping[str, int],
    day: date,
    day_start: datetime,
    releases: Sequence[Release] = (),
) -> dict[str, Cause]:
    """Return the cause of every row to investigate, by event name.

    Args:
        frame: the result of `build_frame`.
        series: the events' counts, which give the days that each row is compared with.
        slots: `name, day, second, count` of the judged day and of the rows' baseline days; a row for all traffic has
            the name `TOTAL`, here and in `losses`.
        losses: `name, dimension, value, day, count` of the judged day and of the rows' reference days ("yesterday").
        misdated: for each event, the number of events on the judged day whose time is not believed.
        day: the judged day.
        day_start: its start, UTC.
        releases: the latest releases; those after the onset are ignored.
    """
    fallen: list[dict[Any, Any]] = frame[frame["investigate"]].to_dict("records")
    slots_by_name = dict(iter(slots.groupby("name")))
    values_by_name = _by_value(losses)
    onsets = {}
    for row in fallen:
        name = row["event_name"]
        baseline, counted = series[name].baseline_dates(), slots_by_name.get(name, slots[:0])
        onsets[name] = _onset(row, baseline, counted, day, day_start)
    causes = {}
    for row in fallen:
        name = row["event_name"]
        by_dimension = _losses(row, series[name].reference_date(), values_by_name.get(name, {}), day)
        causes[name] = Cause(
            onset=onsets[name],
            main=_main(by_dimension),
            losses=by_dimension,
            co_moving=_co_moving(name, onsets),
            release=_release(onsets[name], releases),
            misdated=_misdated(row["actual"], misdated.get(name, 0)),
        )
    return causes


def with_causes(frame: pd.DataFrame, causes: Mapping[str, Cause]) -> pd.DataFrame:
    """Return a copy of the frame with `onset` and `cause`, which is JSON text, for suites that judge these columns."""
    onsets = {name: cause.onset for name, cause in causes.items()}
    texts = {name: json.dumps(cause.to_json(), ensure_ascii=False) for name, cause in causes.items()}
    return frame.assign(
        onset=frame["event_name"].map(onsets).astype("datetime64[us, UTC]"),
        cause=frame["event_name"].map(texts).fillna(""),
    )


def _onset(
    row: dict[Any, Any], baseline: Sequence[date], slots: pd.DataFrame, day: date, day_start: datetime
) -> datetime:
    import numpy as np

    # The slots also contain the baseline days of other rows.
    number = (slots["second"].to_numpy(dtype=np.int64)) // SLOT_S
    counted = slots["count"].to_numpy(dtype=np.float64)
    usual, today = slots["day"].isin(baseline).to_numpy(), (slots["day"] == day).to_numpy()
    expected = np.bincount(number[usual], counted[usual], _SLOTS) / max(len(baseline), 1)
    actual = np.bincount(number[today], counted[today], _SLOTS).astype(np.float64)
    position = find_onset(actual, expected * _finite(row["fleet_move"]))
    return day_start + timedelta(seconds=SLOT_S * position)


def find_onset(actual: NDArray[np.float64], expected: NDArray[np.float64]) -> int:
    """Return the position of the step that explains the counts best: all of `expected` before it, a fixed share after.

    It maximizes the Poisson likelihood ratio of a single step downwards; 0 if no step is better than none.
    """
    import numpy as np

    actual_after = np.cumsum(actual[::-1])[::-1]
    expected_after = np.cumsum(expected[::-1])[::-1]
    share = np.clip(actual_after / np.maximum(expected_after, 1e-9), 1e-3, 1.0)
    likelihood = actual_after * np.log(share) - (share - 1) * expected_after
    return int(np.argmax(likelihood))


def _by_value(losses: pd.DataFrame) -> dict[str, _Values]:
    # Plain dictionaries: with all events down there are hundreds of small tables, and pandas takes seconds for them.
    found: dict[str, _Values] = {}
    ordered = losses[["name", "dimension", "value", "day", "count"]].sort_values(["dimension", "value"])
    for name, dimension, value, day, count in ordered.itertuples(index=False, name=None):
        days = found.setdefault(name, {}).setdefault(str(dimension), {}).setdefault(str(value), {})
        days[day] = days.get(day, 0) + int(count)
    return found


def _losses(row: dict[Any, Any], reference: date | None, counts: _Values, day: date) -> dict[str, tuple[Loss, ...]]:
    expected_total = row["weekday_median"] * _finite(row["fleet_move"])
    if not math.isfinite(expected_total):
        expected_total = row["yesterday"]
    # The mix is yesterday's, since versions come and go within weeks; the level is the weekday's.
    scale = expected_total / max(row["yesterday"], 1.0)
    missing = expected_total - row["actual"]
    found: dict[str, tuple[Loss, ...]] = {}
    for dimension, by_value in counts.items():
        lines = []
        for value, days in by_value.items():
            # The counts also contain the reference days of other rows.
            if day not in days and reference not in days:
                continue
            before, actual = float(days.get(reference, 0)) if reference else 0.0, days.get(day, 0)
            loss = before * scale - actual
            lines.append(
                Loss(
                    value=value,
                    expected=round(before * scale, 1),
                    actual=actual,
                    loss=round(loss, 1),
                    share=round(loss / missing, 3) if missing > 0 else 0.0,
                    usual_share=round(before / max(row["yesterday"], 1.0), 3),
                )
            )
        if lines:
            found[dimension] = tuple(sorted(lines, key=lambda line: -line.loss)[:_SHOWN_VALUES])
    return found


def _main(by_dimension: Mapping[str, Sequence[Loss]]) -> MainLoss | None:
    candidates = [
        (losses[0].share - losses[0].usual_share, MainLoss(dimension, losses[0].value, losses[0].share))
        for dimension, losses in by_dimension.items()
        if losses[0].share >= _MAIN_SHARE and losses[0].share - losses[0].usual_share >= _MAIN_EXCESS
    ]
    return max(candidates, key=lambda each: each[0])[1] if candidates else None


def _co_moving(name: str, onsets: Mapping[str, datetime]) -> tuple[str, ...]:
    return tuple(
        other
        for other, onset in onsets.items()
        if other not in (name, TOTAL) and abs(onset - onsets[name]) <= _TOGETHER
    )


def _release(onset: datetime, releases: Sequence[Release]) -> Release | None:
    # The onset is known to a few minutes only, and a release takes time to spread.
    before = [each for each in releases if onset - _RELEASE_AGE <= each.released_at <= onset + _TOGETHER]
    return max(before, key=lambda each: each.released_at, default=None)


def _misdated(actual: int, misdated: int) -> int:
    return misdated if misdated > _MISDATED_SHARE * max(actual, 1) else 0


def _finite(move: float) -> float:
    return move if math.isfinite(move) else 1.0
