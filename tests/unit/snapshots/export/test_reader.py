"""The digests of rows that are exported and digested at once."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.snapshots.export.reader import DigestColumns, check_types
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.storage import manifest

YEAR_1, YEAR_10000 = -62_135_596_800_000_000, 253_402_300_800_000_000  # microseconds since 1970
HASHES = st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20)


@given(HASHES, st.integers(0, 20))
def test_digests_are_summed_whatever_the_batches_and_taken_off(hashes: list[int], cut: int) -> None:
    second = [each // 3 for each in hashes]
    columns = {"v": pa.array(map(str, hashes), pa.string()), "1": pa.array(hashes, pa.int64())}
    whole = pa.record_batch(columns | {"2": pa.array(second, pa.int64())})
    digests = DigestColumns()
    passed = list(digests.taken_off([whole.slice(0, cut), whole.slice(cut)]))
    assert [value for batch in passed for value in batch.to_pydict()["v"]] == [str(each) for each in hashes]
    assert all(batch.schema.names == ["v"] for batch in passed)
    assert digests.fingerprint == manifest.fingerprint(sum(hashes), sum(second))


@pytest.mark.parametrize(
    ("numbers", "out_of_range"),
    [
        ([], False),
        ([None], False),
        ([None, YEAR_1, 0, YEAR_10000 - 1], False),
        ([0, YEAR_1 - 1], True),
        ([YEAR_10000], True),
        ([-9_222_425_352_054_775_809], True),  # infinity as the driver gives it
    ],
)
def test_times_that_parquet_cannot_hold_are_noticed(numbers: list[int | None], *, out_of_range: bool) -> None:
    zeros = pa.array([0] * len(numbers), pa.int64())
    times = pa.array(numbers, pa.int64()).view(pa.timestamp("us", tz="UTC"))
    dates = pa.array([None if each is None else each // 86_400_000_000 for each in numbers], pa.int64())
    for column in (times, dates.cast(pa.int32(), safe=False).view(pa.date32())):
        digests = DigestColumns()
        list(digests.taken_off([pa.record_batch([column, zeros, zeros], ["v", "1", "2"])]))
        assert digests.has_time_out_of_range is out_of_range


EXPECTED: dict[str, pa.DataType] = {
    "boolean": pa.bool_(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double precision": pa.float64(),
    "text": pa.string(),
    "character varying(20)": pa.string(),
    "uuid": pa.binary(16),
    "bytea": pa.binary(),
    "date": pa.date32(),
    "timestamp(3) without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_driver_that_reads_a_type_as_another_is_refused(name: str) -> None:
    """A snapshot with such a column would be published, and no restore could read it."""
    columns = [manifest.Column(name="v", type=name, encoding="native")]
    check_types(pa.schema([("v", EXPECTED[name]), ("digest_1", pa.int64())]), columns, times_as_text=False)
    for other in {*EXPECTED.values(), pa.large_string()} - {EXPECTED[name]}:
        with pytest.raises(SourceError, match="adbc-driver-postgresql"):
            check_types(pa.schema([("v", other)]), columns, times_as_text=False)


def test_uuid_and_times_as_text_are_known() -> None:
    uuid, time = (manifest.Column(name="v", type=name, encoding="native") for name in ("uuid", "date"))
    check_types(pa.schema([("v", pa.uuid())]), [uuid], times_as_text=True)
    check_types(pa.schema([("v", pa.string())]), [time], times_as_text=True)
    with pytest.raises(SourceError):
        check_types(pa.schema([("v", pa.date32())]), [time], times_as_text=True)
