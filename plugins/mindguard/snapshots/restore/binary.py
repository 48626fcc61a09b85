"""Rows in PostgreSQL's binary COPY format, which the server reads with a third less work than CSV.

Each column becomes pieces for all rows at once, and the pieces are then joined by row. Types and values that have no
exact form here are left to CSV.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, cast

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    _Field = tuple[str, Any]
    """The type of a number of fixed width, and its value in each row, or in all."""

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"

_TEXTS = {"text", "varchar", "bpchar", "json", "enum"}
_EPOCH_DAYS = 10_957  # from 1970 to 2000, where PostgreSQL's time begins
_EPOCH = {"date": _EPOCH_DAYS, "timestamp": _EPOCH_DAYS * 86_400_000_000, "timestamptz": _EPOCH_DAYS * 86_400_000_000}
_EXACT_DIGITS = 15  # of a float
_GROUP = 10_000  # of four digits of a numeric
_NEGATIVE = 0x4000
_ELEMENT_TYPES = {"_text": 25, "_varchar": 1043}
_NUMBERS = {"bool", "int2", "int4", "int8", "float4", "float8", "numeric", "date", "timestamp", "timestamptz"}
TYPES = frozenset({*_TEXTS, *_NUMBERS, *_ELEMENT_TYPES, "uuid", "bytea", "jsonb"})
"""The types whose binary form is known, as `select_copy_types.sql` names them."""
_DISTINCT_ARRAYS = 512  # in a batch: each is parsed in Python
_ELEMENT = re.compile(r'"(?:[^"\\]|\\.)*"|[^",{}\\\s]+', re.DOTALL | re.ASCII)
_FLAT_ARRAY = re.compile(rf"\{{(?:(?:{_ELEMENT.pattern})(?:,(?:{_ELEMENT.pattern}))*)?\}}", re.DOTALL | re.ASCII)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


class _Values(NamedTuple):
    """The values of a column in binary, without their lengths.

    Attributes:
        fields: numbers of fixed width that each value begins with.
        rest: the bytes after them, which vary in number; None if there are none.
    """

    fields: list[_Field]
    rest: pa.Array[Any] | None = None


def binary_rows(batch: pa.RecordBatch, types: Sequence[str]) -> memoryview | None:
    """Return the rows without header and trailer; None if a column has a type or value without an exact form here.

    Args:
        batch: at least one row, and a column for each column to fill.
        types: the type of each column to fill.
    """
    pieces: list[pa.Array[Any]] = []
    fields: list[_Field] = [(">i2", batch.num_columns)]
    for column, kind in zip(batch.columns, types, strict=True):
        following = _append(pieces, fields, column, kind)
        if following is None:
            return None
        fields = following
    joined: Any = _concatenated([*pieces, *_piece(fields, batch.num_rows)])
    return memoryview(joined.buffers()[2])[: _offsets(joined)[-1]]


def _append(pieces: list[pa.Array[Any]], fields: list[_Field], column: pa.Array[Any], kind: str) -> list[_Field] | None:
    """Append a column to pieces of rows, after fields that come before it.

    Returns:
        The fields that go before the next column's; None if a value has no exact form.
    """
    import numpy as np
    import pyarrow as pa

    if isinstance(column, pa.DictionaryArray):
        return _append_repeating(pieces, fields, column, kind)
    array = column.storage if isinstance(column, pa.ExtensionArray) else column
    values = _values(array, kind)
    if values is None:
        return None
    length: Any = sum(np.dtype(dtype).itemsize for dtype, _ in values.fields)
    if values.rest is not None:
        length = np.diff(_offsets(values.rest)) + length
    if not array.null_count:
        fields = [*fields, (">i4", length), *values.fields]
    else:
        fields = [*fields, (">i4", np.where(_valid(array), length, -1))]
        if values.fields:
            pieces += [*_piece(fields, len(array)), _joined(values.fields, len(array), _valid(array))]
            fields = []
    if values.rest is None:
        return fields
    pieces += [*_piece(fields, len(array)), values.rest]
    return []


def _append_repeating(pieces: list[pa.Array[Any]], fields: list[_Field], column: Any, kind: str) -> list[_Field] | None:
    """Do what `_append` does with values that repeat: each of them is converted only once."""
    import numpy as np
    import pyarrow as pa

    distinct = len(column.dictionary)
    if not distinct:
        return [*fields, (">i4", -1)]
    of_values: list[pa.Array[Any]] = []
    last = _append(of_values, [], column.dictionary, kind)
    if last is None:
        return None
    whole = _concatenated([*of_values, *_piece(last, distinct)])
    with_null = pa.concat_arrays([whole, _joined([(">i4", -1)], 1)])
    numbers = np.where(_valid(column.indices), _numbers(column.indices, "i4"), distinct).astype(np.int32)
    indices: Any = pa.Array.from_buffers(pa.int32(), len(column), [None, pa.py_buffer(numbers.tobytes())])
    pieces += [*_piece(fields, len(column)), with_null.take(indices)]
    return []


def _concatenated(pieces: list[pa.Array[Any]]) -> pa.Array[Any]:
    """Return the pieces of each row, one after the other; a null is nothing."""
    import pyarrow.compute as pc

    join: Any = pc.binary_join_element_wise
    return cast("pa.Array[Any]", join(*pieces, _joined([], 1)[0], null_handling="replace", null_replacement=b""))


def _piece(fields: list[_Field], rows: int) -> list[pa.Array[Any]]:
    return [_joined(fields, rows)] if fields else []


def _joined(fields: list[_Field], rows: int, valid: npt.NDArray[np.bool_] | None = None) -> pa.Array[Any]:
    """Return the bytes of the fields, one after the other, as a value for each row; a null where it is not valid."""
    import numpy as np
    import pyarrow as pa

    record = np.empty(rows, [(str(number), dtype) for number, (dtype, _) in enumerate(fields)])
    for number, (_, values) in enumerate(fields):
        record[str(number)] = values
    offsets = np.arange(rows + 1, dtype=np.int32) * np.int32(record.itemsize)
    mask = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    data: Any = record.view(np.uint8) if fields else b""  # not copied
    buffers = [mask, pa.py_buffer(offsets.tobytes()), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.binary(), rows, buffers)


def _values(array: pa.Array[Any], kind: str) -> _Values | None:
    """Return the values as the type's receive function reads them; those of nulls are of any content."""
    import pyarrow as pa

    if _is_of_width(array, kind):
        return _Values([_fixed(array, kind)])
    if kind == "bytea" and pa.types.is_binary(array.type):
        return _Values([], array)
    if not pa.types.is_string(array.type):
        return None
    if kind == "numeric":
        digits = _numerics(array)
        return None if digits is None else _Values(digits)
    if kind in _ELEMENT_TYPES:
        arrays = _arrays(array, _ELEMENT_TYPES[kind])
        return None if arrays is None else _Values([], arrays)
    if kind == "jsonb":  # the version of the format comes first
        return _Values([("i1", 1)], array.cast(pa.binary()))
    return _Values([], array.cast(pa.binary())) if kind in _TEXTS else None


def _is_of_width(array: pa.Array[Any], kind: str) -> bool:
    """Return whether the array holds what a type of fixed width needs; text for such a type is left to CSV."""
    import pyarrow as pa

    expected: dict[str, Any] = {
        "bool": pa.bool_(),
        "int2": pa.int16(),
        "int4": pa.int32(),
        "int8": pa.int64(),
        "float4": pa.float32(),
        "float8": pa.float64(),
        "date": pa.date32(),
        "timestamp": pa.timestamp("us"),
        "timestamptz": pa.timestamp("us", tz="UTC"),
        "uuid": pa.binary(16),
    }
    return bool(array.type == expected.get(kind))


def _fixed(array: pa.Array[Any], kind: str) -> _Field:
    import pyarrow as pa

    plain: Any = array.cast(pa.uint8()) if kind == "bool" else array
    number = "f" if kind.startswith("float") else "V" if kind == "uuid" else "i"
    dtype = f"{number}{plain.type.bit_width // 8}"
    values = _numbers(plain, dtype)
    return f">{dtype}", values - _EPOCH[kind] if kind in _EPOCH else values


def _numerics(array: pa.Array[Any]) -> list[_Field] | None:
    """Return numbers in as many groups of four digits as the longest one needs; the server strips those that are zero.

    A float holds 15 digits, so whatever is shorter is read exactly.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    find: Any = pc.find_substring
    valid = _valid(array)
    point = _numbers(find(array, "."), "i4")
    scales = np.where(valid & (point >= 0), np.diff(_offsets(array)) - 1 - point, 0)
    scale = int(scales.max())
    if scale > _EXACT_DIGITS:
        return None
    try:
        floats = array.cast(pa.float64())
    except pa.ArrowInvalid:
        return None
    digits = np.rint(np.where(valid, _numbers(floats, "f8"), 0) * 10.0**scale)
    if not (np.abs(digits) < 10.0**_EXACT_DIGITS).all():  # longer, infinite, or not a number
        return None
    magnitude = np.abs(digits).astype(np.int64)
    whole = magnitude // 10**scale
    whole_groups = -(-len(str(whole.max())) // 4)
    fraction_groups = -(-scale // 4)
    fraction = (magnitude - whole * 10**scale) * 10 ** (4 * fraction_groups - scale)
    groups = [*_groups(whole, whole_groups), *_groups(fraction, fraction_groups)]
    signs = np.where(digits < 0, _NEGATIVE, 0)
    return [(">i2", each) for each in (len(groups), whole_groups - 1, signs, scales, *groups)]


def _groups(numbers: npt.NDArray[np.int64], count: int) -> list[npt.NDArray[np.int64]]:
    """Return the last `count` groups of four digits of each number, the highest first."""
    found = []
    for _ in range(count):
        higher = numbers // _GROUP
        found.append(numbers - higher * _GROUP)
        numbers = higher
    return found[::-1]


def _arrays(array: pa.Array[Any], element_type: int) -> pa.Array[Any] | None:
    import numpy as np
    import pyarrow as pa

    distinct: Any = array.dictionary_encode()
    count = len(distinct.dictionary)
    if count > _DISTINCT_ARRAYS:
        return None
    converted: list[bytes] = []
    for text in distinct.dictionary.to_pylist():
        found = _flat_array(text, element_type)
        if found is None:
            return None
        converted.append(found)
    offsets = np.cumsum([0, *map(len, converted)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets.tobytes()), pa.py_buffer(b"".join(converted))]
    values: Any = pa.Array.from_buffers(pa.binary(), count, buffers)
    return cast("pa.Array[Any]", values.take(distinct.indices))


@lru_cache(maxsize=4096)
def _flat_array(text: str, element_type: int) -> bytes | None:
    """Return an array of texts; None if it has several dimensions, or a lower bound of its own."""
    if not _FLAT_ARRAY.fullmatch(text):
        return None
    found = _ELEMENT.findall(text)
    elements = [None if each == "NULL" else each for each in found]
    body = b"".join(
        struct.pack(">i", -1) if each is None else struct.pack(f">i{len(value)}s", len(value), value)
        for each in elements
        for value in [b"" if each is None else _element(each).encode()]
    )
    dimensions = struct.pack(">ii", len(found), 1) if found else b""
    return struct.pack(">iii", bool(found), None in elements, element_type) + dimensions + body


def _element(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1]) if text.startswith('"') else text


def _offsets(array: pa.Array[Any]) -> npt.NDArray[Any]:
    """Return where each value of a text or binary array begins, and where the last one ends."""
    return _buffer(array, 1, "i4")[array.offset : array.offset + len(array) + 1]


def _numbers(array: pa.Array[Any], dtype: str) -> npt.NDArray[Any]:
    """Return the values of an array of fixed width; those of nulls are of any content."""
    return _buffer(array, 1, dtype)[array.offset : array.offset + len(array)]


def _valid(array: pa.Array[Any]) -> npt.NDArray[Any]:
    """Return which values are not null; one `True` if all are."""
    import numpy as np

    if not array.null_count:
        return np.array([True])
    bits = np.unpackbits(_buffer(array, 0, "u1"), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(bool)


def _buffer(array: pa.Array[Any], number: int, dtype: str) -> npt.NDArray[Any]:
    """Return a buffer of the array, which may be a slice of it.

    `Array.to_numpy`, `pyarrow.array` and `pyarrow.scalar` would import pandas, which takes a second.
    """
    import numpy as np

    buffers: Any = array.buffers()
    return np.frombuffer(buffers[number], dtype)
