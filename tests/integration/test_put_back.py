"""Rows that go back into live tables: what is shown is what is done, in one transaction, and it can be undone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import psycopg
import pytest
from typer.testing import CliRunner

from devstack.stack import Stack
from mindguard.cli import app
from mindguard.snapshots.restore.put_back import DifferenceVoid, PutBack, PutBackRequest, put_back, show
from mindguard.snapshots.restore.tables import RestoreRequest, restore
from mindguard.snapshots.restore.target import MARK, RestoreRefused, TargetError
from mindguard.snapshots.storage.manifest import Manifest
from mindguard.snapshots.storage.store import Store
from mindguard.sql import literal, statement
from tests.integration.restoring import NOW, as_text, empty_database, run, snapshot

CLINIC = """
create table person (id int primary key, name text unique);
create table visit (
    id bigint generated always as identity primary key, person int not null references person, "a ""note%" text,
    paid numeric, owed numeric generated always as (100 - paid) stored
);
create table label (visit bigint references visit, word text, primary key (visit, word));
create table heap (id int);
insert into person select i, 'p' || i from generate_series(1, 20) i;
insert into visit (person, "a ""note%", paid) select 1 + i % 20, 'n' || i, i from generate_series(1, 100) i;
insert into label select i, 'w' from generate_series(1, 50) i;
"""
TABLES = ("public.person", "public.visit", "public.label")
VISITS = RestoreRequest(("visit",), ("person=8",), "back")  # visits 7, 27, 47, 67 and 87
BACK = PutBackRequest(("visit",), "back")
AT_NOW = {"public.visit": NOW}
OVERWRITE = PutBackRequest(("visit",), "back", overwrite=True)


@pytest.fixture(scope="module")
def template(stack: Stack) -> Iterator[str]:
    with empty_database(stack) as conninfo:
        run(conninfo, CLINIC)
        yield conninfo


@pytest.fixture(scope="module")
def shelf(stack: Stack) -> Store:
    client = stack.seaweedfs.client()
    client.create_bucket(Bucket="clinic")
    return Store(client, bucket="clinic", prefix="key-tables")


@pytest.fixture(scope="module")
def taken(template: str, shelf: Store) -> Manifest:
    return snapshot(template, shelf, *TABLES, "public.heap")


@pytest.fixture
def clinic(stack: Stack, template: str, taken: Manifest) -> Iterator[str]:
    """A database like the one that the snapshot was taken of, for one test."""
    with empty_database(stack, template=template) as conninfo:
        yield conninfo


def everything(conninfo: str) -> list[list[str]]:
    return [as_text(conninfo, table) for table in TABLES]


def look_and_put_back(manifest: Manifest, conninfo: str, request: PutBackRequest) -> PutBack:
    show(manifest, conninfo, request, now=NOW)
    return put_back(manifest, conninfo, request)


DAMAGE = """
delete from label where visit in (7, 27); delete from visit where id in (7, 27);
update visit set paid = 7.00 where id in (47, 67)
"""


def test_missing_rows_come_back_and_others_stay(clinic: str, taken: Manifest, shelf: Store) -> None:
    sound = everything(clinic)
    run(clinic, DAMAGE)
    damaged = everything(clinic)
    restore(taken, shelf, clinic, VISITS)
    shown = show(taken, clinic, BACK, now=NOW)
    (table,) = shown.tables.values()
    assert (table.missing, table.changed, table.equal) == (2, 2, 1)
    assert everything(clinic) == damaged, "looking writes nothing to live tables"
    done = put_back(taken, clinic, BACK, shown_at={"public.visit": table.shown_at})
    (back,) = done.tables.values()
    assert (back.inserted, back.overwritten, back.altered) == (2, 0, 0)
    assert run(clinic, "select paid, owed from visit where id in (7, 47) order by id") == [(7, 93), (7, 93)]
    # What was overwritten later is kept as well, beside what was put back before.
    done = look_and_put_back(taken, clinic, OVERWRITE)
    (back,) = done.tables.values()
    assert (back.inserted, back.overwritten) == (0, 2)
    assert as_text(clinic, "public.visit") == sound[1], "byte by byte: 7.00 is not 47"
    assert run(clinic, f"select id, paid::text from {back.former} order by 1") == [(47, "7.00"), (67, "7.00")]


def test_what_was_done_can_be_undone_by_the_statements_that_are_printed(
    clinic: str, taken: Manifest, shelf: Store
) -> None:
    sound = everything(clinic)
    run(clinic, DAMAGE, "delete from label; delete from person where id not in (select person from visit)")
    damaged = everything(clinic)
    restore(taken, shelf, clinic, RestoreRequest(TABLES, (), "back"))
    request = PutBackRequest((), "back", overwrite=True)
    done = look_and_put_back(taken, clinic, request)
    assert everything(clinic) == sound
    with psycopg.connect(clinic, autocommit=True) as connection:
        for line in done.undo.splitlines():
            connection.execute(line)
    assert everything(clinic) == damaged
    # A row that has changed since then is the application's again.
    done = look_and_put_back(taken, clinic, request)
    run(clinic, "update visit set paid = 1000 where id = 47; update label set word = 'own' where visit = 7")
    with psycopg.connect(clinic, autocommit=True) as connection:
        for line in done.undo.splitlines():
            if 'delete from only "public"."visit"' not in line:  # visit 7 has a label again
                connection.execute(line)
    assert run(clinic, "select id, paid from visit where id in (47, 67) order by id") == [(47, 1000), (67, 7)]
    assert run(clinic, "select word from label") == [("own",)]


def test_a_session_that_is_about_to_end_is_no_other_restore(clinic: str, taken: Manifest, shelf: Store) -> None:
    """As that of the look at the difference just before."""
    restore(taken, shelf, clinic, VISITS)
    with psycopg.connect(clinic, autocommit=True) as ending:
        ending.execute(statement("lock_restore", schema=literal("back")))
        threading.Timer(0.5, ending.close).start()
        assert show(taken, clinic, BACK, now=NOW).tables


def test_what_has_changed_since_it_was_shown_stays(clinic: str, taken: Manifest, shelf: Store) -> None:
    run(clinic, DAMAGE)
    restore(taken, shelf, clinic, VISITS)
    show(taken, clinic, OVERWRITE, now=NOW)
    run(
        clinic,
        # One that was missing has come, one that differed has changed again, and one that was equal is deleted.
        "insert into visit (id, person, paid) overriding system value values (27, 8, 1)",
        "update visit set paid = 8 where id = 67; delete from visit where id = 87",
    )
    done = put_back(taken, clinic, OVERWRITE, shown_at=AT_NOW)
    (back,) = done.tables.values()
    assert (back.inserted, back.overwritten, back.appeared, back.changed_since) == (1, 1, 1, 1)
    assert run(clinic, "select id, paid from visit where person = 8 order by id") == [
        (7, 7),
        (27, 1),
        (47, 47),
        (67, 8),
    ]
    with pytest.raises(RestoreRefused, match="has been put back already, or another one was shown since"):
        put_back(taken, clinic, OVERWRITE, shown_at=AT_NOW)
    show(taken, clinic, OVERWRITE, now=NOW + timedelta(hours=2))
    with pytest.raises(RestoreRefused, match="has been put back already, or another one was shown since"):
        put_back(taken, clinic, OVERWRITE, shown_at=AT_NOW)


def test_rows_that_nobody_was_shown_stay(clinic: str, taken: Manifest, shelf: Store) -> None:
    run(clinic, DAMAGE)
    restore(taken, shelf, clinic, RestoreRequest(("visit", "label"), (), "back"))
    damaged = everything(clinic)
    both = PutBackRequest((), "back", overwrite=True)

    def refused(request: PutBackRequest) -> None:
        with pytest.raises(RestoreRefused, match=r"was not shown, or has served already .* look first: .* --apply"):
            put_back(taken, clinic, request)

    refused(both)
    show(taken, clinic, replace(OVERWRITE, asked=True), now=NOW)
    refused(OVERWRITE)  # what somebody else is asked to approve
    show(taken, clinic, BACK, now=NOW)
    refused(both)
    assert everything(clinic) == damaged
    assert put_back(taken, clinic, OVERWRITE).tables["public.visit"].overwritten == 2
    run(clinic, "update visit set paid = 8 where id = 87")
    refused(OVERWRITE)  # the look has served
    show(taken, clinic, OVERWRITE, now=NOW)
    run(clinic, "drop table back.visit")
    restore(taken, shelf, clinic, VISITS)
    refused(OVERWRITE)  # the look was at other restored rows
    assert run(clinic, "select paid from visit where id = 87") == [(8,)]


def test_a_look_leaves_alone_what_somebody_is_asked_to_approve(clinic: str, taken: Manifest, shelf: Store) -> None:
    run(clinic, DAMAGE)
    restore(taken, shelf, clinic, VISITS)
    asked, later = replace(OVERWRITE, asked=True), NOW + timedelta(hours=1)
    show(taken, clinic, asked, now=NOW)
    run(clinic, "update visit set paid = 8 where id = 87")
    for request in (BACK, OVERWRITE, BACK):
        assert show(taken, clinic, request, now=later).tables["public.visit"].changed == 3
    done = put_back(taken, clinic, asked, shown_at=AT_NOW)
    (back,) = done.tables.values()
    assert (back.inserted, back.overwritten) == (2, 2), "what was approved, and nothing that was shown to others"
    # Those who looked can still apply what they saw, and who is asked anew takes nothing from them.
    show(taken, clinic, asked, now=later)
    (back,) = put_back(taken, clinic, OVERWRITE, shown_at={"public.visit": later}).tables.values()
    assert (back.inserted, back.overwritten, back.appeared) == (0, 1, 2)
    with pytest.raises(DifferenceVoid):
        put_back(taken, clinic, asked, shown_at=AT_NOW)


def test_a_row_that_another_session_is_just_changing_stays(clinic: str, taken: Manifest, shelf: Store) -> None:
    run(clinic, DAMAGE)
    restore(taken, shelf, clinic, VISITS)
    show(taken, clinic, OVERWRITE, now=NOW)
    with psycopg.connect(clinic) as other:
        other.execute("update visit set paid = 9 where id = 47")
        waiting = threading.Timer(0.5, other.commit)
        waiting.start()
        done = put_back(taken, clinic, OVERWRITE)
        waiting.join()
    assert done.tables["public.visit"].changed_since == 1
    assert run(clinic, "select paid from visit where id = 47") == [(9,)]


def test_parents_come_before_children_and_sequences_after_both(clinic: str, taken: Manifest, shelf: Store) -> None:
    sound = everything(clinic)
    run(clinic, "truncate person, visit, label restart identity")
    restore(taken, shelf, clinic, RestoreRequest(TABLES, (), "back"))
    with pytest.raises(TargetError, match=r"nothing was put back: foreign key violation .*visit_person_fkey"):
        look_and_put_back(taken, clinic, BACK)
    assert everything(clinic) == [[], [], []]
    assert look_and_put_back(taken, clinic, PutBackRequest((), "back")).notes == ()
    assert everything(clinic) == sound
    assert run(clinic, "insert into visit (person) values (1) returning id") == [(101,)]


TRIGGER = """
create function on_visit() returns trigger language plpgsql as $$ begin {body} end $$;
create trigger "on visit" before insert or update on visit for each row execute function on_visit()
"""


def test_triggers_fire_and_cannot_lose_a_row_unnoticed(clinic: str, taken: Manifest, shelf: Store) -> None:
    run(clinic, DAMAGE, TRIGGER.format(body="if new.id = 27 then return null; end if; return new;"))
    restore(taken, shelf, clinic, VISITS)
    damaged = everything(clinic)
    assert show(taken, clinic, BACK, now=NOW).tables["public.visit"].triggers == ("on visit",)
    for kept_out in ("new.id = 27", "new.id = 67"):
        body = f"if {kept_out} then return null; end if; return new;"
        run(clinic, TRIGGER.format(body=body).replace("create ", "create or replace "))
        with pytest.raises(TargetError, match=r"nothing was put back: public\.visit did not take 1 rows"):
            look_and_put_back(taken, clinic, OVERWRITE)
        assert everything(clinic) == damaged
    body = "new.paid := 0; return new;"
    run(clinic, TRIGGER.format(body=body).replace("create ", "create or replace "))
    back = look_and_put_back(taken, clinic, OVERWRITE).tables["public.visit"]
    assert (back.inserted, back.overwritten, back.altered) == (2, 2, 4)


def test_what_cannot_be_put_back_is_refused_in_a_line(clinic: str, taken: Manifest, shelf: Store) -> None:
    def refused(request: PutBackRequest, why: str) -> None:
        with pytest.raises(RestoreRefused, match=why):
            show(taken, clinic, request, now=NOW)

    refused(BACK, "schema back does not have public.visit")
    refused(PutBackRequest((), "back"), "schema back has no table of snapshot")
    run(clinic, "insert into heap values (1); delete from visit where id = 99")
    lines = restore(taken, shelf, clinic, RestoreRequest(("heap", "visit"), (), "back")).lines("x")
    assert lines[-2].endswith("--from back --to x --table public.visit"), "only what can be put back"
    refused(PutBackRequest(("heap",), "back"), "it has no primary key in the snapshot")
    run(clinic, "create rule quiet as on insert to visit do nothing")
    refused(BACK, "rule quiet is on it")
    run(clinic, "drop rule quiet on visit; alter table label drop constraint label_visit_fkey")
    run(clinic, "alter table visit drop constraint visit_pkey")
    refused(BACK, "no unique index on its key of the snapshot")
    run(clinic, "alter table visit add primary key (id); alter table visit add more int")
    refused(BACK, "it has other columns than in the snapshot")
    run(clinic, f"alter table visit drop more; comment on table back.visit is '{MARK} of'")
    refused(BACK, "is what an interrupted restore left")


LONG = "a_name_of_sixty_three_bytes_which_is_as_long_as_a_name_can_be_x"
ODD = f"""
create table parted (day date, id int, x json, primary key (day, id)) partition by range (day);
create table parted_a partition of parted for values from ('2026-01-01') to ('2026-02-01');
create table parted_b partition of parted for values from ('2026-02-01') to ('2026-03-01');
create table {LONG} (id bigint generated always as identity primary key);
create table "Odd 表" ("K" numeric primary key, place point, "l" bytea, r int[], "mindguard" text);
create table parent (id int primary key, x int); create table child () inherits (parent);
create table ward (parent int references parent on delete cascade);
insert into parted select '2026-01-20'::date + i, i, '{{"a": 1}}' from generate_series(1, 20) i;
insert into {LONG} select from generate_series(1, 5);
insert into "Odd 表" select i, point(i, 0), '\\x00ff', array[i], 'x' from generate_series(1, 5) i;
insert into parent select i, i from generate_series(1, 5) i; insert into child values (6, 6);
"""


def test_odd_tables_and_a_role_with_few_rights(fresh_database: str, store: Store, stack: Stack) -> None:
    run(fresh_database, ODD)
    names = ["public.parted", f"public.{LONG}", "public.Odd 表", {"name": "public.parent", "inherited": "own"}]
    manifest = snapshot(fresh_database, store, *names)
    tables = ["public.parted", f"public.{LONG}", 'public."Odd 表"', "public.parent"]
    sound = [as_text(fresh_database, table) for table in tables]
    run(
        fresh_database,
        "delete from parted where id in (3, 17); update parted set x = '{}' where id in (4, 18)",
        f"truncate {LONG} restart identity",
        """delete from "Odd 表" where "K" = 2; update "Odd 表" set "K" = 3.00, place = point(-0.0, 0) where "K" = 3""",
        "delete from only parent where id = 1; update only parent set x = 0 where id = 2",
        "insert into child values (2, 2)",
    )
    damaged = [as_text(fresh_database, table) for table in tables]
    done = restore(manifest, store, fresh_database, RestoreRequest())
    hint = f"mindguard snapshot put-back {manifest.snapshot_id} --from {done.schema} --to app"
    assert any(line.endswith(f": {hint}") for line in done.lines("app"))
    # Whoever may write the live tables, and create tables beside the restored ones, needs no more.
    run(
        fresh_database,
        f"grant all on schema {done.schema} to mindguard_reader; grant select on all tables in schema {done.schema}, "
        "public to mindguard_reader; grant insert, update, delete on all tables in schema public to mindguard_reader",
    )
    database = str(psycopg.conninfo.conninfo_to_dict(fresh_database)["dbname"])
    reader = stack.postgres_conninfo("mindguard_reader", database)
    # The look names a right that is missing.
    run(fresh_database, "revoke update on parted from mindguard_reader")
    with pytest.raises(RestoreRefused, match=r"reader lacks UPDATE on it – GRANT UPDATE ON public\.parted"):
        show(manifest, reader, PutBackRequest(overwrite=True), now=NOW)
    show(manifest, reader, PutBackRequest(), now=NOW)
    with pytest.raises(RestoreRefused, match="role mindguard_reader lacks UPDATE"):
        put_back(manifest, reader, PutBackRequest(overwrite=True))
    run(fresh_database, "revoke insert on parted from mindguard_reader")
    with pytest.raises(RestoreRefused, match=r"lacks INSERT on it; .* lacks UPDATE on it – GRANT INSERT .*; GRANT UPD"):
        show(manifest, reader, PutBackRequest(overwrite=True), now=NOW)
    run(fresh_database, "grant insert, update on parted to mindguard_reader")
    done_back = look_and_put_back(manifest, reader, PutBackRequest(overwrite=True))
    assert [as_text(fresh_database, table) for table in tables] == sound
    counts = {name: (each.inserted, each.overwritten) for name, each in done_back.tables.items()}
    assert counts["public.parted"] == (2, 2)
    assert counts[f"public.{LONG}"] == (5, 0)
    assert counts["public.parent"] == (1, 1)
    (note, cascade) = sorted(done_back.notes, reverse=True)
    assert cascade == "public.parent: what undoes it also reaches rows of public.ward that refer to rows that are back"
    run(fresh_database, note.partition(": ")[2])
    assert run(fresh_database, f"insert into {LONG} default values returning id") == [(6,)]
    run(fresh_database, f"delete from {LONG} where id = 6")
    with psycopg.connect(reader, autocommit=True) as connection:
        for line in done_back.undo.splitlines():
            connection.execute(line)
    assert [as_text(fresh_database, table) for table in tables] == damaged


def test_a_value_that_a_live_row_has_taken_is_no_loss(clinic: str, taken: Manifest, shelf: Store) -> None:
    run(clinic, "delete from label; delete from visit; update person set id = 99 where id = 8")
    restore(taken, shelf, clinic, RestoreRequest(("person",), (), "back"))
    with pytest.raises(TargetError, match=r"nothing was put back: unique violation .*person_name_key") as raised:
        look_and_put_back(taken, clinic, PutBackRequest(("person",), "back"))
    assert "p8" not in str(raised.value), "no value of a row is in an error"
    assert run(clinic, "select id from person where id in (8, 99)") == [(99,)]


def test_the_command_only_looks_unless_it_is_told_to_apply(
    clinic: str, taken: Manifest, shelf: Store, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clinic, DAMAGE)
    restore(taken, shelf, clinic, VISITS)
    monkeypatch.setattr("mindguard.cli.snapshots._settings_store_target", lambda _: (None, shelf, clinic))
    command = ["snapshot", "put-back", taken.snapshot_id, "--to", "x", "--table", "visit", "--from", "back"]
    early = CliRunner().invoke(app, [*command, "--overwrite", "--apply"])
    assert isinstance(early.exception, RestoreRefused)
    looked = CliRunner().invoke(app, command)
    assert looked.exit_code == 0, looked.output
    assert "public.visit: 2 rows are missing, 2 differ, 1 are equal" in looked.output
    assert "--apply" in looked.output
    (query,) = [line.partition(": ")[2] for line in looked.output.splitlines() if "select mindguard_missing" in line]
    assert [row[:2] for row in run(clinic, query)] == [(False, 47), (False, 67), (True, 7), (True, 27)]
    assert run(clinic, "select count(*) from visit where id in (7, 27)") == [(0,)]
    done = CliRunner().invoke(app, [*command, "--overwrite", "--apply"])
    assert done.exit_code == 0, done.output
    assert "public.visit: 2 rows put back, 2 overwritten; what was overwritten is in" in done.output
    assert "BEGIN;" in done.output
    assert run(clinic, "select count(*) from visit where paid = id") == [(100,)]
    looked = CliRunner().invoke(app, command)
    assert "select mindguard_missing" not in looked.output, "there is no row to look at"
    done = CliRunner().invoke(app, [*command, "--apply"])
    assert "public.visit: 0 rows put back" in done.output
    assert "undo" not in done.output
