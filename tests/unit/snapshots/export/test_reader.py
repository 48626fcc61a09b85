"""The digests of rows that are exported and digested at once."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from mindguard.snapshots.export.reader import DigestColumns
from mindguard.snapshots.storage import manifest

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
