"""Turn a suite's result into findings and recoveries for the alert pipeline: words, facts, cause and chart. Pure."""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Chart, Fact, Link, Table, fingerprint
from mindguard.alerts.finding import Finding, Recovery, RecoveryKey
from mindguard.alerts.severity import Severity
from mindguard.fetch import explained
from mindguard.masking import mask_secrets, name_of
from mindguard.texts import Locale
from mindguard.volume.cause import Cause
from mindguard.volume.days import day_start, is_over
from mindguard.volume.details import NO_DETAILS, EventDetails
from mindguard.volume.series import TOTAL
from mindguard.volume.suites import Failure, Level, Suite, ValidationResult
from mindguard.volume.texts import TEXTS
from mindguard.volume.words import rows_by_key

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

SOURCE = "volume"

SEVERITIES: dict[Level, Severity] = {"critical": Severity.P0, "warning": Severity.P1, "info": Severity.P2}
_CAUSES_SHOWN = 6
_NAMES_SHOWN = 8
_MOST_ROWS = 200
SUITE_OF_EVENTS, SUITE_OF_TOTAL = "event_volume", "total_volume"
_UNCONFIRMED = "unconfirmed"


@dataclass(frozen=True)
class Context:
    """The facts that findings and pages need beside the suite and its rows.

    Attributes:
        day: the judged day.
        as_of: when the day was judged, aware.
        zone: the time zone of the day and of shown times.
        locale: the language of the texts.
        details: the details of the suite's events, by name.
        page_url: address of the page on the day's checks; empty if people cannot reach it.
    """

    day: date
    as_of: datetime
    zone: ZoneInfo
    locale: Locale
    details: Mapping[str, EventDetails] = field(default_factory=dict)
    page_url: str = ""

    @property
    def day_start(self) -> datetime:
        """The moment at which the day begins, UTC."""
        return day_start(self.day, self.zone)

    @property
    def closed(self) -> bool:
        """Whether the day was over when it was judged."""
        return is_over(self.day, self.as_of, self.zone)

    def details_of(self, row: Mapping[Any, Any]) -> EventDetails:
        """Return the details of the row's event, or of the event that is a funnel's step."""
        return self.details.get(str(row.get("event_name") or row.get("step") or ""), NO_DETAILS)


def findings(suite: Suite, judged: ValidationResult, frame: pd.DataFrame, context: Context) -> list[Finding]:
    """Return a finding for each row that fails an expectation, as severe as the worst of its failures.

    Unconfirmed falls are one finding together, and only on closed days, since at weekends the bare rule finds many.
    """
    rows = rows_by_key(suite, frame)
    failed = _failed(judged)
    unconfirmed = _unconfirmed(failed, rows)
    if _are_too_many(failed, unconfirmed):
        failed = {(): [*failed.get((), ()), *_summed_up(judged, unconfirmed)]}
    found = [
        _finding_at_least(suite, key, failures, rows.get(key, {}), context)
        for key, failures in failed.items()
        if key not in unconfirmed
    ]
    unexplained = [row for row in unconfirmed.values() if not row["folded_into"]]
    return [*found, _unconfirmed_finding(suite, unexplained, context)] if unexplained and context.closed else found


def recoveries(suite: Suite, judged: ValidationResult, frame: pd.DataFrame, context: Context) -> list[Recovery]:
    """Return a recovery for each row that passes again. An inconclusive row does not, so its incident continues."""
    failed, rows = _failed(judged), rows_by_key(suite, frame)
    if () in failed:
        return []
    about_suite = [] if _are_too_many(failed, _unconfirmed(failed, rows)) else [recovery_key(suite.name, ())]
    recovered = [recovery_key(suite.name, key) for key, row in rows.items() if key not in failed and _in_order(row)]
    if context.closed and not any(row.get("investigate") and not row["folded_into"] for row in rows.values()):
        recovered.append(_unconfirmed_key(suite))
    at = min(context.as_of, day_start(context.day + timedelta(days=1), context.zone))
    return [Recovery(key, at, about=context.day_start) for key in [*recovered, *about_suite]]


class RowKey(NamedTuple):
    """The subject of an incident, as its recovery key names it.

    Attributes:
        suite: name of the suite.
        row: the row's key, its parts joined by `/`; empty for the suite as a whole.
    """

    suite: str
    row: str

    @classmethod
    def parse(cls, stored: str) -> RowKey | None:
        """Return the row key that `recovery_key` put into a stored key; None for a key of another source."""
        key = RecoveryKey.parse(stored)
        suite, _, row = key.about.partition(":")
        return cls(suite, row) if key.source == SOURCE else None


def recovery_key(suite: str, key: Sequence[str]) -> str:
    """Return the key that names the subject of an incident, for instance `volume:event_volume:sos_click`."""
    return str(RecoveryKey(SOURCE, f"{suite}:{'/'.join(key)}"))


def _unconfirmed_key(suite: Suite) -> str:
    return str(RecoveryKey(SOURCE, f"{suite.name}/{_UNCONFIRMED}"))


def _unconfirmed(
    failed: Mapping[tuple[str, ...], Sequence[Failure]], rows: Mapping[tuple[str, ...], dict[Any, Any]]
) -> dict[tuple[str, ...], dict[Any, Any]]:
    """Return the rows that fell but do not page, by key."""
    return {
        key: rows[key]
        for key, failures in failed.items()
        if not rows.get(key, {}).get("page", True) and all(failure.severity == "info" for failure in failures)
    }


def _failed(judged: ValidationResult) -> dict[tuple[str, ...], list[Failure]]:
    failed: dict[tuple[str, ...], list[Failure]] = {}
    for failure in judged.failures:
        failed.setdefault(failure.key, []).append(failure)
    return failed


def _are_too_many(failed: Collection[tuple[str, ...]], unconfirmed: Collection[tuple[str, ...]]) -> bool:
    """Return whether so many rows fail that they are one finding about the suite, and not one for each row."""
    return sum(bool(key) and key not in unconfirmed for key in failed) > _MOST_ROWS


def _summed_up(judged: ValidationResult, unconfirmed: Collection[tuple[str, ...]]) -> list[Failure]:
    """Return for each expectation one failure of the frame as a whole: how many rows fail it, and the first of them."""
    rows: dict[Failure, list[tuple[str, ...]]] = {}
    for failure in judged.failures:
        if failure.key and failure.key not in unconfirmed:
            rows.setdefault(replace(failure, key=(), value=""), []).append(failure.key)
    return [
        replace(failure, value=f"{_wanted(failure)}{len(keys):,} / {judged.rows:,}: {_first(keys)}")
        for failure, keys in rows.items()
    ]


def _wanted(failure: Failure) -> str:
    wanted = f"{failure.column} {failure.allowed}".strip()
    return f"{wanted}: " if wanted else ""


def _first(keys: Sequence[tuple[str, ...]]) -> str:
    return ", ".join(name_of(" / ".join(key)) for key in keys[:_NAMES_SHOWN]) + ", …"


def _in_order(row: Mapping[Any, Any]) -> bool:
    verdicts = [row[name] for name in ("verdict_dod", "verdict_net", "verdict") if name in row]
    return all(verdict == "ok" for verdict in verdicts)


def _finding_at_least(
    suite: Suite, key: tuple[str, ...], failed: Sequence[Failure], row: Mapping[Any, Any], context: Context
) -> Finding:
    """Return the finding; if what decorates it fails, without cause, chart and facts of its row."""
    try:
        return _finding(suite, key, failed, row, context)
    except Exception as error:  # noqa: BLE001 - the finding matters more than its details
        log.error("%s: one is reported without details: %s", suite.name, mask_secrets(explained(error)))
        return _finding(suite, key, failed, {}, replace(context, details={}))


def _finding(
    suite: Suite, key: tuple[str, ...], failed: Sequence[Failure], row: Mapping[Any, Any], context: Context
) -> Finding:
    severity = min(SEVERITIES[failure.severity] for failure in failed)
    subject = " / ".join((suite.name, *key))
    cause = context.details_of(row).cause
    facts = _facts(suite, row, cause, context) if suite.meta.frame and row else _values(failed, row)
    if not facts:
        expectations = ", ".join(dict.fromkeys(_description(failure) for failure in failed))
        facts = [Fact(_say("expectation", context), expectations, wrong=True)]
    owner, runbook = row.get("owner") or suite.meta.owner, row.get("runbook") or suite.meta.runbook
    if owner:
        facts.append(Fact(_say("owner", context), owner))
    alert = Alert(
        title=_title(suite, key, context),
        severity=severity,
        subject=subject,
        happened_at=cause.onset if cause else context.day_start,
        fingerprint=fingerprint(SOURCE, subject),
        facts=tuple(facts),
        links=tuple(_links(suite, row, runbook, context)),
        table=_losses(cause, context) if cause else None,
        chart=_chart(row, context),
    )
    return Finding(
        alert,
        source=SOURCE,
        recovery_key=recovery_key(suite.name, key),
        # A running day is judged every hour: it is reported once, and again if it got worse.
        occurrence=f"{context.day} {severity}",
        parent=_parent(suite, row),
        about=context.day_start,
    )


def _links(suite: Suite, row: Mapping[Any, Any], runbook: str | None, context: Context) -> Iterator[Link]:
    if context.page_url:
        yield Link(_say("page", context), f"{context.page_url}#{quote(row.get('event_name') or f'suite-{suite.name}')}")
    if runbook:
        yield Link(_say("runbook", context), runbook)


def _values(failed: Sequence[Failure], row: Mapping[Any, Any]) -> list[Fact]:
    """Return each failed column's value and what is allowed; a bound (`…_at_least`) is followed by the share itself."""
    facts: list[Fact] = []
    for each in failed:
        if not (each.column and each.key):
            continue
        facts.append(Fact(each.column, each.value, each.allowed, wrong=True))
        measured = each.column.removesuffix("_at_least")
        if measured != each.column and measured in row:
            share = row[measured]
            facts.append(Fact(measured, f"{share:.4g}" if isinstance(share, float) else str(share)))
    return facts


def _description(failure: Failure) -> str:
    return failure.expectation if failure.key else f"{failure.expectation}: {failure.value}"


def _title(suite: Suite, key: tuple[str, ...], context: Context) -> str:
    frame = suite.meta.frame
    if frame == "all_traffic":
        return _say("total", context)
    if frame == "funnels" and key:
        return _say("funnel", context, name=" → ".join(key))
    return _say("event" if frame == "key_events" and key else "quality", context, name=" / ".join(key) or suite.name)


def _parent(suite: Suite, row: Mapping[Any, Any]) -> str:
    """Return the parent of a funnel's step: for the first broken step its event, for later steps the first broken one.

    While the parent's incident lasts, the finding notifies nobody.
    """
    broken = row.get("first_broken") or ""
    if not broken:
        return ""
    if broken == row["step"]:
        return recovery_key(SUITE_OF_EVENTS, (broken,))
    return recovery_key(suite.name, (row["funnel"], broken))


def _unconfirmed_finding(suite: Suite, rows: Sequence[Mapping[Any, Any]], context: Context) -> Finding:
    """Return the finding on falls that only the bare rule of the operations document reports, to be examined by day."""
    try:
        table = _falls(rows, context)
    except Exception as error:  # noqa: BLE001 - the finding matters more than its table
        log.error("%s: falls are reported without their numbers: %s", suite.name, mask_secrets(explained(error)))
        table = None
    alert = Alert(
        title=_say("unconfirmed", context, count=len(rows)),
        severity=Severity.P2,
        subject=suite.name,
        happened_at=context.day_start,
        fingerprint=fingerprint(SOURCE, suite.name, kind=_UNCONFIRMED),
        facts=(Fact(_say("day", context), str(context.day)),),
        links=tuple(_links(suite, {}, suite.meta.runbook, context)),
        table=table,
    )
    return Finding(
        alert, source=SOURCE, recovery_key=_unconfirmed_key(suite), occurrence=str(context.day), about=context.day_start
    )


def _falls(rows: Sequence[Mapping[Any, Any]], context: Context) -> Table:
    heads = ("name", "actual", "against_yesterday", "against_weekdays")
    return Table(
        tuple(_say(head, context) for head in heads),
        tuple(
            (
                _event_name(row, context),
                f"{row['actual']:,}",
                *(_change(row[name]) for name in ("day_over_day", "net_ratio")),
            )
            for row in sorted(rows, key=lambda row: row["day_over_day"])
        ),
    )


def _event_name(row: Mapping[Any, Any], context: Context) -> str:
    return _say("all", context) if row["event_name"] == TOTAL else str(row["event_name"])


def _change(ratio: float, base: float = math.nan) -> str:
    change = f"{ratio - 1:+.0%}" if math.isfinite(ratio) else "–"
    return f"{change} ({base:,.0f})" if math.isfinite(base) else change


def _facts(suite: Suite, row: Mapping[Any, Any], cause: Cause | None, context: Context) -> list[Fact]:
    if suite.meta.frame == "funnels":
        return [
            Fact(_say("conversion", context), f"{row['conversion']:.1%}", f"{row['usual_conversion']:.1%}", wrong=True),
            Fact(_say("gap", context), f"{row['gap']:,.0f}"),
        ]
    expected = row["weekday_median"] * (row["fleet_move"] if math.isfinite(row["fleet_move"]) else 1.0)
    weekday = _say("weekday", context, days=row["baseline_days"])
    facts = [
        Fact(f"{_say('today', context)} {context.day}", f"{row['actual']:,}", f"{expected:,.0f}", wrong=True),
        Fact(_say("yesterday", context), _change(row["day_over_day"], row["yesterday"])),
        Fact(weekday, _change(row["net_ratio"])),
    ]
    return facts + _cause_facts(cause, context) if cause else facts


def _cause_facts(cause: Cause, context: Context) -> list[Fact]:
    facts = [Fact(_say("onset", context), f"{cause.onset.astimezone(context.zone):%Y-%m-%d %H:%M}")]
    if main := cause.main:
        value = f"{_dimension(main.dimension, context)} {main.value}"
        facts.append(Fact(_say("main", context), _say("share", context, value=value, share=main.share), wrong=True))
    if release := cause.release:
        released_at = release.released_at.astimezone(context.zone)
        facts.append(Fact(_say("release", context), f"{release.version} · {released_at:%Y-%m-%d %H:%M}"))
    if cause.co_moving:
        facts.append(Fact(_say("together", context), _names(cause.co_moving, context)))
    if cause.misdated:
        facts.append(Fact(_say("misdated", context), f"{cause.misdated:,}"))
    return facts


def _names(names: Sequence[str], context: Context) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else _say("more", context, names=shown, count=len(names))


def _losses(cause: Cause, context: Context) -> Table | None:
    lines = [(dimension, line) for dimension, losses in cause.losses.items() for line in losses if line.loss > 0]
    if not lines:
        return None
    # A value whose share of the loss exceeds its share of the usual traffic most is the best explanation.
    lines.sort(key=lambda each: each[1].usual_share - each[1].share)
    heads = ("dimension", "value", "expected", "actual", "lost")
    return Table(
        tuple(_say(head, context) for head in heads),
        tuple(
            (
                _dimension(dimension, context),
                line.value,
                f"{line.expected:,.0f}",
                f"{line.actual:,}",
                f"{line.share:.0%}",
            )
            for dimension, line in lines[:_CAUSES_SHOWN]
        ),
    )


def _chart(row: Mapping[Any, Any], context: Context) -> Chart | None:
    counts = context.details_of(row).counts
    if not counts:
        return None
    points = tuple((f"{each.day:%m-%d}", float(each.count)) for each in counts)
    return Chart(_say("chart", context, days=len(points)), points, mark=f"{context.day:%m-%d}")


def _dimension(name: str, context: Context) -> str:
    return _say(name, context) if name in ("platform", "app_version", "country") else name


def _say(key: str, context: Context, **values: object) -> str:
    return TEXTS.say(key, context.locale, **values)
