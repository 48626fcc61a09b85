"""The incident store on PostgreSQL: who writes at once, what is counted, and what ends what."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from devstack.parts.base import ROOT
from mindguard.alerts.direct import Told, Unstored
from mindguard.alerts.finding import Finding, Recovery
from mindguard.alerts.incidents.store import ActionItem, IncidentMissing, IncidentStateError, IncidentStore
from mindguard.alerts.severity import Severity
from mindguard.database.session import OpsDatabase, StoreUnavailable
from tests.connections import connection_of
from tests.incidents import MINUTE, NOW, finding, mapped_failure


@pytest.fixture
def incidents(fresh_database: str) -> IncidentStore:
    return IncidentStore.of(connection_of(fresh_database))


def waiting(store: IncidentStore) -> list[tuple[int | None, str]]:
    """What the outbox holds: incident and kind."""
    from sqlalchemy import select

    from mindguard.alerts.incidents.models import Notification

    with store.database.session() as session:
        rows = session.execute(
            select(Notification.incident_id, Notification.kind)
            .where(Notification.state == "pending")
            .order_by(Notification.id)
        )
        return [(number, kind) for number, kind in rows]


def test_many_writers_at_once_make_one_incident_with_the_right_count(incidents: IncidentStore) -> None:
    with ThreadPoolExecutor(20) as pool:
        [*pool.map(lambda _: incidents.record([finding("a"), finding("b")], now=NOW), range(40))]
    found = incidents.list()
    assert sorted((each.alert.subject, each.occurrences) for each in found) == [("a", 40), ("b", 40)]
    assert sorted(kind for _, kind in waiting(incidents)) == ["opened", "opened"]


def test_what_lasted_after_a_moment_is_found_also_when_it_is_over(incidents: IncidentStore) -> None:
    incidents.record([finding(name) for name in ("over", "just over", "open")], now=NOW)
    incidents.recover([Recovery("test:over", NOW + MINUTE), Recovery("test:just over", NOW + 3 * MINUTE)], now=NOW)
    found = incidents.lasting(source="test", since=NOW + 2 * MINUTE)
    assert sorted(each.recovery_key for each in found) == ["test:just over", "test:open"]
    assert incidents.lasting(source="other", since=NOW) == []


def test_processes_that_meet_an_empty_database_make_the_schema_once(fresh_database: str) -> None:
    code = (
        "import sys; from mindguard.alerts.incidents.store import IncidentStore;"
        "from tests.connections import connection_of; from tests.incidents import NOW, finding;"
        "IncidentStore.of(connection_of(sys.argv[1])).record([finding()], now=NOW)"
    )
    command = [sys.executable, "-c", code, fresh_database]
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin:/bin"}
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE) for _ in range(4)]
    failures = [process.communicate(timeout=100)[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, failures
    store = IncidentStore.of(connection_of(fresh_database))
    assert store.database.migrated()
    (incident,) = store.list()
    assert incident.occurrences == 4


def test_the_migrations_make_what_the_models_say(incidents: IncidentStore) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    import mindguard.doctor.record  # its table is of the same schema
    import mindguard.monitors.store
    import mindguard.volume.page.store  # noqa: F401
    from mindguard.database.base import Base

    incidents.list()
    with incidents.database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "version_table_schema": "mindguard"}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_names_of_the_migrations_are_their_revisions() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    from mindguard.database import migrate

    config = Config()
    config.set_main_option("script_location", str(Path(migrate.__file__).with_name("migrations")))
    script = ScriptDirectory.from_config(config)
    assert migrate.revisions() == [each.revision for each in script.walk_revisions()][::-1]
    assert migrate.revisions()[-1] == script.get_current_head()


def test_a_schema_that_is_up_to_date_is_used_without_alembic(fresh_database: str) -> None:
    IncidentStore.of(connection_of(fresh_database)).list()
    code = (
        "import sys; from mindguard.alerts.incidents.store import IncidentStore;"
        "from tests.connections import connection_of;"
        "IncidentStore.of(connection_of(sys.argv[1])).list(); print('alembic' in sys.modules)"
    )
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", code, fresh_database]
    assert subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout == "False\n"


def test_one_event_reported_twice_counts_once_even_after_its_end(incidents: IncidentStore) -> None:
    incidents.record([finding(occurrence="run 1")], now=NOW)
    assert incidents.record([finding(occurrence="run 1")], now=NOW) == []
    incidents.recover([Recovery("test:api", at=NOW + MINUTE)], now=NOW + MINUTE)
    assert incidents.record([finding(occurrence="run 1")], now=NOW + MINUTE) == []
    assert incidents.list() == []
    (again,) = incidents.record([finding(occurrence="run 2", at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE)
    assert again.occurrences == 1


def failure(*, error: str = "", occurrence: str = "run 1", at: datetime = NOW) -> Finding:
    """A failed task, reported with or without its error."""
    known = finding(value=error or "not known", occurrence=occurrence, at=at, about=at)
    return replace(known, alert=replace(known.alert, error_unknown=not error))


TOLD = Told(NOW, "om_1")


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0, 1)])
def test_whichever_report_of_a_failure_comes_first_its_error_is_kept(
    incidents: IncidentStore, order: tuple[int, ...]
) -> None:
    reports = failure(), failure(error="ValueError: x")
    for number in order:
        incidents.record([reports[number]], now=NOW)
    (incident,) = incidents.list()
    assert (incident.alert.facts[0].value, incident.occurrences) == ("ValueError: x", 1)
    assert waiting(incidents) == [(incident.id, "opened")], "one card, which shows the error"


def test_an_error_that_comes_after_the_card_is_told(incidents: IncidentStore) -> None:
    (incident,) = incidents.record([failure()], now=NOW)
    with incidents.database.session() as session:
        session.execute(text("update mindguard.notifications set state = 'sent'"))
    for _ in range(2):
        assert incidents.record([failure(error="ValueError: x")], now=NOW) == []
    assert waiting(incidents) == [(incident.id, "explained")]
    incidents.record([failure(occurrence="run 2", at=NOW + MINUTE)], now=NOW + MINUTE)
    incidents.record([failure(error="ValueError: old")], now=NOW)
    assert incidents.list()[0].alert.facts[0].value == "not known", "an older run says nothing about the newest"


@pytest.mark.parametrize("first", ["direct", "sweep"])
def test_what_was_sent_directly_is_adopted_without_a_new_card(incidents: IncidentStore, first: str) -> None:
    unstored = Unstored(failure(error="ValueError: x"), TOLD)
    later = NOW + 5 * MINUTE
    for each in (first, *({"direct", "sweep"} - {first}), "direct"):
        if each == "direct":
            incidents.adopt(unstored, now=later)
        else:
            incidents.record([failure()], now=later)
    (incident,) = incidents.list()
    assert (incident.alert.facts[0].value, incident.occurrences) == ("ValueError: x", 1)
    assert waiting(incidents) == [(incident.id, "updated")], "the card that was sent changes, if it can"
    with incidents.database.session() as session:
        found = session.execute(text("select incident_id, message_id, form from mindguard.messages")).all()
    assert found == [(incident.id, "om_1", "card")]
    if first == "direct":
        assert incident.ladder_from == NOW, "the time to respond counts from the card"


def test_what_nobody_was_told_is_adopted_with_a_card(incidents: IncidentStore) -> None:
    incident = incidents.adopt(Unstored(failure(error="ValueError: x")), now=NOW)
    assert incident
    assert waiting(incidents) == [(incident.id, "opened")]


def test_an_older_failure_that_is_adopted_late_does_not_hide_the_newest(incidents: IncidentStore) -> None:
    incidents.record([failure(error="new", occurrence="run 2", at=NOW + MINUTE)], now=NOW + MINUTE)
    incidents.adopt(Unstored(failure(error="old"), TOLD), now=NOW + 2 * MINUTE)
    (incident,) = incidents.list()
    assert (incident.alert.facts[0].value, incident.occurrences) == ("new", 2)
    assert incident.last_failure.about == NOW + MINUTE


def test_only_what_was_not_counted_is_unknown(incidents: IncidentStore) -> None:
    known, unknown = failure(), failure(occurrence="run 2")
    incidents.record([known], now=NOW)
    assert incidents.uncounted([known, unknown]) == [unknown]


def test_a_repeat_brings_its_facts_and_keeps_the_beginning(incidents: IncidentStore) -> None:
    incidents.record([finding(value="1 s")], now=NOW)
    incidents.record([finding(value="9 s", at=NOW + MINUTE)], now=NOW + MINUTE)
    (incident,) = incidents.list()
    assert incident.occurrences == 2
    assert incident.alert.facts[0].value == "9 s"
    assert incident.alert.happened_at == NOW
    assert incident.last_seen_at == NOW + MINUTE


def test_a_worse_severity_is_told_and_a_milder_one_does_not_soften(incidents: IncidentStore) -> None:
    incidents.record([finding(severity=Severity.P1)], now=NOW)
    incidents.record([finding(severity=Severity.P2)], now=NOW)
    assert incidents.list()[0].alert.severity is Severity.P1
    incidents.record([finding(severity=Severity.P0)], now=NOW)
    (incident,) = incidents.list()
    assert (incident.severity, incident.alert.severity) == ("P0", Severity.P0)
    assert [entry.kind for entry in incidents.get(incident.id).timeline] == ["opened", "raised"]


def test_recovery_ends_it_with_one_notification_and_reopening_is_a_new_incident(incidents: IncidentStore) -> None:
    (first,) = incidents.record([finding()], now=NOW)
    for _ in range(2):
        incidents.recover([Recovery("test:api", at=NOW + MINUTE, note="answered")], now=NOW + MINUTE)
    assert waiting(incidents) == [(first.id, "opened")]  # which is sent as it is then: over
    assert incidents.get(first.name).state == "resolved"
    (second,) = incidents.record([finding(at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE)
    assert second.id != first.id
    assert first.name in incidents.get(second.id).timeline[0].text


def facts(store: IncidentStore) -> dict[str, str]:
    (incident,) = store.list()
    return {fact.name: fact.value for fact in incident.alert.facts}


def test_instances_that_fail_one_after_the_other_are_one_incident_that_names_them_all(incidents: IncidentStore) -> None:
    errors = ("KeyError: a", "KeyError: a", "ValueError: b", "ValueError: b", "KeyError: a")
    with ThreadPoolExecutor(5) as pool:
        reports = [mapped_failure(index, error=error) for index, error in enumerate(errors)]
        [*pool.map(lambda report: incidents.record([report], now=NOW), reports)]
    assert facts(incidents) == {
        "Error of instance 0-1, 4": "KeyError: a",
        "Failed instances": "5: 0-4",
        "Error of instance 2-3": "ValueError: b",
        "Run": "r0",
    }
    assert incidents.record([mapped_failure(3, error="ValueError: b")], now=NOW) == [], "a second callback is no news"
    incidents.record([mapped_failure(*range(6), whole=True)], now=NOW)
    assert facts(incidents)["Failed instances"] == "6: 0-5"
    assert incidents.record([mapped_failure(*range(6), whole=True)], now=NOW) == [], "nor is a second sweep"
    (incident,) = incidents.list()
    assert incident.occurrences == 1


def test_an_instance_that_is_worse_than_the_first_one_is_not_hidden_by_it(incidents: IncidentStore) -> None:
    incidents.record([mapped_failure(0, error="x", severity=Severity.P2)], now=NOW)
    incidents.record([mapped_failure(0, severity=Severity.P1, whole=True)], now=NOW)
    assert incidents.list()[0].severity == "P2", "the run does not know how bad the task's error is"
    incidents.record([mapped_failure(1, error="y", severity=Severity.P0)], now=NOW)
    (incident,) = incidents.list()
    assert (incident.severity, waiting(incidents)) == ("P0", [(incident.id, "opened")])
    assert [entry.kind for entry in incidents.get(incident.id).timeline] == ["opened", "raised"]


def test_an_instance_that_fails_after_somebody_ended_the_incident_is_one_more(incidents: IncidentStore) -> None:
    (first,) = incidents.record([mapped_failure(0, error="x")], now=NOW)
    incidents.resolve(first.id, by="ann", now=NOW)
    assert incidents.record([mapped_failure(0, whole=True)], now=NOW) == []
    (second,) = incidents.record([mapped_failure(1, error="y")], now=NOW)
    assert (second.id != first.id, facts(incidents)["Failed instances"]) == (True, "1: 1")
    incidents.record([mapped_failure(0, 1, whole=True)], now=NOW)
    assert facts(incidents)["Failed instances"] == "2: 0-1"


def test_the_next_run_brings_its_own_instances(incidents: IncidentStore) -> None:
    incidents.record([mapped_failure(0, error="x"), mapped_failure(1, error="y")], now=NOW)
    incidents.record([mapped_failure(2, error="z", run_id="r1")], now=NOW)
    assert facts(incidents) == {"Error": "z", "Failed instances": "1: 2", "Run": "r1"}
    assert incidents.record([mapped_failure(3, error="late")], now=NOW) == []
    assert incidents.list()[0].occurrences == 2


def test_a_recovery_from_before_the_last_instance_failed_ends_nothing(incidents: IncidentStore) -> None:
    incidents.record([mapped_failure(0, error="x")], now=NOW)
    incidents.record([mapped_failure(1, error="y", at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE)
    (incident,) = incidents.list()
    recovery = Recovery(incident.recovery_key, at=NOW + MINUTE, about=NOW)
    assert incidents.recover([recovery], now=NOW + 3 * MINUTE) == []


def test_a_recovery_from_before_the_last_failure_ends_nothing(incidents: IncidentStore) -> None:
    incidents.record([finding(at=NOW)], now=NOW)
    incidents.record([finding(at=NOW + 2 * MINUTE)], now=NOW + 2 * MINUTE)
    assert incidents.recover([Recovery("test:api", at=NOW + MINUTE)], now=NOW + 3 * MINUTE) == []
    assert incidents.list()[0].state == "open"


DAY = 24 * 60 * MINUTE


def test_a_recovery_ends_only_what_it_judged(incidents: IncidentStore) -> None:
    """A day's recovery may have the very moment at which the next day's findings begin."""
    incidents.record([finding(at=NOW, about=NOW)], now=NOW + MINUTE)
    yesterday = Recovery("test:api", at=NOW, about=NOW - DAY)
    assert incidents.recover([yesterday], now=NOW + 2 * MINUTE) == []
    incidents.recover([Recovery("test:api", at=NOW + 2 * MINUTE, about=NOW)], now=NOW + 2 * MINUTE)
    assert incidents.list() == []


def test_an_older_run_that_succeeds_late_does_not_end_the_incident_of_a_newer_one(incidents: IncidentStore) -> None:
    newer = NOW + 5 * MINUTE
    incidents.record([finding(at=newer, about=newer)], now=newer)
    incidents.record([finding(at=newer + MINUTE, about=NOW)], now=newer + MINUTE)  # an older one fails after it
    for older in (Recovery("test:api", at=newer + 2 * MINUTE, about=NOW), Recovery("test:api", at=NOW, about=newer)):
        assert incidents.recover([older], now=newer + 3 * MINUTE) == []
    both = [Recovery("test:api", at=newer + 3 * MINUTE, about=about) for about in (newer, NOW)]
    assert [incident.name for incident in incidents.recover(both, now=newer + 3 * MINUTE)] == ["I-1"]


def test_an_incident_from_before_the_order_of_reports_ends_as_before(fresh_database: str) -> None:
    store = IncidentStore.of(connection_of(fresh_database))
    store.record([finding(at=NOW)], now=NOW)
    with store.database.engine.begin() as connection:  # as an older version of the package left it
        for column in ("last_failure_about", "silenced_by", "silenced_until", "flaps", "revision"):
            connection.execute(text(f"alter table mindguard.incidents drop column {column}"))
        connection.execute(text("alter table mindguard.notifications drop column shown"))
        connection.execute(text("drop table mindguard.silences, mindguard.examinations"))
        connection.execute(text("update mindguard.alembic_version set version_num = '0003'"))
    store = IncidentStore(OpsDatabase(store.database.engine))
    assert store.recover([Recovery("test:api", at=NOW - MINUTE)], now=NOW) == []
    assert len(store.recover([Recovery("test:api", at=NOW + MINUTE)], now=NOW + MINUTE)) == 1


def test_a_store_of_a_newer_version_is_refused_in_one_line(fresh_database: str) -> None:
    """While some processes are upgraded and others are not, these send directly."""
    store = IncidentStore.of(connection_of(fresh_database))
    store.record([finding(at=NOW)], now=NOW)
    with store.database.engine.begin() as connection:
        connection.execute(text("update mindguard.alembic_version set version_num = '9999'"))
    older = IncidentStore(OpsDatabase(store.database.engine))
    for use in (lambda: older.record([finding(at=NOW)], now=NOW), older.database.migrated):
        with pytest.raises(StoreUnavailable, match=r"newer version of mindguard-ops \(its schema is 9999\) – upgrade"):
            use()


def test_what_an_open_incident_explains_notifies_nobody_until_that_is_over(incidents: IncidentStore) -> None:
    (early,) = incidents.record([finding("early", parent="test:source")], now=NOW)
    (source,) = incidents.record([finding("source")], now=NOW)
    (late,) = incidents.record([finding("late", parent="test:source")], now=NOW)
    assert waiting(incidents) == [(source.id, "opened")]
    incidents.recover([Recovery("test:early", at=NOW + MINUTE)], now=NOW + MINUTE)
    incidents.recover([Recovery("test:source", at=NOW + MINUTE)], now=NOW + MINUTE)
    # One recovered silently; the other one is not explained any more, so people must hear of it.
    assert incidents.get(early.id).state == "resolved"
    assert waiting(incidents) == [(source.id, "opened"), (late.id, "opened")]


def race(*acts: Callable[[], object]) -> list[object]:
    def attempt(act: Callable[[], object]) -> object:
        try:
            return act()
        except IncidentStateError as error:
            return error

    with ThreadPoolExecutor(len(acts)) as pool:
        return [*pool.map(attempt, acts)]


@pytest.mark.parametrize("_", range(5))
def test_acknowledging_and_ending_at_once_leaves_one_truth(incidents: IncidentStore, _: int) -> None:
    (incident,) = incidents.record([finding()], now=NOW)
    race(
        *[lambda by=by: incidents.acknowledge(incident.id, by=by, now=NOW) for by in ("ann", "bob")],
        lambda: incidents.resolve(incident.id, by="cat", now=NOW + MINUTE),
        lambda: incidents.recover([Recovery("test:api", at=NOW + MINUTE)], now=NOW + MINUTE),
    )
    found = incidents.get(incident.id)
    kinds = [entry.kind for entry in found.timeline]
    assert found.state == "resolved"
    assert kinds.count("resolved") == 1
    assert kinds.count("acknowledged") == bool(found.acknowledged_by)


def test_states(incidents: IncidentStore) -> None:
    (incident,) = incidents.record([finding()], now=NOW)
    incidents.acknowledge(incident.name, by="ann", now=NOW)
    assert incidents.acknowledge(incident.name, by="bob", now=NOW).acknowledged_by == "ann"
    with pytest.raises(IncidentStateError, match="still lasts"):
        incidents.review(incident.id, by="ann", now=NOW, actions=[])
    incidents.resolve(incident.id, by="ann", now=NOW + MINUTE, cause="full disk")
    with pytest.raises(IncidentStateError, match="resolved already"):
        incidents.acknowledge(incident.id, by="bob", now=NOW)
    incidents.resolve(incident.id, by="ann", now=NOW + MINUTE, remedy="bigger disk")
    reviewed = incidents.review(incident.id, by="ann", now=NOW, actions=[ActionItem("watch the disk", "bob")])
    assert reviewed.actions == [{"text": "watch the disk", "owner": "bob", "due": ""}]
    assert (reviewed.cause, reviewed.remedy) == ("full disk", "bigger disk")


@pytest.mark.parametrize("name", ["I-99999", "I-x", "", "-1", "I-" + "9" * 30, "I-1; drop table"])
def test_what_is_no_incident(incidents: IncidentStore, name: str) -> None:
    with pytest.raises(IncidentMissing):
        incidents.get(name)


def test_a_store_that_cannot_be_reached_says_so_without_its_password(fresh_database: str) -> None:
    right = connection_of(fresh_database)
    for wrong in ({"port": 9}, {"password": "not-the-password-5678"}, {"schema": "nowhere"}):
        store = IncidentStore.of(replace(right, **wrong))
        with pytest.raises(StoreUnavailable, match=r"connections\.ops") as unavailable:
            store.list()
        assert "not-the-password-5678" not in str(unavailable.value)
        assert "\n" not in str(unavailable.value)


def test_old_incidents_are_forgotten_with_all_that_belongs_to_them(incidents: IncidentStore) -> None:
    (old,) = incidents.record([finding("old", occurrence="1")], now=NOW)
    (lasting,) = incidents.record([finding("lasting")], now=NOW)
    incidents.resolve(old.id, by="ann", now=NOW)
    assert incidents.forget(before=NOW + MINUTE) == 1
    with pytest.raises(IncidentMissing):
        incidents.get(old.id)
    assert incidents.get(lasting.id).state == "open"


FOREIGN = st.text(st.characters(codec=None, exclude_categories=()), max_size=40).map(lambda text: text * 99)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FOREIGN, min_size=6, max_size=6))
@example(["a\0", "\ud800", "x" * 6_000, "\0", "\udfff" * 5_000, "\r\n"])
def test_no_foreign_text_costs_another_finding(incidents: IncidentStore, texts: list[str]) -> None:
    subject, value, occurrence, parent, by, said = texts
    hostile = finding(subject, value=value, occurrence=occurrence, parent=parent)
    for each in incidents.record([hostile, finding("harmless")], now=NOW):
        incidents.note(each.id, by=by, text=said, now=NOW)
        incidents.resolve(each.id, by=by, cause=said, remedy=said, impact=said, now=NOW)
        incidents.review(each.id, by=by, now=NOW, actions=[ActionItem(said, by)])
        incidents.get(each.id)
    incidents.record([replace(hostile, occurrence=""), finding("harmless")], now=NOW)
    incidents.recover([Recovery(hostile.recovery_key, at=NOW), Recovery("test:harmless", at=NOW)], now=NOW)
    assert incidents.list() == []
