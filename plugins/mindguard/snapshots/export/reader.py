"""Reads the rows of parts as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.database_errors import cause, described
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.export.source_table import PlannedPart
from mindguard.snapshots.export.statements import export_statement
from mindguard.snapshots.storage import manifest

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg.sql import Composable


_BATCH_BYTES = 8 * 1024 * 1024
_YEAR_1 = -719_162  # days since 1970
_YEAR_10000 = 2_932_897


class Reader:
    """Reads parts as Arrow record batches over one connection that has joined the snapshot.

    Args:
        conninfo: libpq connection string of the source.
        opening: statements that begin the transaction and join the exported snapshot.
        utf8: whether the server's own encoding is UTF-8.

    Raises:
        SourceError: the connection or one of the statements failed.
    """

    def __init__(self, conninfo: str, opening: tuple[Composable, ...], *, utf8: bool = True) -> None:
        # Not `dbapi`: it imports pyarrow.dataset, which imports pandas, which takes longer than a small snapshot.
        from adbc_driver_manager import AdbcConnection, AdbcStatement
        from adbc_driver_postgresql import StatementOptions, connect

        self._utf8 = utf8
        with _adbc_explained(), ExitStack() as undo:
            database = undo.enter_context(connect(conninfo))
            connection = undo.enter_context(AdbcConnection(database))
            self._statement = undo.enter_context(AdbcStatement(connection))
            for step in opening:
                self._statement.set_sql_query(step.as_string())
                self._statement.execute_update()
            self._statement.set_options(**{StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(_BATCH_BYTES)})
            self.close = undo.pop_all().close

    def batches(self, part: PlannedPart) -> Iterator[pa.RecordBatch]:
        """Read the rows of the part in batches of about 8 MB, with the columns that `export_statement` names.

        Raises:
            SourceError: the source failed while it was read.
        """
        import pyarrow as pa

        with _adbc_explained():
            self._statement.set_sql_query(export_statement(part, utf8=self._utf8).as_string())
            rows, _ = self._statement.execute_query()
            yield from pa.RecordBatchReader.from_stream(rows)


class DigestColumns:
    """Sums the two columns of digests that follow a part's own columns while it is exported.

    Attributes:
        has_time_out_of_range: whether a time passed that Parquet cannot hold: infinite, or outside years 1 to 9999.
    """

    def __init__(self) -> None:
        self._sums = [0, 0]
        self.has_time_out_of_range = False

    def taken_off(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Pass the batches on without those two columns."""
        import numpy as np

        for batch in batches:
            own = batch.num_columns - 2
            for lane in (0, 1) if batch.num_rows else ():
                digests = batch.column(own + lane)
                # `to_numpy` would import pandas, which takes longer than a small snapshot.
                buffers: Any = digests.buffers()
                values = np.frombuffer(buffers[1], "u8")[digests.offset : digests.offset + len(digests)]
                self._sums[lane] += int(values.sum())
            self.has_time_out_of_range |= any(map(_has_time_out_of_range, batch.columns[:own]))
            yield batch.select(list(range(own)))

    @property
    def fingerprint(self) -> str:
        """The fingerprint of all rows that have passed."""
        return manifest.fingerprint(*self._sums)


def _has_time_out_of_range(column: pa.Array[Any]) -> bool:
    """Return whether the column has a time outside years 1 to 9999.

    PostgreSQL counts from 2000. The driver adds the time since 1970 without looking, so what is infinite, or too late
    to be counted from 1970, comes out as a time long before year 1.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return False
    days = pa.types.is_date(column.type)
    numbers = column.view(pa.int32() if days else pa.int64())
    found = pc.min_max(numbers)
    first, last = found["min"].as_py(), found["max"].as_py()
    a_day = 1 if days else 86_400_000_000
    return first is not None and not (_YEAR_1 * a_day <= first and last < _YEAR_10000 * a_day)


@contextmanager
def _adbc_explained() -> Iterator[None]:
    import adbc_driver_manager
    import pyarrow as pa

    try:
        yield
    except (adbc_driver_manager.Error, pa.ArrowException, OSError) as error:
        raise SourceError(f"the source failed while it was read: {described(error)}") from cause(error)
