"""A hash of a table's values that no change of Parquet encoding, chunks or integer width moves.

Leaves to others: which tables make up a data set (importing.py).
"""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

BATCH_ROWS = 1 << 18


def table_hash(path: Path) -> str:
    """SHA-256 over names, kinds and values of all columns of a Parquet file, in row order.

    Read in batches, so memory stays flat. Integers count by value whatever their width, floats as
    float64 with one NaN and one zero; null differs from every value.

    Raises:
        pa.ArrowInvalid: the file is not Parquet.
    """
    with pq.ParquetFile(path) as file, ThreadPoolExecutor(max_workers=4) as pool:
        names = file.schema_arrow.names
        columns = {name: _ColumnHash() for name in names}
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            # A column is one thread's at a time, and hashing lets go of the interpreter's lock.
            list(pool.map(_ColumnHash.update, columns.values(), batch.columns))
    total = hashlib.sha256()
    for name in sorted(columns):
        total.update(f"{name}\n{columns[name].hexdigest()}\n".encode())
    return total.hexdigest()


def combined_hash(hashes: dict[str, str]) -> str:
    """SHA-256 over tables by name; the order in which they were hashed does not matter."""
    return hashlib.sha256(
        "".join(f"{name} {hashes[name]}\n" for name in sorted(hashes)).encode()
    ).hexdigest()


class _ColumnHash:
    """One column's digest, fed batch by batch.

    Validity, values and characters go to hashes of their own: each sees the same bytes however
    the rows were cut into batches.
    """

    def __init__(self) -> None:
        self._kind = "none"
        self._valid = hashlib.sha256()
        self._values = hashlib.sha256()  # numbers, or lengths of texts and lists
        self._characters = hashlib.sha256()
        self._entries: _ColumnHash | None = None

    def update(self, array: pa.Array) -> None:
        """Take the next rows of the column."""
        if pa.types.is_dictionary(array.type):
            array = array.dictionary_decode()
        self._valid.update(np.asarray(array.is_valid()).astype(np.uint8).tobytes())
        if _is_list(array.type):
            self._update_list(array)
        elif pa.types.is_floating(array.type) or pa.types.is_decimal(array.type):
            self._kind = "float"
            values = np.asarray(array.cast(pa.float64()).fill_null(0.0)) + 0.0  # -0.0 becomes 0.0
            self._values.update(np.where(np.isnan(values), np.nan, values).tobytes())
        elif pa.types.is_integer(array.type) or pa.types.is_boolean(array.type):
            self._kind = "int"
            values = np.asarray(array.cast(pa.int64(), safe=False).fill_null(0))
            self._values.update(values.tobytes())
        else:
            self._update_text(_as_text(array))

    def _update_list(self, array: pa.Array) -> None:
        self._kind = "list"
        self._values.update(_lengths(pc.list_value_length(array)))
        self._entries = self._entries or _ColumnHash()
        self._entries.update(array.flatten())  # leaves out what lies under nulls

    def _update_text(self, text: pa.LargeStringArray) -> None:
        self._kind = "text"
        self._values.update(_lengths(pc.binary_length(text)))
        self._characters.update(_text_bytes(text))

    def hexdigest(self) -> str:
        """Digest of all rows so far."""
        hashes = (self._valid, self._values, self._characters)
        parts = [self._kind, *(h.hexdigest() for h in hashes)]
        if self._entries is not None:
            parts.append(self._entries.hexdigest())
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _lengths(lengths: pa.Array) -> bytes:
    return np.asarray(lengths.cast(pa.int64()).fill_null(0)).tobytes()


def _as_text(array: pa.Array) -> pa.LargeStringArray:
    if pa.types.is_nested(array.type) or pa.types.is_binary(array.type):
        values = [json.dumps(v, sort_keys=True, default=repr) for v in array.to_pylist()]
        return pa.array(values, pa.large_string())
    return array.cast(pa.large_string()).fill_null("")


def _text_bytes(text: pa.LargeStringArray) -> memoryview | bytes:
    """The characters of all rows, one after the other, without copying."""
    if len(text) == 0:
        return b""
    _, offsets_buffer, data = text.buffers()
    offsets = np.frombuffer(offsets_buffer, np.int64)[text.offset : text.offset + len(text) + 1]
    return memoryview(data)[offsets[0] : offsets[-1]] if data is not None else b""
