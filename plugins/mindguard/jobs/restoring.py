"""Says what a restore would do, to the person who is to approve it. See docs/adr/0033 for what is shown where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from mindguard.alerts.alert import Fact
from mindguard.alerts.dag_runs.approval import Asked
from mindguard.feishu.blocks import duration, moment
from mindguard.feishu.texts import Words
from mindguard.jobs.texts import TEXTS
from mindguard.snapshots.restore.put_back import Shown
from mindguard.snapshots.restore.swap import kept_name
from mindguard.snapshots.restore.tables import Plan
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.state import SnapshotState
from mindguard.texts import Locale

PutBackMode = Literal["no", "missing", "changed"]
"""Which restored rows go back into the live tables: none, those that are missing, or also those that have changed."""

_TABLES_IN_QUESTION = 3


@dataclass(frozen=True)
class Asker:
    """Who asks, in which words, and when.

    Attributes:
        name: the user who triggered the run; empty if Airflow does not know.
        run_type: the run's type as Airflow names it.
        connection: id of the target's connection.
        locale: the reader's language.
        zone: the time zone of shown times.
        now: the present time, aware.
    """

    name: str
    run_type: str
    connection: str
    locale: Locale
    zone: ZoneInfo
    now: datetime

    def say(self, key: str, **values: object) -> str:
        """Return a text in the reader's language."""
        return TEXTS.say(key, self.locale, **values)

    def fact(self, key: str, value: str, *, wrong: bool = False) -> Fact:
        """Return a fact under its name in the reader's language."""
        return Fact(self.say(key), value, wrong=wrong)

    def listed(self, items: Sequence[str], most: int = 5) -> str:
        """Return the first items in one line, and the number of the others."""
        shown = list(items[:most])
        if more := len(items) - len(shown):
            shown.append(self.say("more", count=more))
        return self.say("separator").join(shown)

    def moment(self, at: datetime) -> str:
        """Return a time as cards show it."""
        return moment(at, Words(self.locale), self.zone)


def restore_asked(
    plan: Plan,
    manifest: Manifest,
    state: SnapshotState,
    where: Mapping[str, Sequence[str]],
    rows: Mapping[str, int],
    asker: Asker,
    *,
    then: PutBackMode = "no",
) -> Asked:
    """Return what the person is asked who is to approve a restore.

    Args:
        plan: the plan.
        manifest: the snapshot.
        state: whether it has been rebuilt, and when its parts were last read.
        where: the values by which rows are chosen, by column. Only the columns and the numbers of values are shown.
        rows: number of rows that would come, by table; a table that is missing has not been counted.
        asker: who asks.
        then: which rows are to be put back into the live tables afterwards, behind an approval of its own.
    """
    say, fact = asker.say, asker.fact
    names = [each.table.name for each in plan.tables]
    facts = _snapshot(manifest, state, asker)
    facts += [fact("tables", asker.listed(names)), fact("filter", _filter(where, asker))]
    nothing = not any(rows.get(name, 1) for name in names)
    facts.append(fact("rows", asker.listed([_rows(plan, name, rows, asker) for name in names]), wrong=nothing))
    facts.append(fact("target", say("target_of", connection=asker.connection, database=plan.database)))
    if plan.swap:
        kept = asker.listed([kept_name(each.name, plan.snapshot_id) for each in plan.tables if each.live])
        facts.append(fact("into", say("into_swap", kept=kept or "–"), wrong=True))
    else:
        facts.append(fact("into", say("into_schema", schema=plan.schema)))
    if plan.unfinished:
        facts.append(fact("unfinished", say("unfinished_of", what=str(plan.unfinished)), wrong=True))
    if then != "no":
        facts.append(fact("then", say(f"then_{then}")))
    facts.append(_requester(asker))
    return Asked(_question(names, where, asker, swap=plan.swap), tuple(facts))


def put_back_asked(shown: Shown, manifest: Manifest, state: SnapshotState, asker: Asker, *, overwrite: bool) -> Asked:
    """Return what the person is asked who is to approve that rows are put back into live tables.

    Args:
        shown: the difference.
        manifest: the snapshot.
        state: whether it has been rebuilt, and when its parts were last read.
        asker: who asks.
        overwrite: whether rows that differ are overwritten.
    """
    say, fact = asker.say, asker.fact
    tables = {name: each for name, each in shown.tables.items() if each.missing or (overwrite and each.changed)}
    counts = {
        "missing": f"{sum(each.missing for each in tables.values()):,}",
        "changed": f"{sum(each.changed for each in tables.values()):,}",
    }
    differences = [
        say(
            "difference_of",
            table=name,
            missing=f"{each.missing:,}",
            changed=f"{each.changed:,}",
            equal=f"{each.equal:,}",
        )
        for name, each in shown.tables.items()
    ]
    facts = [
        *_snapshot(manifest, state, asker),
        fact("difference", asker.listed(differences)),
        fact("changed_rows", say("changed_go", schema=shown.schema), wrong=True)
        if overwrite
        else fact("changed_rows", say("changed_stay")),
        fact("since", say("since_stay")),
        fact("target", say("target_of", connection=asker.connection, database=shown.database)),
    ]
    if triggers := [f"{name}.{trigger}" for name, each in tables.items() for trigger in each.triggers]:
        facts.append(fact("triggers", asker.listed(triggers)))
    facts.append(_requester(asker))
    question = "put_back_over" if overwrite else "put_back"
    return Asked(say(question, tables=asker.listed(list(tables), _TABLES_IN_QUESTION), **counts), tuple(facts))


def _snapshot(manifest: Manifest, state: SnapshotState, asker: Asker) -> list[Fact]:
    """Return the facts that say which snapshot it is, how old, and how far it can be trusted."""
    say, fact = asker.say, asker.fact
    doubtful = not state.proof or bool(state.checks.damaged or state.checks.altered)
    taken = say("taken_ago", time=asker.moment(manifest.taken_at), age=_age(manifest.taken_at, asker))
    if state.doubtful:
        taken = say("and_doubtful", taken=taken, tables=asker.listed(state.doubtful))
    facts = [
        fact("snapshot", manifest.snapshot_id),
        fact("taken", taken, wrong=bool(state.doubtful)),
        fact(
            "proven",
            say("and_checked", proven=_proven(manifest, state, asker), checked=_checked(state, asker)),
            wrong=doubtful,
        ),
    ]
    if manifest.quarantined_for:
        facts.append(fact("quarantined", asker.listed(manifest.quarantined_for), wrong=True))
    return facts


def _proven(manifest: Manifest, state: SnapshotState, asker: Asker) -> str:
    """Return whether restore drills have rebuilt the snapshot."""
    if state.proof:
        return asker.say("proven_at", time=asker.moment(state.proof.proven_at))
    if state.rebuilt:
        return asker.say("proven_in_part", rebuilt=state.rebuilt, tables=len(manifest.tables))
    return asker.say("not_proven")


def _checked(state: SnapshotState, asker: Asker) -> str:
    """Return when the snapshot's parts were last read, and what is wrong with them."""
    checks = state.checks
    unread = checks.unread if checks.oldest else 0
    for key, count in {"damaged": checks.damaged, "altered": checks.altered, "unread": unread}.items():
        if count:
            return asker.say(key, count=count)
    return asker.say("checked", age=_age(checks.oldest, asker)) if checks.oldest else asker.say("unchecked")


def _requester(asker: Asker) -> Fact:
    return asker.fact("requester", asker.name or asker.say("no_requester", run_type=asker.run_type))


def _question(names: Sequence[str], where: Mapping[str, Sequence[str]], asker: Asker, *, swap: bool) -> str:
    say = asker.say
    return say(
        "restore",
        tables=asker.listed(names, _TABLES_IN_QUESTION),
        rows=say("restore_where", columns=say("separator").join(where)) if where else "",
        after=say("restore_swap") if swap else "",
    )


def _filter(where: Mapping[str, Sequence[str]], asker: Asker) -> str:
    if not where:
        return asker.say("no_filter")
    columns = [asker.say("filter_column", column=name, count=len(values)) for name, values in where.items()]
    return asker.say("filter_values", columns=asker.listed(columns))


def _rows(plan: Plan, name: str, rows: Mapping[str, int], asker: Asker) -> str:
    if name in rows:
        return asker.say("rows_of", table=name, rows=f"{rows[name]:,}")
    most = sum(part.rows for each in plan.tables if each.table.name == name for part in each.parts)
    return asker.say("rows_at_most", table=name, rows=f"{most:,}")


def _age(at: datetime, asker: Asker) -> str:
    span = max(asker.now - at, timedelta())
    if span < timedelta(days=1):
        return duration(span, Words(asker.locale))
    hours = span.seconds // 3600
    return asker.say("days_hours" if hours else "days", days=span.days, hours=hours)
