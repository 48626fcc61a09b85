"""Reads the rows of parts as Arrow record batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from mindguard.snapshots.database_errors import cause, described
from mindguard.snapshots.export import plan
from mindguard.snapshots.export.source_errors import SourceError
from mindguard.snapshots.export.source_table import PlannedPart
from mindguard.snapshots.export.statements import export_statement
from mindguard.snapshots.storage import manifest

if TYPE_CHECKING:
    import pyarrow as pa
    from psycopg.sql import Composable

    from mindguard.snapshots.storage.manifest import Column


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
            SourceError: the source failed while it was read, or the driver reads a column as a type that a restore
                does not expect.
        """
        import pyarrow as pa

        with _adbc_explained():
            self._statement.set_sql_query(export_statement(part, utf8=self._utf8).as_string())
            rows, _ = self._statement.execute_query()
            batches = pa.RecordBatchReader.from_stream(rows)
            columns = [each.column for each in part.table.source_columns]
            check_types(batches.schema, columns, times_as_text=part.times_as_text)
            yield from batches


def check_types(schema: pa.Schema, columns: Iterable[Column], *, times_as_text: bool) -> None:
    """Raise SourceError if a column has another type than the one from which a restore makes the source's values.

    Args:
        schema: of the batches; what follows the columns is not looked at.
        columns: the table's.
        times_as_text: whether the part has a time that Parquet cannot hold, so that all are read as text.
    """
    import pyarrow as pa

    for field, column in zip(schema, columns, strict=False):
        as_text = column.encoding == "text" or (times_as_text and plan.is_time(column))
        expected = pa.string() if as_text else _arrow_type(column.type)
        found = field.type.storage_type if isinstance(field.type, pa.BaseExtensionType) else field.type
        if found != expected:
            raise SourceError(
                f"the driver reads {column.name}, which is {column.type}, as {found} instead of {expected}",
                hint="install the version of adbc-driver-postgresql that requirements.txt names",
                permanent=True,
            )


def _arrow_type(name: str) -> pa.DataType:
    """Return the type in which the values of a native type are stored, by the name that `format_type` gives it."""
    import pyarrow as pa

    if name.startswith("timestamp"):
        return pa.timestamp("us", tz="UTC") if name.endswith("with time zone") else pa.timestamp("us")
    if name.startswith("character varying"):
        return pa.string()
    types: dict[str, pa.DataType] = {
        "boolean": pa.bool_(),
        "smallint": pa.int16(),
        "integer": pa.int32(),
        "bigint": pa.int64(),
        "real": pa.float32(),
        "double precision": pa.float64(),
        "text": pa.string(),
        "uuid": pa.binary(16),
        "bytea": pa.binary(),
        "date": pa.date32(),
    }
    return types[name]


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
