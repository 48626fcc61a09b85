"""The digests of rows that are exported and digested at once."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mindguard.snapshots.export.reader import DigestColumns
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
