"""Decisions of restores and drills: names, choices, what is left out, bytes as text."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.snapshots.restore.drill import choose_drills
from mindguard.snapshots.restore.load import as_csv_type
from mindguard.snapshots.restore.rows import parse_where
from mindguard.snapshots.restore.schema_dump import _FOREIGN_KEY, ArchiveEntry, not_for_scratch
from mindguard.snapshots.restore.swap import kept_name
from mindguard.snapshots.restore.target import RestoreRefused

TODAY = date(2026, 11, 24)


def test_the_newest_is_drilled_and_the_oldest_and_one_in_between() -> None:
    assert choose_drills(["a"], "a", TODAY) == ["a"]
    assert choose_drills([], "a", TODAY) == ["a"]
    assert choose_drills(["a", "b"], "b", TODAY) == ["b", "a"]
    assert choose_drills(["a", "b", "c"], "c", TODAY) == ["c", "a", "b"]


def test_in_a_month_every_snapshot_is_drilled() -> None:
    ids = [f"s{number:02}" for number in range(30)]
    drilled = {each for day in range(28) for each in choose_drills(ids, "s29", TODAY + timedelta(days=day))}
    assert drilled == set(ids)


def test_conditions_are_read() -> None:
    assert parse_where(["a=1", "b=x=y", "a=", "c= 2"]) == {"a": ("1", ""), "b": ("x=y",), "c": (" 2",)}
    for wrong in ("a", "=1", ""):
        with pytest.raises(RestoreRefused, match="is not COLUMN=VALUE"):
            parse_where([wrong])


def test_the_former_tables_name_fits() -> None:
    snapshot_id = "20261124T180000Z-29c111"
    assert kept_name("checkins", snapshot_id) == "checkins_before_20261124t180000z_29c111"
    assert len(kept_name("x" * 63, snapshot_id)) == 63


def test_what_a_scratch_server_must_not_have_is_left_out() -> None:
    entries = [
        ArchiveEntry(1, "PUBLICATION - all_books postgres"),
        ArchiveEntry(2, "PUBLICATION TABLE public all_books book postgres"),
        ArchiveEntry(3, "EXTENSION - cube "),
        ArchiveEntry(4, "EXTENSION - citext "),
        ArchiveEntry(5, "TABLE public PUBLICATION owner"),
        ArchiveEntry(6, "FOREIGN TABLE public far owner"),
    ]
    reasons = not_for_scratch(entries, ["citext", "plpgsql"])
    assert [entry.number for entry in reasons] == [1, 2, 3, 6]
    assert str(entries[2]) == "EXTENSION cube"


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (
            "ALTER TABLE ONLY public.a\n    ADD CONSTRAINT f FOREIGN KEY (x) REFERENCES public.b(id);",
            ("public.a", "f", "public", "b"),
        ),
        (
            'ALTER TABLE s."A.b"\n    ADD CONSTRAINT "f k" FOREIGN KEY ("x)") REFERENCES "s""1"."( REFERENCES c"(id);',
            ('s."A.b"', '"f k"', '"s""1"', '"( REFERENCES c"'),
        ),
    ],
)
def test_a_foreign_keys_target_is_found(script: str, found: tuple[str, ...]) -> None:
    assert _FOREIGN_KEY.findall(script) == [found]


@given(st.lists(st.none() | st.binary(max_size=9), max_size=9), st.integers(0, 3))
def test_bytes_become_hexadecimal(values: list[bytes | None], offset: int) -> None:
    expected = [None if value is None else "\\x" + value.hex() for value in values]
    for kind in (pa.binary(), pa.large_binary()):
        assert as_csv_type(pa.array(values, kind)[offset:]).to_pylist() == expected[offset:]


@given(st.lists(st.none() | st.uuids(), max_size=9), st.integers(0, 3))
def test_uuids_are_read_back(values: list[uuid.UUID | None], offset: int) -> None:
    array = pa.array([value and value.bytes for value in values], pa.binary(16))[offset:]
    texts = as_csv_type(array).to_pylist()
    assert [text and uuid.UUID(text) for text in texts] == values[offset:]


def test_an_instant_is_written_in_utc_whatever_zone_the_file_names() -> None:
    instant = datetime(2026, 11, 24, 18, tzinfo=UTC)
    for zone in ("UTC", "Asia/Shanghai"):
        found = as_csv_type(pa.array([instant, None], pa.timestamp("us", zone)))
        assert found.to_pylist() == [instant.replace(tzinfo=None), None]
