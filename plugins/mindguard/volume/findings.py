"""What a suite found, as findings and recoveries for the alert pipeline: words, facts, cause and chart. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Alert, Chart, Fact, Link, Table, fingerprint
from mindguard.alerts.finding import Finding, Recovery, RecoveryKey
from mindguard.alerts.severity import Severity
from mindguard.texts import Locale
from mindguard.volume.days import day_start, is_over
from mindguard.volume.series import TOTAL
from mindguard.volume.suites import Failure, Level, Suite, ValidationResult

if TYPE_CHECKING:
    import pandas as pd

SOURCE = "volume"

SEVERITIES: dict[Level, Severity] = {"critical": Severity.P0, "warning": Severity.P1, "info": Severity.P2}
_CAUSES_SHOWN = 6
_NAMES_SHOWN = 8
SUITE_OF_EVENTS, SUITE_OF_TOTAL = "event_volume", "total_volume"
_UNCONFIRMED = "unconfirmed"

_TEXTS: dict[str, dict[Locale, str]] = {
    "event": {"zh": "埋点下降：{name}", "en": "Event volume fell: {name}"},
    "total": {"zh": "全部埋点下降", "en": "All event traffic fell"},
    "funnel": {"zh": "漏斗转化下降：{name}", "en": "Funnel conversion fell: {name}"},
    "quality": {"zh": "数据质量：{name}", "en": "Data quality: {name}"},
    "today": {"zh": "当日", "en": "That day"},
    "yesterday": {"zh": "环比前一日", "en": "Against the day before"},
    "weekday": {
        "zh": "同星期中位数（{days} 天，已扣除大盘）",
        "en": "Median of {days} same weekdays, net of all events",
    },
    "onset": {"zh": "开始下降", "en": "Falls since"},
    "main": {"zh": "主要缺失", "en": "Mostly missing"},
    "share": {"zh": "{value}（占缺失的 {share:.0%}）", "en": "{value} ({share:.0%} of the loss)"},
    "together": {"zh": "同时下降", "en": "Fell with it"},
    "release": {"zh": "之前的发布", "en": "Release before it"},
    "misdated": {"zh": "时钟错误的事件", "en": "Events with a wrong clock"},
    "conversion": {"zh": "转化率", "en": "Conversion"},
    "gap": {"zh": "缺口 expected_events - actual_events", "en": "expected_events - actual_events"},
    "unconfirmed": {"zh": "埋点环比下降，待核实：{count} 个", "en": "Events down day over day, unconfirmed: {count}"},
    "all": {"zh": "全部", "en": "all traffic"},
    "day": {"zh": "日期", "en": "Day"},
    "name": {"zh": "埋点", "en": "Event"},
    "against_yesterday": {"zh": "环比", "en": "Day over day"},
    "against_weekdays": {"zh": "同星期", "en": "Same weekdays"},
    "more": {"zh": "{names} 等 {count} 个", "en": "{names} and others, {count} in all"},
    "expectation": {"zh": "未满足的规则", "en": "Failed expectations"},
    "owner": {"zh": "负责人", "en": "Owner"},
    "runbook": {"zh": "打开处理手册", "en": "Open the runbook"},
    "page": {"zh": "查看当日检查", "en": "Open the day's checks"},
    "chart": {"zh": "最近 {days} 天", "en": "The last {days} days"},
    "dimension": {"zh": "维度", "en": "Dimension"},
    "value": {"zh": "取值", "en": "Value"},
    "expected": {"zh": "预期", "en": "Expected"},
    "actual": {"zh": "实际", "en": "Actual"},
    "lost": {"zh": "占缺失", "en": "Of the loss"},
    "platform": {"zh": "平台", "en": "platform"},
    "app_version": {"zh": "版本", "en": "version"},
    "country": {"zh": "国家/地区", "en": "country"},
}


@dataclass(frozen=True)
class Context:
    """What the words depend on beside the suite.

    Attributes:
        as_of: aware; when it was looked at.
        history: by event, its counts of the last days, oldest first, the judged day last.
        page_url: of the page on the day's checks; empty where people cannot reach it.
    """

    day: date
    as_of: datetime
    zone: ZoneInfo
    locale: Locale
    history: Mapping[str, Sequence[tuple[date, int]]]
    page_url: str = ""

    @property
    def day_start(self) -> datetime:
        """When the day begins, UTC."""
        return day_start(self.day, self.zone)

    @property
    def closed(self) -> bool:
        """Whether the day was over."""
        return is_over(self.day, self.as_of, self.zone)


def findings(suite: Suite, judged: ValidationResult, frame: pd.DataFrame, context: Context) -> list[Finding]:
    """One finding for each row that an expectation refuses, as severe as the worst of them.

    Falls that nothing confirms are one finding together, and of closed days only: at weekends the bare rule finds many.
    """
    rows = _by_key(suite, frame)
    failed: dict[tuple[str, ...], list[Failure]] = {}
    for failure in judged.failures:
        failed.setdefault(failure.key, []).append(failure)
    unconfirmed = _unconfirmed(failed, rows)
    found = [
        _finding(suite, key, own, rows.get(key, {}), context) for key, own in failed.items() if key not in unconfirmed
    ]
    unexplained = [row for row in unconfirmed.values() if not row["folded_into"]]
    return [*found, _to_look_at(suite, unexplained, context)] if unexplained and context.closed else found


def recoveries(suite: Suite, judged: ValidationResult, frame: pd.DataFrame, context: Context) -> list[Recovery]:
    """One for each row that is well again. What is inconclusive is not: an incident lasts until somebody can tell."""
    failed = {failure.key for failure in judged.failures}
    if () in failed:
        return []
    rows = _by_key(suite, frame)
    well = [recovery_key(suite.name, key) for key, row in rows.items() if key not in failed and _is_well(row)]
    if context.closed and not any(row.get("investigate") and not row["folded_into"] for row in rows.values()):
        well.append(_unconfirmed_key(suite))
    # A day that is judged once more, long after, says nothing of the days that came after it.
    at = min(context.as_of, day_start(context.day + timedelta(days=1), context.zone))
    return [Recovery(key, at) for key in [*well, recovery_key(suite.name, ())]]


class RowKey(NamedTuple):
    """What an incident is about, as its recovery key says.

    Attributes:
        suite: name of the suite.
        row: the row's key, its parts joined by `/`; empty for the suite as a whole.
    """

    suite: str
    row: str

    @classmethod
    def parse(cls, stored: str) -> RowKey | None:
        """Return what `recovery_key` put into a stored key; None for a key of another source."""
        key = RecoveryKey.parse(stored)
        suite, _, row = key.about.partition(":")
        return cls(suite, row) if key.source == SOURCE else None


def recovery_key(suite: str, key: Sequence[str]) -> str:
    """Names what an incident is about, for instance `volume:event_volume:sos_click`."""
    return str(RecoveryKey(SOURCE, f"{suite}:{'/'.join(key)}"))


def _unconfirmed_key(suite: Suite) -> str:
    return str(RecoveryKey(SOURCE, f"{suite.name}/{_UNCONFIRMED}"))


def _unconfirmed(
    failed: Mapping[tuple[str, ...], Sequence[Failure]], rows: Mapping[tuple[str, ...], dict[Any, Any]]
) -> dict[tuple[str, ...], dict[Any, Any]]:
    """Rows of falls that do not page, by key."""
    return {
        key: rows[key]
        for key, own in failed.items()
        if not rows.get(key, {}).get("page", True) and all(failure.severity == "info" for failure in own)
    }


def _by_key(suite: Suite, frame: pd.DataFrame) -> dict[tuple[str, ...], dict[Any, Any]]:
    rows: list[dict[Any, Any]] = frame.to_dict("records")
    return {tuple(str(row[column]) for column in suite.meta.index): row for row in rows}


def _is_well(row: Mapping[Any, Any]) -> bool:
    verdicts = [row[name] for name in ("verdict_dod", "verdict_net", "verdict") if name in row]
    return all(verdict == "ok" for verdict in verdicts)


def _finding(
    suite: Suite, key: tuple[str, ...], failed: Sequence[Failure], row: Mapping[Any, Any], context: Context
) -> Finding:
    severity = min(SEVERITIES[failure.severity] for failure in failed)
    subject = " / ".join((suite.name, *key))
    facts = _facts(suite, row, context) if suite.meta.frame and row else _values(failed, row)
    if not facts:
        expectations = ", ".join(dict.fromkeys(_shown(failure) for failure in failed))
        facts = [Fact(_say("expectation", context), expectations, wrong=True)]
    owner, runbook = row.get("owner") or suite.meta.owner, row.get("runbook") or suite.meta.runbook
    if owner:
        facts.append(Fact(_say("owner", context), owner))
    alert = Alert(
        title=_title(suite, key, context),
        severity=severity,
        subject=subject,
        happened_at=_onset(row) or context.day_start,
        fingerprint=fingerprint(SOURCE, subject),
        facts=tuple(facts),
        links=tuple(_links(suite, row, runbook, context)),
        table=_causes(row, context),
        chart=_chart(row, context),
    )
    return Finding(
        alert,
        source=SOURCE,
        recovery_key=recovery_key(suite.name, key),
        # A running day is looked at every hour: told once, and again where it got worse.
        occurrence=f"{context.day} {severity}",
        parent=_parent(suite, row),
    )


def _links(suite: Suite, row: Mapping[Any, Any], runbook: str | None, context: Context) -> Iterator[Link]:
    if context.page_url:
        yield Link(_say("page", context), f"{context.page_url}#{quote(row.get('event_name') or f'suite-{suite.name}')}")
    if runbook:
        yield Link(_say("runbook", context), runbook)


def _values(failed: Sequence[Failure], row: Mapping[Any, Any]) -> list[Fact]:
    """What each column holds and may hold; after a bound, `…_at_least`, the share that it bounds."""
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


def _shown(failure: Failure) -> str:
    return failure.expectation if failure.key else f"{failure.expectation}: {failure.value}"


def _title(suite: Suite, key: tuple[str, ...], context: Context) -> str:
    frame = suite.meta.frame
    if frame == "all_traffic":
        return _say("total", context)
    if frame == "funnels" and key:
        return _say("funnel", context, name=" → ".join(key))
    return _say("event" if frame == "key_events" and key else "quality", context, name=" / ".join(key) or suite.name)


def _parent(suite: Suite, row: Mapping[Any, Any]) -> str:
    """A step after the first broken one waits for that one, and the first broken one for its event."""
    broken = row.get("first_broken") or ""
    if not broken:
        return ""
    if broken == row["step"]:
        return recovery_key(SUITE_OF_EVENTS, (broken,))
    return recovery_key(suite.name, (row["funnel"], broken))


def _to_look_at(suite: Suite, rows: Sequence[Mapping[Any, Any]], context: Context) -> Finding:
    """What the bare rule of the operations document finds and nothing confirms: to be looked at during the day."""
    heads = ("name", "actual", "against_yesterday", "against_weekdays")
    alert = Alert(
        title=_say("unconfirmed", context, count=len(rows)),
        severity=Severity.P2,
        subject=suite.name,
        happened_at=context.day_start,
        fingerprint=fingerprint(SOURCE, suite.name, kind=_UNCONFIRMED),
        facts=(Fact(_say("day", context), str(context.day)),),
        links=tuple(_links(suite, {}, suite.meta.runbook, context)),
        table=Table(
            tuple(_say(head, context) for head in heads),
            tuple(
                (
                    _shown_name(row, context),
                    f"{row['actual']:,}",
                    *(_change(row[name]) for name in ("day_over_day", "net_ratio")),
                )
                for row in sorted(rows, key=lambda row: row["day_over_day"])
            ),
        ),
    )
    return Finding(alert, source=SOURCE, recovery_key=_unconfirmed_key(suite), occurrence=str(context.day))


def _shown_name(row: Mapping[Any, Any], context: Context) -> str:
    return _say("all", context) if row["event_name"] == TOTAL else str(row["event_name"])


def _change(ratio: float, base: float = math.nan) -> str:
    change = f"{ratio - 1:+.0%}" if math.isfinite(ratio) else "–"
    return f"{change} ({base:,.0f})" if math.isfinite(base) else change


def _facts(suite: Suite, row: Mapping[Any, Any], context: Context) -> list[Fact]:
    if suite.meta.frame == "funnels":
        return [
            Fact(_say("conversion", context), f"{row['conversion']:.1%}", f"{row['usual_conversion']:.1%}", wrong=True),
            Fact(_say("gap", context), f"{row['gap']:,.0f}"),
        ]
    moved = row["weekday_median"] * (row["fleet_move"] if math.isfinite(row["fleet_move"]) else 1.0)
    weekday = _say("weekday", context, days=row["baseline_days"])
    facts = [
        Fact(f"{_say('today', context)} {context.day}", f"{row['actual']:,}", f"{moved:,.0f}", wrong=True),
        Fact(_say("yesterday", context), _change(row["day_over_day"], row["yesterday"])),
        Fact(weekday, _change(row["net_ratio"])),
    ]
    if onset := _onset(row):
        facts.append(Fact(_say("onset", context), f"{onset.astimezone(context.zone):%Y-%m-%d %H:%M}"))
    return facts + _cause_facts(row, context)


def _cause_facts(row: Mapping[Any, Any], context: Context) -> list[Fact]:
    cause = _cause(row)
    facts = []
    if main := cause.get("main"):
        value = f"{_dimension(main['dimension'], context)} {main['value']}"
        facts.append(Fact(_say("main", context), _say("share", context, value=value, share=main["share"]), wrong=True))
    if release := cause.get("release"):
        when = datetime.fromisoformat(release["released_at"]).astimezone(context.zone)
        facts.append(Fact(_say("release", context), f"{release['version']}, {when:%Y-%m-%d %H:%M}"))
    if together := cause.get("co_moving"):
        facts.append(Fact(_say("together", context), _names(together, context)))
    if misdated := cause.get("misdated"):
        facts.append(Fact(_say("misdated", context), f"{misdated:,}"))
    return facts


def _names(names: Sequence[str], context: Context) -> str:
    shown = ", ".join(names[:_NAMES_SHOWN])
    return shown if len(names) <= _NAMES_SHOWN else _say("more", context, names=shown, count=len(names))


def _causes(row: Mapping[Any, Any], context: Context) -> Table | None:
    lines = [
        (dimension, line)
        for dimension, values in _cause(row).get("losses", {}).items()
        for line in values
        if line["loss"] > 0
    ]
    if not lines:
        return None
    # What holds more of the loss than of the usual traffic says most.
    lines.sort(key=lambda each: each[1]["usual_share"] - each[1]["share"])
    heads = ("dimension", "value", "expected", "actual", "lost")
    return Table(
        tuple(_say(head, context) for head in heads),
        tuple(
            (
                _dimension(dimension, context),
                line["value"],
                f"{line['expected']:,.0f}",
                f"{line['actual']:,}",
                f"{line['share']:.0%}",
            )
            for dimension, line in lines[:_CAUSES_SHOWN]
        ),
    )


def _chart(row: Mapping[Any, Any], context: Context) -> Chart | None:
    counted = context.history.get(row.get("event_name") or row.get("step") or "", ())
    if not counted:
        return None
    points = tuple((f"{day:%m-%d}", float(count)) for day, count in counted)
    return Chart(_say("chart", context, days=len(points)), points, mark=f"{context.day:%m-%d}")


def _cause(row: Mapping[Any, Any]) -> dict[str, Any]:
    return dict(json.loads(row["cause"])) if row.get("cause") else {}


def _onset(row: Mapping[Any, Any]) -> datetime | None:
    onset = row.get("onset")
    if onset is None or onset != onset:  # NaT is not itself
        return None
    moment: datetime = onset.to_pydatetime()
    return moment.astimezone(UTC)


def _dimension(name: str, context: Context) -> str:
    return _say(name, context) if name in ("platform", "app_version", "country") else name


def _say(key: str, context: Context, **values: object) -> str:
    return _TEXTS[key][context.locale].format(**values)
