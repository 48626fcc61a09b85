"""Client-side encryption: missing keys are named before any work, stored bytes reveal nothing, sealed objects open."""

from __future__ import annotations

import base64
import json
import logging
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.connections import Connection, from_environment
from mindguard.errors import ConnectionMissing, MindGuardError
from mindguard.snapshots.storage.encryption import (
    Encryption,
    KeyMissing,
    KeyRing,
    KeyRingInvalid,
    NoEncryption,
    SealBroken,
    key_of_part,
    new_key_ring,
    read_key_ring,
    sealed_with,
)
from mindguard.snapshots.storage.layout import Layout

JSON = new_key_ring("2026-05")
RING = KeyRing.from_json(JSON, origin="test")
ROTATED = KeyRing.from_json(new_key_ring("2026-11", RING), origin="test")
OTHER = KeyRing.from_json(new_key_ring("2026-05"), origin="test")
"""The same label, but another key and therefore another id."""
NEW_ONLY = KeyRing(ROTATED.current, {ROTATED.current: ROTATED.keys[ROTATED.current]}, ROTATED.naming)

TABLE = "public.risk_signals"
SECRET = "geheime-zeile"
ROWS = pa.table(
    {
        "suicide_risk_level": pa.array([SECRET, "aaa-smallest", None] * 500, pa.string()),
        "amount": pa.array([4_702_394_921_427_289_928] * 1500, pa.int64()),
    },
    metadata={TABLE: "made by mindguard"},
)


def part_key(encryption: Encryption, content: str = "c" * 40) -> str:
    folder, name = encryption.part_names(TABLE, content)[0]
    return f"p/parts/{folder}/{name}-5eed.parquet"


def write(encryption: Encryption, key: str, rows: pa.Table = ROWS, *, compression: str = "zstd") -> bytes:
    file = BytesIO()
    properties = encryption.writing(key)
    with pq.ParquetWriter(
        file, rows.schema, compression=compression, write_page_checksum=True, encryption_properties=properties
    ) as writer:
        writer.write_table(rows)
    return file.getvalue()


def read(encryption: Encryption, key: str, stored: bytes) -> pa.Table:
    return pq.ParquetFile(BytesIO(stored), decryption_properties=encryption.reading(key)).read()


def mangled(**changes: object) -> str:
    return json.dumps({**json.loads(JSON), **changes})


# Key rings


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        JSON[:-9],
        mangled(current=[]),
        mangled(current="2026-04-00000000"),
        mangled(keys={}),
        mangled(keys=[1]),
        mangled(keys={RING.current: 7}),
        mangled(keys={RING.current: "@@" + base64.b64encode(b"k" * 32).decode()}),
        mangled(keys={RING.current: base64.b64encode(b"k" * 31).decode()}),
        mangled(keys={RING.current: base64.b64encode(OTHER.keys[OTHER.current]).decode()}),
        mangled(keys={"../x": base64.b64encode(RING.keys[RING.current]).decode()}),
        mangled(naming=base64.b64encode(b"short").decode()),
        mangled(naming=base64.b64encode(RING.keys[RING.current]).decode()),
        mangled(namming="x"),
    ],
)
def test_a_ring_that_cannot_be_used_is_one_line_without_any_of_it(text: str) -> None:
    with pytest.raises(KeyRingInvalid) as caught:
        KeyRing.from_json(text, origin="MINDGUARD_KEYS")
    message = str(caught.value)
    assert message.startswith("the key ring in MINDGUARD_KEYS ")
    assert "\n" not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None, "a context would quote the text"
    secrets = [*json.loads(JSON)["keys"].values(), json.loads(JSON)["naming"]]
    assert not any(secret[:12] in message for secret in secrets)


def test_no_key_shows_in_repr_errors_or_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    encryption = Encryption(RING)
    key = part_key(encryption)
    read(encryption, key, write(encryption, key))
    encryption.open("k", encryption.seal("k", b"x"))
    shown = f"{RING!r} {RING} {encryption!r} {vars(KeyMissing(RING.keys, 'a'))} {caplog.text}"
    for value in (*RING.keys.values(), RING.naming):
        for form in (repr(value)[2:-1], value.hex(), base64.b64encode(value).decode()):
            assert form not in shown


def test_the_ring_is_read_from_variable_then_file_then_connection(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_text(new_key_ring("file"), "utf-8")
    connection = json.dumps({"conn_type": "generic", "password": new_key_ring("connection")})
    everything = {
        "MINDGUARD_KEYS": new_key_ring("variable"),
        "MINDGUARD_KEYS_FILE": str(file),
        "AIRFLOW_CONN_MINDGUARD_KEYS": connection,
    }

    def label(environ: dict[str, str]) -> str:
        ring = read_key_ring("mindguard_keys", lambda conn_id: from_environment(conn_id, environ), environ)
        return ring.current.rsplit("-", 1)[0]

    assert label(everything) == "variable"
    del everything["MINDGUARD_KEYS"]
    assert label(everything) == "file"
    del everything["MINDGUARD_KEYS_FILE"]
    assert label(everything) == "connection"
    with pytest.raises(ConnectionMissing):
        label({})
    with pytest.raises(KeyRingInvalid, match="No such file"):
        label({"MINDGUARD_KEYS_FILE": str(tmp_path / "none")})
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(KeyRingInvalid, match="is not text"):
        label({"MINDGUARD_KEYS_FILE": str(file)})
    with pytest.raises(KeyRingInvalid, match="the password of connection c"):
        read_key_ring("c", lambda conn_id: Connection(conn_id, "generic"), {})


def test_rotation_adds_a_current_key_and_keeps_the_rest() -> None:
    assert list(ROTATED.keys) == [RING.current, ROTATED.current]
    assert ROTATED.keys[RING.current] == RING.keys[RING.current]
    assert ROTATED.naming == RING.naming
    assert "\n" not in JSON, "so that it fits a password field"
    assert set(RING.keys).isdisjoint(OTHER.keys), "two keys of one label have two ids"
    for label in ("", "Mai", "2026.05", "a/b", "-a", "x" * 33):
        with pytest.raises(KeyRingInvalid, match="cannot be called"):
            new_key_ring(label)


# Names


def test_names_tell_nothing_but_equality() -> None:
    encryption = Encryption(RING)
    assert len({encryption.opaque(name) for name in ("a", "b", "a ", "")}) == 4
    assert encryption.opaque(TABLE) != Encryption(OTHER).opaque(TABLE)
    assert encryption.opaque(TABLE) != Encryption(ROTATED).opaque(TABLE), "not even equality over a rotation"
    key = part_key(encryption)
    assert "risk" not in key
    assert "c" * 40 not in key
    assert key_of_part(key) == RING.current
    assert key == part_key(Encryption(RING)), "the same content has the same name"
    assert key != part_key(encryption, "d" * 40)


def test_names_are_those_that_the_layout_and_the_search_for_reusable_parts_know() -> None:
    layout, encryption = Layout("p"), Encryption(RING)
    part = layout.part_key(*encryption.part_names(TABLE, "c" * 40)[0])
    assert layout.kind(part) == "part"
    assert key_of_part(part) == RING.current
    assert layout.kind(layout.schema_key(encryption.opaque("d" * 64))) == "schema"


@pytest.mark.parametrize(
    "key",
    ["p/parts/public.t/" + "a" * 40 + "-5eed.parquet", "p/snapshots/2026-11-19/20261119T000000Z-abc123.proof.json", ""],
)
def test_names_in_the_clear_need_no_key(key: str) -> None:
    assert key_of_part(key) is None


def test_a_new_key_writes_anew_unless_reuse_is_wanted() -> None:
    old, new = Encryption(RING).part_names(TABLE, "c"), Encryption(ROTATED).part_names(TABLE, "c")
    assert len(old) == len(new) == 1
    assert {*old[0]}.isdisjoint(new[0])
    assert Encryption(ROTATED, reuse_across_keys=True).part_names(TABLE, "c") == (*new, *old)
    assert Encryption(NEW_ONLY, reuse_across_keys=True).part_names(TABLE, "c") == new, "a dropped key is never reused"


def test_a_snapshot_lists_every_key_that_it_needs() -> None:
    old, new = part_key(Encryption(RING)), part_key(Encryption(ROTATED))
    assert Encryption(ROTATED).needed_keys([new, new]) == (ROTATED.current,)
    assert Encryption(ROTATED).needed_keys([old]) == (RING.current, ROTATED.current), "the manifest's own key too"
    Encryption(ROTATED).require([RING.current, ROTATED.current], "snapshot s")
    with pytest.raises(KeyMissing, match=rf"snapshot s needs the master key {RING.current}, which") as caught:
        Encryption(NEW_ONLY).require([RING.current, ROTATED.current], "snapshot s")
    assert caught.value.key_ids == (RING.current,)


# Sealed objects

SEALED = Encryption(RING).seal("key", b"manifest")


@pytest.mark.parametrize("length", range(len(SEALED)))
def test_a_truncated_seal_does_not_open(length: int) -> None:
    with pytest.raises(SealBroken):
        Encryption(RING).open("key", SEALED[:length])


@given(position=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_any_altered_byte_is_noticed(position: int, flip: int) -> None:
    altered = bytearray(SEALED)
    altered[position] ^= flip
    # A changed key id names a key that the ring does not hold.
    with pytest.raises((SealBroken, KeyMissing)):
        Encryption(RING).open("key", bytes(altered))


def test_swapped_blobs_do_not_open() -> None:
    encryption = Encryption(RING)
    with pytest.raises(SealBroken, match="other was altered, cut off or moved"):
        encryption.open("other", SEALED)


def test_a_missing_key_is_named_without_any_key() -> None:
    assert sealed_with(SEALED) == RING.current
    assert sealed_with(b'{"format": 1}') is None
    for encryption in (Encryption(OTHER), Encryption(NEW_ONLY), NoEncryption()):
        with pytest.raises(KeyMissing, match=rf"key needs the master key {RING.current}, .* what it encrypted is lost"):
            encryption.open("key", SEALED)


def test_the_header_cannot_be_moved_to_another_key() -> None:
    with pytest.raises(SealBroken):
        Encryption(ROTATED).open("key", SEALED.replace(RING.current.encode(), ROTATED.current.encode()))


def test_what_was_never_sealed_is_refused_unless_accepted() -> None:
    with pytest.raises(SealBroken, match="is not encrypted – if it is from before"):
        Encryption(RING).open("key", b"{}")
    assert Encryption(RING, accept_unencrypted=True).open("key", b"{}") == b"{}"


@given(body=st.binary(max_size=300), key=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_what_is_sealed_opens_also_after_a_rotation(body: bytes, key: str) -> None:
    sealed = Encryption(RING).seal(key, body)
    assert Encryption(ROTATED).open(key, sealed) == body
    assert len(body) < 8 or body not in sealed
    assert sealed != Encryption(RING).seal(key, body), "the same content twice gives different bytes"


# Parts


@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_a_part_comes_back_and_its_bytes_tell_nothing(compression: str) -> None:
    encryption = Encryption(RING)
    key = part_key(encryption)
    stored = write(encryption, key, compression=compression)
    assert read(encryption, key, stored).equals(ROWS)
    footer = pq.ParquetFile(BytesIO(stored), decryption_properties=encryption.reading(key)).metadata
    assert footer.row_group(0).column(0).statistics.min == "aaa-smallest", "statistics are there to be hidden"
    number = ROWS.column("amount")[0].as_py().to_bytes(8, "little")
    telling = [*(name.encode() for name in ROWS.schema.names), TABLE.encode(), SECRET.encode(), b"aaa-smallest", number]
    in_the_clear = write(NoEncryption(), key, compression="none")
    for each in (*telling, b"ARROW:schema"):
        assert each not in stored
        assert each in in_the_clear, "else this test would prove nothing"
    assert TABLE not in key
    assert stored[:4] == stored[-4:] == b"PARE"


@given(st.lists(st.tuples(st.text(max_size=9), st.none() | st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_any_rows_come_back(rows: list[tuple[str, int | None]]) -> None:
    table = pa.table(
        {"a": pa.array([row[0] for row in rows], pa.string()), "b": pa.array([row[1] for row in rows], pa.int64())}
    )
    encryption = Encryption(RING)
    key = part_key(encryption)
    assert read(encryption, key, write(encryption, key, table)).equals(table)


def test_the_same_rows_twice_give_different_bytes_of_one_name() -> None:
    encryption = Encryption(RING)
    key = part_key(encryption)
    assert write(encryption, key) != write(encryption, key)


def test_swapped_parts_cannot_be_read() -> None:
    encryption = Encryption(RING)
    first, second = part_key(encryption, "1"), part_key(encryption, "2")
    with pytest.raises(OSError, match="Failed decryption"):
        read(encryption, second, write(encryption, first))


def test_altered_truncated_and_forged_parts_cannot_be_read() -> None:
    encryption = Encryption(RING)
    key = part_key(encryption)
    stored = write(encryption, key)
    for position in range(8, len(stored), 97):
        altered = bytearray(stored)
        altered[position] ^= 1
        with pytest.raises((OSError, pa.ArrowException)):
            read(encryption, key, bytes(altered))
        with pytest.raises((OSError, pa.ArrowException)):
            read(encryption, key, stored[:position])
    with pytest.raises(OSError, match="plaintext"):
        read(encryption, key, write(NoEncryption(), key))


def test_a_part_says_which_key_it_needs() -> None:
    key = part_key(Encryption(RING))
    stored = write(Encryption(RING), key)
    assert read(Encryption(ROTATED), key, stored).equals(ROWS), "readable while its key is in the ring"
    for encryption in (Encryption(NEW_ONLY), Encryption(OTHER), NoEncryption()):
        with pytest.raises(KeyMissing, match=RING.current):
            encryption.reading(key)


def test_a_part_in_the_clear_is_neither_written_nor_read_unless_accepted() -> None:
    key = "p/parts/public.t/" + "a" * 40 + ".parquet"
    with pytest.raises(SealBroken, match="does not say which key"):
        Encryption(RING).writing(key)
    with pytest.raises(SealBroken, match="is not encrypted"):
        Encryption(RING).reading(key)
    stored = write(NoEncryption(), key)
    assert read(Encryption(RING, accept_unencrypted=True), key, stored).equals(ROWS)


def test_threads_share_one_encryption() -> None:
    encryption = Encryption(RING)

    def round_trip(number: int) -> bool:
        key = part_key(encryption, str(number))
        return bool(read(encryption, key, write(encryption, key)).equals(ROWS))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(round_trip, range(64)))


def test_without_encryption_everything_is_as_it_was() -> None:
    plain = NoEncryption()
    assert plain.opaque(TABLE) == TABLE
    assert plain.part_names(TABLE, "c") == ((TABLE, "c"),)
    assert plain.needed_keys(["p/parts/t/c.parquet"]) == ()
    assert plain.writing("p/parts/t/c.parquet") is None
    assert plain.reading("p/parts/t/c.parquet") is None
    assert plain.open("k", plain.seal("k", b"x")) == b"x"
    plain.require((), "a snapshot in the clear")
    with pytest.raises(MindGuardError, match=f"snapshot s needs the master key {RING.current}"):
        plain.require([RING.current], "snapshot s")
