"""The manifest: every alteration is noticed, and a manifest that was written once stays readable for ever."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from mindguard.snapshots.storage.manifest import (
    Column,
    Enum,
    Manifest,
    ManifestInvalid,
    Part,
    Sequence,
    Settled,
    SourceIdentity,
    StoredObject,
    Table,
    combine,
    fingerprint,
    new_snapshot_id,
)

ROOT = Path(__file__).resolve().parents[4]
GOLDEN = ROOT / "tests" / "golden" / "manifests" / "format-1.json"
GOLDEN_3 = ROOT / "tests" / "golden" / "manifests" / "format-3.json"
GOLDEN_2 = GOLDEN.with_name("format-2.json")
SCHEMA = Draft202012Validator(json.loads((ROOT / "docs" / "manifest.schema.json").read_text("utf-8")))

SMALL = Manifest(
    snapshot_id="20261118T180003Z-5f0c1d",
    taken_at=datetime(2026, 11, 18, 18, 0, 3, tzinfo=UTC),
    source=SourceIdentity(
        database="d", server_version=180006, system_identifier=None, lsn="0/1", exported_snapshot="3-1"
    ),
    tables=(
        Table(
            name="public.值",
            kind="table",
            columns=(Column(name="v\t", type="text", encoding="native", default="''"),),
            part_by="ctid",
            rows=3,
            fingerprint=fingerprint(4, 6),
            parts=(
                Part(key="a", sha256="a1" * 32, bytes=9, rows=1, fingerprint=fingerprint(1, 2), upper="(5,0)"),
                Part(key="b", sha256="b2" * 32, bytes=9, rows=2, fingerprint=fingerprint(3, 4), lower="(5,0)"),
            ),
        ),
        Table(name="public.e", kind="table", columns=(), part_by="ctid", rows=0, fingerprint="0" * 32, parts=()),
    ),
    enums=(Enum(name="public.mood", labels=("calm",)),),
    sequences=(Sequence(name="public.s", last_value=7, is_called=True),),
    schema_dump=StoredObject(key="c", sha256="c3" * 32, bytes=5),
    quarantined_for=("public.e:0",),
)
STORED = SMALL.to_bytes()


def read(stored: bytes) -> Manifest:
    return Manifest.from_bytes(stored, origin="snapshots/x.json")


def refusal(stored: bytes) -> str:
    with pytest.raises(ManifestInvalid) as caught:
        read(stored)
    message = str(caught.value)
    assert message.startswith("manifest snapshots/x.json")
    assert "\n" not in message
    return message


def signed(body: dict[str, Any]) -> bytes:
    """Seal as `to_bytes` does and the schema says: SHA-256 over canonical JSON (sorted keys, no spaces, UTF-8)."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    return json.dumps({**body, "digest": hashlib.sha256(canonical).hexdigest()}).encode()


def body() -> dict[str, Any]:
    fresh: dict[str, Any] = json.loads(STORED)
    del fresh["digest"]
    return fresh


# What is refused


def test_every_flipped_bit_is_noticed() -> None:
    for position in range(len(STORED)):
        for bit in range(8):
            flipped = bytearray(STORED)
            flipped[position] ^= 1 << bit
            with pytest.raises(ManifestInvalid):
                read(bytes(flipped))


def test_a_bit_that_makes_half_a_character_of_a_whole_one_is_noticed() -> None:
    """0xE5 ^ 0x08 = 0xED turns 平 into a lone surrogate, which JSON allows and UTF-8 does not."""
    golden = GOLDEN.read_bytes()
    flipped = golden.replace("平".encode(), b"\xed" + "平".encode()[1:])
    assert flipped != golden
    refusal(flipped)


def test_only_bytes_without_meaning_may_differ() -> None:
    """These are exactly: the kind and amount of white space between tokens, and the sign of a zero."""
    same = [
        json.dumps(json.loads(STORED), ensure_ascii=False, separators=(",", ":")).encode(),
        json.dumps(json.loads(STORED), ensure_ascii=True, indent=4, sort_keys=True).encode(),
        STORED.replace(b"\n", b"\r\n\t"),
        b" \n" + STORED + b"\n",
        STORED.replace(b'"rows": 0', b'"rows":-0'),
    ]
    assert all(each != STORED and read(each) == SMALL for each in same)
    for position, byte in enumerate(STORED):
        if chr(byte) in " \n" and (STORED[position + 1 : position + 2] != b"0"):
            for other in b"\t\r-0,":
                altered = STORED[:position] + bytes([other]) + STORED[position + 1 :]
                if chr(other) in "\t\r":
                    assert read(altered) == SMALL
                else:
                    refusal(altered)


def test_every_truncation_is_noticed() -> None:
    for length in range(len(STORED)):
        assert "is not a manifest of this package" in refusal(STORED[:length])
    refusal(STORED + b"}")
    refusal(STORED + STORED)


@pytest.mark.parametrize(
    "stored",
    [
        *(b"", b"null", b"1", b'"digest"', b"[]", b"{}", b'{"format": 1}', b"\xff\xfe{", b"{" * 500, b"[" * 100_000),
        rb'{"format": 1, "digest": "", "snapshot_id": "\ud800"}',
    ],
)
def test_what_is_no_manifest_is_refused(stored: bytes) -> None:
    assert "is not a manifest of this package" in refusal(stored)


@given(st.binary(max_size=50))
def test_noise_is_refused(stored: bytes) -> None:
    assert "is not a manifest of this package" in refusal(stored)


@pytest.mark.parametrize("number", [0, 4, 99, "1", None])
def test_another_format_is_named_before_anything_else_is_judged(number: Any) -> None:
    """A later version may compute the digest differently, so the error names the format and not an alteration."""
    message = refusal(json.dumps({"format": number, "digest": "of another kind"}).encode())
    assert (
        f"has format {number}, this version reads formats 1 to 3 – use the version of mindguard that wrote it"
        in message
    )


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda b: b.update(extra=1), "extra: Extra inputs"),
        (lambda b: b.pop("source"), "source: Field required"),
        (lambda b: b.pop("schema_dump"), "schema_dump: Field required"),
        (lambda b: b["schema_dump"].update(sha256=""), "schema_dump.sha256: String should match"),
        (lambda b: b["sequences"][0].pop("is_called"), "sequences.0.is_called: Field required"),
        (lambda b: b["source"].update(host="h"), "source.host: Extra inputs"),
        (lambda b: b.update(taken_at="2026-11-18T18:00:03"), "taken_at: Input should have timezone"),
        (lambda b: b.update(tables=[]), "tables: Tuple should have at least 1 item"),
        (lambda b: b["tables"][0].update(kind="view"), "tables.0.kind: Input should be"),
        (lambda b: b["tables"][0]["columns"][0].update(encoding="csv"), "tables.0.columns.0.encoding: Input should be"),
        (lambda b: b["tables"][0]["columns"][0].update(identity="x"), "tables.0.columns.0.identity: Input should be"),
        (lambda b: b["tables"][0]["parts"][1].update(rows=0), "tables.0.parts.1.rows: Input should be greater"),
        (lambda b: b["tables"][0]["parts"][1].update(bytes=0), "tables.0.parts.1.bytes: Input should be greater"),
        (lambda b: b["tables"][0]["parts"][1].update(sha256="A1" * 32), "tables.0.parts.1.sha256: String should match"),
        (lambda b: b["tables"][0]["parts"][1].update(fingerprint="0"), "tables.0.parts.1.fingerprint: String should"),
        (lambda b: b["tables"][0].pop("fingerprint"), "tables.0.fingerprint: Field required"),
    ],
)
def test_a_signed_manifest_that_breaks_the_format_is_refused_with_the_place(change: Change, place: str) -> None:
    broken = body()
    change(broken)
    assert place in refusal(signed(broken))
    assert not SCHEMA.is_valid(json.loads(signed(broken))) or "timezone" in place


def test_a_traceback_of_a_refusal_shows_no_key_of_a_row() -> None:
    changed = body()
    changed["tables"][0]["parts"][0] |= {"lower": ["patient-4711"]}
    with pytest.raises(ManifestInvalid) as caught:
        read(signed(changed))
    assert "patient-4711" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.update(rows=2),
        lambda table: table.update(fingerprint="0" * 31 + "1"),
        lambda table: table["parts"].pop(),
        lambda table: table["parts"].append(table["parts"][0]),
        lambda table: table["parts"][0].update(rows=2),
        lambda table: table["parts"][0].update(fingerprint=fingerprint(1, 3)),
        lambda table: table["parts"][0].update(fingerprint=fingerprint(2, 1)),
    ],
)
def test_parts_that_do_not_add_up_to_their_table_are_refused(change: Change) -> None:
    broken = body()
    change(broken["tables"][0])
    assert "the parts of public.值 (" in refusal(signed(broken))


def test_a_part_in_the_wrong_table_is_refused() -> None:
    broken = body()
    broken["tables"][1]["parts"].append(broken["tables"][0]["parts"].pop())
    assert "are not the table" in refusal(signed(broken))


def test_a_wrong_type_is_refused_while_it_is_built() -> None:
    with pytest.raises(ValueError, match="timezone"):
        SMALL.model_validate({**SMALL.model_dump(), "taken_at": datetime(2026, 11, 18)})  # noqa: DTZ001


# What is kept

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
MAYBE = st.none() | TEXT
LANE = st.integers(0, 2**64 - 1)
DIGEST = st.builds(fingerprint, LANE, LANE)
MOMENT = st.datetimes(
    min_value=datetime(1000, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
COLUMN = st.builds(
    Column,
    name=TEXT,
    type=TEXT,
    encoding=st.sampled_from(["native", "text"]),
    collation=MAYBE,
    not_null=st.booleans(),
    identity=st.sampled_from([None, "a", "d"]),
    generated=st.sampled_from([None, "s", "v"]),
    default=MAYBE,
)
PART = st.builds(
    Part,
    key=TEXT,
    sha256=st.binary(min_size=32, max_size=32).map(bytes.hex),
    bytes=st.integers(1, 2**63),
    rows=st.integers(1, 2**63),
    fingerprint=DIGEST,
    lower=MAYBE,
    upper=MAYBE,
    times_as_text=st.booleans(),
    tuples=st.none() | DIGEST,
    values_read_at=st.none() | MOMENT,
)


@st.composite
def tables(draw: st.DrawFn) -> Table:
    parts = draw(st.lists(PART, max_size=3))
    return Table(
        name=draw(TEXT),
        kind=draw(st.sampled_from(["table", "partitioned table", "materialized view"])),
        columns=tuple(draw(st.lists(COLUMN, max_size=3))),
        primary_key=tuple(draw(st.lists(TEXT, max_size=2))),
        part_by=draw(TEXT),
        rows=sum(part.rows for part in parts),
        fingerprint=combine(part.fingerprint for part in parts),
        read_state=draw(st.none() | st.just("5" * 64)),
        tuples=draw(st.none() | DIGEST),
        settled=draw(st.none() | st.builds(Settled, upper=TEXT, tuples=DIGEST)),
        parts=tuple(parts),
    )


MANIFEST = st.builds(
    Manifest,
    snapshot_id=TEXT,
    taken_at=MOMENT,
    logical_date=st.none() | MOMENT,
    source=st.builds(
        SourceIdentity,
        database=TEXT,
        server_version=st.integers(),
        system_identifier=MAYBE,
        lsn=TEXT,
        exported_snapshot=TEXT,
        timeline=st.none() | st.integers(1, 2**31),
        next_transaction=st.none() | st.integers(0, 2**63),
        started_at=st.none() | MOMENT,
    ),
    tables=st.lists(tables(), min_size=1, max_size=3).map(tuple),
    enums=st.lists(st.builds(Enum, name=TEXT, labels=st.lists(TEXT, max_size=3).map(tuple)), max_size=2).map(tuple),
    sequences=st.lists(
        st.builds(Sequence, name=TEXT, last_value=st.integers(-(2**63), 2**63 - 1), is_called=st.booleans()), max_size=2
    ).map(tuple),
    schema_dump=st.builds(
        StoredObject, key=TEXT, sha256=st.binary(min_size=32, max_size=32).map(bytes.hex), bytes=st.integers(1, 2**63)
    ),
    quarantined_for=st.lists(TEXT, max_size=2).map(tuple),
)


@settings(max_examples=60)
@given(MANIFEST)
def test_any_manifest_is_read_back_as_it_was_and_fits_the_schema(manifest: Manifest) -> None:
    stored = manifest.to_bytes()
    assert read(stored) == manifest
    assert read(stored).to_bytes() == stored
    SCHEMA.validate(json.loads(stored))


def test_the_digest_is_what_the_schema_says() -> None:
    assert json.loads(signed(body())) == json.loads(STORED)
    assert list(json.loads(STORED))[-1] == "digest"


def test_totals_are_over_all_tables() -> None:
    assert (SMALL.rows, SMALL.stored_bytes) == (3, 18)
    assert [part.key for part in SMALL.parts] == ["a", "b"]
    assert SMALL.tables[0].stored_bytes == 18
    assert [each.key for each in SMALL.objects] == ["a", "b", "c"], "every object without which it is not whole"


def test_a_manifest_of_format_1_is_readable_for_ever() -> None:
    """These bytes must never be changed, because snapshots with such manifests are stored somewhere."""
    manifest = read(GOLDEN.read_bytes())
    assert manifest.snapshot_id == "20261118T180003Z-5f0c1d"
    assert manifest.taken_at == datetime(2026, 11, 18, 18, 0, 3, tzinfo=UTC)
    assert manifest.logical_date == datetime(2026, 11, 18, 18, 0, tzinfo=UTC)
    assert (manifest.source.server_version, manifest.source.lsn) == (180006, "0/1A2B3C48")
    checkins, named_oddly, empty = manifest.tables
    assert (checkins.kind, checkins.primary_key, checkins.part_by) == (
        "partitioned table",
        ("id", "created_at"),
        "created_at",
    )
    assert [column.encoding for column in checkins.columns] == ["native", "text", "native", "native", "text", "native"]
    assert checkins.columns[0].identity == "a"
    assert checkins.columns[2].collation == "public.de_phonebook"
    assert (checkins.columns[3].generated, checkins.columns[3].default) == ("s", "length((note)::text)")
    assert [(part.rows, part.lower, part.upper, part.times_as_text) for part in checkins.parts] == [
        (1500, None, "2026-11-01 00:00:00+00", False),
        (42, "2026-11-01 00:00:00+00", None, True),
    ]
    assert named_oddly.name == 'public.打卡 "x"'
    assert (empty.rows, empty.columns, empty.parts) == (0, (), ())
    assert manifest.enums[0].labels == ("calm", "tense", "平静")
    assert [(each.name, each.last_value, each.is_called) for each in manifest.sequences] == [
        ("public.checkins_id_seq", 1542, True),
        ('public."打卡 ""x""_n_seq"', 1, False),
    ]
    assert manifest.schema_dump.bytes == 2048
    assert len(manifest.objects) == 4
    assert manifest.quarantined_for == ("public.checkins has 1,542 rows, it had 4,000",)
    assert (manifest.rows, manifest.stored_bytes) == (1545, 6071)
    SCHEMA.validate(json.loads(GOLDEN.read_bytes()))


# Format 2, and copies under another prefix


def test_format_2_differs_in_its_keys_alone() -> None:
    first = Manifest.from_bytes(GOLDEN.read_bytes(), origin="", prefix="key-tables")
    second = first.model_copy(update={"format": 2})
    assert second.to_bytes() == GOLDEN_2.read_bytes()
    assert Manifest.from_bytes(GOLDEN_2.read_bytes(), origin="", prefix="key-tables") == second
    SCHEMA.validate(json.loads(GOLDEN_2.read_bytes()))


def test_format_3_adds_what_tuple_digests_need() -> None:
    third = Manifest.from_bytes(GOLDEN_3.read_bytes(), origin="", prefix="key-tables")
    assert (third.source.timeline, third.source.next_transaction) == (1, 4_294_968_000)
    assert third.source.started_at == datetime(2026, 11, 1, 3, 4, 5, 678901, tzinfo=UTC)
    checkins = third.tables[0]
    assert (checkins.read_state, checkins.tuples) == ("6" * 64, "9" * 32)
    assert [part.tuples for part in checkins.parts] == ["7" * 32, "8" * 32]
    assert checkins.values_read_at == datetime(2026, 11, 14, 18, 0, 2, tzinfo=UTC), "the oldest of the two"
    assert third.to_bytes() == GOLDEN_3.read_bytes()
    SCHEMA.validate(json.loads(GOLDEN_3.read_bytes()))
    # Without them, a manifest says what one of format 2 says, which a reader of format 2 can rely on.
    second = Manifest.from_bytes(GOLDEN_2.read_bytes(), origin="", prefix="key-tables")
    assert second.tables[0].values_read_at is None
    assert json.loads(second.to_bytes()) == json.loads(GOLDEN_2.read_bytes())


@pytest.mark.parametrize("golden", [GOLDEN, GOLDEN_2, GOLDEN_3])
@pytest.mark.parametrize("prefix", ["copy", "key-tables/copy", "a/parts/schema", "parts"])
def test_keys_are_under_the_prefix_where_the_manifest_lies(golden: Path, prefix: str) -> None:
    keys = {each.key for each in Manifest.from_bytes(golden.read_bytes(), origin="", prefix=prefix).objects}
    original = Manifest.from_bytes(golden.read_bytes(), origin="", prefix="key-tables").objects
    assert keys == {each.key.replace("key-tables", prefix, 1) for each in original}


@pytest.mark.parametrize("key", ["../other/parts/x", "notes.txt", "parts/public.t/rows.parquet", ""])
def test_a_key_that_the_layout_does_not_know_is_refused(key: str) -> None:
    stored = body()
    stored["schema_dump"]["key"] = key
    with pytest.raises(ManifestInvalid, match="which is no key of this package"):
        Manifest.from_bytes(signed(stored), origin="x", prefix="p")


# Fingerprints


def test_a_fingerprint_is_two_lanes_of_64_bits() -> None:
    assert fingerprint(0, 0) == "0" * 32
    assert fingerprint(1, 2) == "00000000000000010000000000000002"
    assert fingerprint(-1, 2**64 + 5) == "ffffffffffffffff0000000000000005"
    assert combine([]) == "0" * 32


# PostgreSQL sums signed 64-bit hashes as numeric, so a sum may have any size and sign.
SUM = st.integers(-(2**90), 2**90)


@given(st.lists(st.tuples(SUM, SUM), max_size=6))
def test_combining_is_the_fingerprint_of_the_sums(sums: list[tuple[int, int]]) -> None:
    whole = fingerprint(sum(first for first, _ in sums), sum(second for _, second in sums))
    assert combine(fingerprint(*each) for each in sums) == whole


@given(DIGEST, DIGEST, DIGEST)
def test_neither_order_nor_grouping_of_parts_matters(a: str, b: str, c: str) -> None:
    assert combine([a, b]) == combine([b, a])
    assert combine([combine([a, b]), c]) == combine([a, combine([b, c])]) == combine([c, a, b])
    assert combine([a]) == combine([a, combine([])]) == a


@given(DIGEST, DIGEST, DIGEST)
def test_another_part_gives_another_sum(a: str, b: str, c: str) -> None:
    assert (combine([a, c]) == combine([b, c])) == (a == b)


# Ids


def test_snapshot_ids_sort_by_time_and_differ_within_a_second() -> None:
    first = datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC)
    assert new_snapshot_id(first, "5f0c1d") == "20260930T235959Z-5f0c1d"
    assert new_snapshot_id(first, "ffffff") < new_snapshot_id(first + timedelta(seconds=1), "000000")
    assert new_snapshot_id(first, "a") != new_snapshot_id(first, "b")
    shanghai = first.astimezone(timezone(timedelta(hours=8)))
    assert new_snapshot_id(shanghai, "5f0c1d") == new_snapshot_id(first, "5f0c1d"), "an id ends its time in Z"
