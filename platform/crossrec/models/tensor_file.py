"""Reads a safetensors file as read-only views on the file itself, in numpy.

A page is read when it is first used, is shared by every process that uses it, and is let go with
the array. Leaves to others: writing (safetensors), what the tensors mean. Format: 8 bytes length
of the header, the header in JSON, the values; https://huggingface.co/docs/safetensors.
"""

from __future__ import annotations

import json
import math
import mmap
import struct
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

_LENGTH = struct.Struct("<Q")
_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "<i1", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
_MAX_HEADER_BYTES = 100 << 20  # as in safetensors itself


def map_tensors(path: Path) -> dict[str, NDArray[Any]]:
    """Name → array; the file must not be changed while they are used.

    Raises:
        ValueError: this is no such file, it is cut off, or it holds a type that numpy lacks.
    """
    try:
        with path.open("rb") as stream:
            (length,) = _LENGTH.unpack(stream.read(_LENGTH.size))
            header = json.loads(stream.read(min(length, _MAX_HEADER_BYTES)))
            header.pop("__metadata__", None)
            start = _LENGTH.size + length
            return {name: _view(stream, start, entry) for name, entry in header.items()}
    except (struct.error, KeyError, TypeError, AttributeError) as err:
        raise ValueError(f"{path.name} is no safetensors file that numpy can read") from err


def _view(stream: IO[bytes], start: int, entry: dict[str, Any]) -> NDArray[Any]:
    """One tensor in a mapping of its own, which ends with the array."""
    dtype, shape = np.dtype(_DTYPES[entry["dtype"]]), entry["shape"]
    begin, end = (start + offset for offset in entry["data_offsets"])
    if begin == end:
        return np.zeros(shape, dtype)
    skipped = begin % mmap.ALLOCATIONGRANULARITY  # a mapping begins at a page
    view = mmap.mmap(
        stream.fileno(), end - begin + skipped, access=mmap.ACCESS_READ, offset=begin - skipped
    )
    return np.frombuffer(view, dtype, math.prod(shape), skipped).reshape(shape)
