"""The pure parts of reading a source: columns, pieces of SQL, where to cut, errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
import pytest
from psycopg.pq import DiagnosticField

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import WHOLE, KeyRange
from mindguard.snapshots.export.source import SourceSnapshot, _Read, _refuse_unfit
from mindguard.snapshots.export.source_errors import SourceError, explained
from mindguard.snapshots.export.source_table import KeyOrder, PlannedPart, QualifiedName, SourceColumn
from mindguard.snapshots.export.statements import (
    digested,
    export_statement,
    part_number,
    range_test,
    time_out_of_range,
)
from mindguard.snapshots.storage.manifest import Column
from tests.unit.snapshots.fakes import source_table

LESS = '"id" operator("pg_catalog".<)'
AT_LEAST = '"id" operator("pg_catalog".>=)'


def column(name: str, sql_type: str, builtin: str | None, *, deterministic: bool = True) -> SourceColumn:
    return SourceColumn.from_catalog(
        {
            "name": name,
            "type": sql_type,
            "builtin": builtin,
            "output_schema": "pg_catalog",
            "output_name": f"{builtin or 'enum'}_out",
            "is_oid": builtin == "oid",
            "output_fits": True,
            "collation": None,
            "deterministic": deterministic,
            "not_null": False,
            "identity": None,
            "generated": None,
            "default_expression": None,
        }
    )


@pytest.mark.parametrize(
    ("described", "encoding", "bytewise", "digest"),
    [
        (column("a", "bigint", "int8"), "native", True, '"a"'),
        (column("a", "text", "text"), "native", True, '"a"'),
        (column("a", "text", "text", deterministic=False), "native", False, 'pg_catalog.textsend("a")'),
        (
            column("a", "real", "float4"),
            "native",
            False,
            'pg_catalog.textin("pg_catalog"."float4_out"("a"))',
        ),
        (column("a", "s.mood", None), "text", False, 'pg_catalog.textin("pg_catalog"."enum_out"("a"))'),
    ],
)
def test_a_column_is_digested_by_what_distinguishes_all_its_values(
    described: SourceColumn, encoding: str, digest: str, *, bytewise: bool
) -> None:
    assert described.column.encoding == encoding
    assert described.hash_is_bytewise is bytewise
    assert digested(described).as_string() == digest


def test_only_leaves_out_inheritance_children_but_never_partitions() -> None:
    assert source_table(name='t"').relation.as_string() == 'only "public"."t"""'
    assert source_table(kind="partitioned table").relation.as_string() == '"public"."t"'


@pytest.mark.parametrize(
    ("key_range", "nullable", "test"),
    [
        (WHOLE, True, "true"),
        (KeyRange("1", None), False, f"{AT_LEAST} '1'::bigint"),
        (KeyRange(None, "it's"), False, f"{LESS} 'it''s'::bigint"),
        (KeyRange("1", "9"), True, f"{AT_LEAST} '1'::bigint and {LESS} '9'::bigint"),
        (KeyRange("9", None), True, f"({AT_LEAST} '9'::bigint or \"id\" is null)"),
    ],
)
def test_a_range_includes_its_lower_edge_and_the_last_one_the_rows_without_a_key(
    key_range: KeyRange, test: str, *, nullable: bool
) -> None:
    tested = range_test(source_table(part_by_nullable=nullable), key_range).as_string()
    assert " ".join(tested.split()).replace(" )", ")").replace("bigint  ", "bigint ") == test


def test_a_part_is_numbered_by_the_operator_that_reads_it() -> None:
    assert part_number(source_table(), []).as_string() == "0"
    number = part_number(source_table(), ["3", "5"]).as_string()
    assert number == (
        f"case when {LESS} (select '5'::bigint ) then "
        f"case when {LESS} (select '3'::bigint ) then 0 else 1 end else 2 end"
    )
    nullable = part_number(source_table(part_by_nullable=True), ["3", "5"]).as_string()
    assert nullable == f'case when "id" is null then 2 else {number} end'


def test_a_boundary_has_the_columns_collation() -> None:
    order = KeyOrder("text", *2 * (QualifiedName("pg_catalog", "<"),), QualifiedName("public", "loose"))
    assert order.boundary("b").as_string() == '\'b\'::text collate "public"."loose"'


def test_times_are_tested_only_where_there_are_any() -> None:
    day = Column(name="day", type="date", encoding="native")
    assert time_out_of_range([]).as_string() == "false"
    assert time_out_of_range([day]).as_string() == "\"day\" < '0001-01-01' or \"day\" >= '10000-01-01'"


def part(*columns: SourceColumn, times_as_text: bool = False) -> str:
    table = source_table(*columns) if columns else source_table(source_columns=())
    planned = PlannedPart(table, WHOLE, 1, "0" * 32, times_as_text=times_as_text)
    return " ".join(export_statement(planned).as_string().split())


def test_a_part_is_read_in_parquets_types_where_they_lose_nothing() -> None:
    day, mood = column("day", "date", "date"), column("mood", "s.mood", None)
    as_text = 'pg_catalog.textin("pg_catalog"."{}_out"("{}")) as "{}"'
    mood_text, day_text = as_text.format("enum", "mood", "mood"), as_text.format("date", "day", "day")
    assert part(day, mood) == f'select "day", {mood_text} from only "public"."t" where true'
    assert part(day, mood, times_as_text=True).startswith(f"select {day_text}, {mood_text} from")


def test_a_part_whose_digest_is_not_known_is_read_once_for_both() -> None:
    """Each text is made once; a float is exported as it is, and digested as text."""
    number, mood = column("n", "real", "float4"), column("mood", "s.mood", None)
    asked = " ".join(
        export_statement(PlannedPart(source_table(number, mood), WHOLE, 1, None, times_as_text=False))
        .as_string()
        .split()
    )
    assert asked.count("enum_out") == 1
    digest = "hash_record_extended(row(int8send(hash_record_extended(row(v0, v1), {seed}))), {seed}) as digest_{seed}"
    one, two = digest.format(seed=1), digest.format(seed=2)
    assert asked.split(" from (")[0].endswith(f'select v2 as "n", v1 as "mood", {one}, {two}')


def test_a_table_without_columns_still_has_rows() -> None:
    assert part() == 'select true as row from only "public"."t" where true'


class Cutting(SourceSnapshot):
    """Answers each fingerprint query with so many rows a range, and each request to split with fixed boundaries."""

    def __init__(self, rows: dict[str | None, int], splits: list[str]) -> None:
        self.rows, self.splits, self.asked = rows, splits, list[list[str]]()

    def _sorted(self, table: Any, boundaries: list[str]) -> list[str]:
        return boundaries

    def _fingerprint(self, table: Any, ranges: Sequence[KeyRange], within: Sequence[KeyRange] | None = None) -> _Read:
        self.asked.append(plan.cuts(ranges))
        counted = {
            each: [{"member": 1, "row_count": rows, "tuples": None}]
            for each in ranges
            if (rows := self.rows.get(each.lower))
        }
        parts = [PlannedPart(table, each, self.rows[each.lower], "0" * 32, times_as_text=False) for each in counted]
        return _Read(parts, counted)

    def _boundaries_within(self, table: Any, key_range: KeyRange, pieces: int) -> list[str]:
        return self.splits


def test_known_boundaries_are_kept_and_only_a_part_that_grew_is_split() -> None:
    # 1,000,000 bytes over 1000 rows; the second part has 900 of them, more than twice what a part aims at.
    source = Cutting({None: 100, "5": 450, "7": 450}, ["7"])
    source.rows["5"] = 900
    parts = source.plan(source_table(), ["5"], part_bytes=400_000).parts
    assert source.asked == [["5"], ["7"]]
    assert [each.key_range for each in parts] == [KeyRange(None, "5"), KeyRange("5", "7"), KeyRange("7", None)]


def test_a_part_whose_rows_share_one_key_cannot_be_split() -> None:
    source = Cutting({None: 1000}, [])
    assert [each.rows for each in source.plan(source_table(), [], part_bytes=10**6).parts] == [1000]
    assert [each.rows for each in Cutting({None: 1000}, []).plan(source_table(), ["9"], part_bytes=1000).parts] == [
        1000
    ]


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"server_version": 13_00_10, "encoding": "UTF8", "database": "d"}, "runs PostgreSQL 13; 14 or newer is"),
        ({"server_version": 17_00_00, "encoding": "SQL_ASCII", "database": "d"}, "database d has encoding SQL_ASCII"),
    ],
)
def test_an_unfit_server_or_database_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(SourceError, match=message):
        _refuse_unfit(facts)
    _refuse_unfit({"server_version": 14_00_00, "encoding": "UTF8", "database": "d"})


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (psycopg.errors.InvalidPassword("no\nmore"), "no – correct the password of the connection"),
        (psycopg.errors.InsufficientPrivilege("no"), "no – GRANT pg_read_all_data to the connection's role"),
        (psycopg.errors.LockNotAvailable("no"), "no – a lock was held longer than snapshot.lock_timeout_s"),
        (
            psycopg.errors.InsufficientPrivilege("x", info={DiagnosticField.SOURCE_FUNCTION: b"check_enable_rls"}),
            "row-level security would hide rows: x",
        ),
        (
            psycopg.OperationalError("\n"),
            "the database failed: OperationalError – check that it is up and reachable from here",
        ),
        (psycopg.errors.DiskFull("no"), "the database failed: no – run again when the source's server works again"),
        (psycopg.errors.WrongObjectType("no"), "the database refused: no"),
    ],
)
def test_a_database_error_is_one_line_that_says_what_to_do(error: psycopg.Error, text: str) -> None:
    assert str(explained(error)).startswith(text)
    assert "\n" not in str(explained(error))


def test_a_function_name_keeps_its_schema() -> None:
    assert column("a", "bigint", "int8").output_function == QualifiedName("pg_catalog", "int8_out")
