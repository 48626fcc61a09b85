"""Where a table is cut and what a part is called."""

from __future__ import annotations

from bisect import bisect_right
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.snapshots.export import plan
from mindguard.snapshots.export.plan import KeyRange
from mindguard.snapshots.storage.manifest import Column, Part

KEYS = st.integers(-50, 50)
CUTS = st.sets(KEYS, max_size=12).map(sorted)
SIZES = st.integers(0, 10**15)
PART_SIZES = st.integers(1_000_000, 2_048_000_000)
COLUMNS = (Column(name="id", type="bigint", encoding="native"), Column(name="v", type="text", encoding="native"))


# Ranges


@given(CUTS, KEYS)
def test_every_key_is_in_exactly_one_range(cuts: list[int], key: int) -> None:
    ranges = plan.ranges([str(cut) for cut in cuts])
    holding = [
        number
        for number, each in enumerate(ranges)
        if (each.lower is None or int(each.lower) <= key) and (each.upper is None or key < int(each.upper))
    ]
    assert holding == [bisect_right(cuts, key)], "the range's number is what width_bucket gives for the key"


@given(CUTS)
def test_ranges_meet_without_gap_and_are_open_at_both_ends(cuts: list[int]) -> None:
    ranges = plan.ranges([str(cut) for cut in cuts])
    assert len(ranges) == len(cuts) + 1
    assert ranges[0].lower is None
    assert ranges[-1].upper is None
    assert [left.upper for left, _ in pairwise(ranges)] == [right.lower for _, right in pairwise(ranges)]


def test_an_uncut_table_is_one_range_of_everything() -> None:
    assert plan.ranges([]) == [plan.WHOLE] == [KeyRange(None, None)]


@given(CUTS, KEYS, KEYS)
def test_a_range_that_is_cut_again_keeps_its_edges(cuts: list[int], one: int, other: int) -> None:
    within = KeyRange(str(min(one, other)), str(max(one, other)))
    ranges = plan.ranges([str(cut) for cut in cuts], within)
    assert (ranges[0].lower, ranges[-1].upper) == (within.lower, within.upper)
    assert [left.upper for left, _ in pairwise(ranges)] == [str(cut) for cut in cuts]
    assert plan.ranges([], within) == [within]


def part(key_range: KeyRange) -> Part:
    return Part(
        key="k", sha256="0" * 64, bytes=1, rows=1, fingerprint="0" * 32, lower=key_range.lower, upper=key_range.upper
    )


@given(CUTS)
def test_a_snapshots_parts_say_where_it_was_cut(cuts: list[int]) -> None:
    boundaries = [str(cut) for cut in cuts]
    assert plan.boundaries_of([part(each) for each in plan.ranges(boundaries)]) == boundaries


@given(CUTS, st.sets(st.integers(0, 12)))
def test_cuts_outlive_the_rows_between_them(cuts: list[int], gone: set[int]) -> None:
    """A range without rows has no part; its neighbours keep their edges, in order and each only once."""
    ranges = plan.ranges([str(cut) for cut in cuts])
    left = [each for number, each in enumerate(ranges) if number not in gone]
    boundaries = plan.boundaries_of([part(each) for each in left])
    assert boundaries == sorted(set(boundaries), key=int)
    assert set(left) <= set(plan.ranges(boundaries)), "so the parts that are left are found again"


def test_no_parts_no_cuts() -> None:
    assert plan.boundaries_of([]) == []
    assert plan.boundaries_of([part(plan.WHOLE)]) == []


# Sizes


@pytest.mark.parametrize(
    ("size", "pieces"), [(0, 1), (1, 1), (149.5, 1), (200, 1), (201, 2), (249, 2), (251, 3), (1000, 10)]
)
def test_pieces(size: float, pieces: int) -> None:
    assert plan.pieces(size, 100) == pieces


@given(SIZES, PART_SIZES)
def test_parts_are_about_as_large_as_asked(size: int, part_bytes: int) -> None:
    pieces = plan.pieces(size, part_bytes)
    assert size / pieces <= 2 * part_bytes
    assert pieces == 1 or size / pieces >= 0.8 * part_bytes


@given(SIZES, PART_SIZES)
def test_a_piece_is_not_cut_again(size: int, part_bytes: int) -> None:
    """Otherwise a table's cuts would change every day, and with them all of its parts."""
    assert plan.pieces(size / plan.pieces(size, part_bytes), part_bytes) == 1


def test_fractions_of_a_few() -> None:
    assert plan.fractions(1) == []
    assert plan.fractions(2) == [0.5]
    assert plan.fractions(4) == [0.25, 0.5, 0.75]


@given(st.integers(1, 10_000))
def test_fractions_cut_into_so_many(parts: int) -> None:
    cuts = plan.fractions(parts)
    assert len(cuts) == parts - 1
    assert all(lower < upper for lower, upper in pairwise([0.0, *cuts, 1.0]))


@given(SIZES)
def test_a_sample_reads_about_16_mb(table_bytes: int) -> None:
    percent = plan.sample_percent(table_bytes)
    assert 0 < percent <= 100
    read = table_bytes * percent / 100
    assert read == pytest.approx(min(table_bytes, 16 * 1024 * 1024))


def test_block_boundaries_of_a_few() -> None:
    block = 8192
    assert plan.block_boundaries(0, 3 * block) == []
    assert plan.block_boundaries(2 * block, 3 * block) == []
    assert plan.block_boundaries(10 * block, 3 * block) == ["(3,0)", "(6,0)", "(9,0)"]
    assert plan.block_boundaries(3 * block, 1) == ["(1,0)", "(2,0)", "(3,0)"]


@given(st.integers(0, 10**9), st.integers(10**5, 10**9))
def test_no_block_range_is_larger_than_a_part(table_bytes: int, part_bytes: int) -> None:
    blocks = [int(cut.removeprefix("(").removesuffix(",0)")) for cut in plan.block_boundaries(table_bytes, part_bytes)]
    edges = [0, *blocks, max(table_bytes // 8192, *blocks, 0)]
    assert all(0 <= upper - lower <= part_bytes // 8192 for lower, upper in pairwise(edges))
    assert all(lower < upper for lower, upper in pairwise([0, *blocks]))


# Encodings


@pytest.mark.parametrize(
    "builtin",
    [
        *("bool", "int2", "int4", "int8", "float4", "float8"),
        *("text", "varchar", "uuid", "bytea", "date", "timestamp", "timestamptz"),
    ],
)
def test_types_that_parquet_holds_without_loss(builtin: str) -> None:
    assert plan.is_native(builtin)


@pytest.mark.parametrize(
    "builtin",
    [
        *("numeric", "json", "jsonb", "interval", "time", "timetz", "money", "bpchar", "name", "inet", "xml", "bit"),
        *("_int4", "_text", "int4range", "oid", "tsvector", "char", "citext", "", None),
    ],
)
def test_every_other_type_is_kept_as_text(builtin: str | None) -> None:
    assert not plan.is_native(builtin)


@pytest.mark.parametrize(
    ("sql_type", "encoding", "time"),
    [
        ("date", "native", True),
        ("timestamp without time zone", "native", True),
        ("timestamp(3) with time zone", "native", True),
        ("timestamp with time zone", "text", False),
        ("time without time zone", "text", False),
        ("text", "native", False),
        ("public.dates", "text", False),
    ],
)
def test_columns_whose_values_may_be_out_of_parquets_range(sql_type: str, encoding: Any, *, time: bool) -> None:
    assert plan.is_time(Column(name="c", type=sql_type, encoding=encoding)) is time


# Content ids


def content_id(**changes: Any) -> str:
    known: dict[str, Any] = {
        "table": "public.t",
        "columns": COLUMNS,
        "part_by": "id",
        "key_range": KeyRange("10", "20"),
        "rows": 7,
        "fingerprint": "0f" * 16,
        "times_as_text": False,
    }
    return plan.content_id(**known | changes)


def with_column(**changes: Any) -> tuple[Column, ...]:
    return COLUMNS[0], COLUMNS[1].model_copy(update=changes)


def test_a_content_id_is_the_same_for_ever() -> None:
    """If the same rows got another id, every part would be uploaded again, and none of the stored ones would match."""
    assert content_id() == "f122888927c77f8c27a94cbd29c9dfd4375b1ab5"


def test_each_ingredient_gives_another_content_id(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [
        content_id(),
        content_id(table="public.u"),
        content_id(part_by="v"),
        content_id(key_range=KeyRange("11", "20")),
        content_id(key_range=KeyRange("10", "21")),
        content_id(key_range=KeyRange(None, "20")),
        content_id(key_range=KeyRange("10", None)),
        content_id(key_range=KeyRange(None, None)),
        content_id(key_range=KeyRange("", "20")),
        content_id(rows=8),
        content_id(fingerprint="f0" * 16),
        content_id(times_as_text=True),
        content_id(columns=COLUMNS[:1]),
        content_id(columns=COLUMNS[::-1]),
        content_id(columns=with_column(name="w")),
        content_id(columns=with_column(type="character varying(9)")),
        content_id(columns=with_column(encoding="text")),
        content_id(columns=with_column(collation="public.german")),
    ]
    monkeypatch.setattr(plan, "CONTENT_FORMAT", 2)
    ids.append(content_id())
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    "changes", [{"not_null": True}, {"default": "'x'"}, {"identity": "a"}, {"generated": "s", "default": "'x' || id"}]
)
def test_what_the_stored_bytes_do_not_depend_on_leaves_the_content_id(changes: dict[str, Any]) -> None:
    assert content_id(columns=with_column(**changes)) == content_id()


def test_a_content_id_is_a_plain_name_whatever_the_table_is_called() -> None:
    assert set(content_id(table='odd/../"名"', part_by="键")) <= set("0123456789abcdef")
