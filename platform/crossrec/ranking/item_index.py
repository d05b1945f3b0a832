"""An index that finds the vectors with the largest products without looking at all, by FAISS.

For catalogues of more items than are scored one by one; FAISS is loaded when an index is. Leaves
to others: which vectors (candidates.py), exact scores of what it finds, files (releases/).
Sizes: N items, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crossrec.errors import ReleaseError

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

LANES = 16
"""Dimensions are filled up with zeros to a multiple of this: eight-bit numbers of other widths are
multiplied one by one (FAISS 1.15), which takes four times as long."""
TRAINED_ON = 64
"""Vectors for each list that lists are drawn up from: FAISS asks for 39 at least."""
ROWS = 50_000
"""Vectors that are in memory at once while an index is made."""


def faiss() -> Any:
    """The library.

    Raises:
        ReleaseError: it is not installed.
    """
    try:
        import faiss as library
    except ImportError as err:
        raise ReleaseError(
            "this release has more items than are searched one by one, and FAISS, which finds them,"
            " is not installed; install crossrec[search], or train with search.kind=exact"
        ) from err
    return library


class ItemIndex:
    """Lists of vectors near one another (an inverted file, Sivic & Zisserman 2003), each number in
    eight bits; a look-up reads the most promising lists.

    Args:
        index: FAISS' own.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @property
    def n_lists(self) -> int:
        """Lists that there are."""
        return int(self._index.nlist)

    @classmethod
    def build(cls, rows: Callable[[slice], Floats], n: int, seed: int = 0) -> ItemIndex:
        """Index of n vectors, read some at a time; the square root of n lists.

        Args:
            rows: gives (some, D) float32.
            n: how many there are.
            seed: which of them the lists are drawn up from.
        """
        library = faiss()
        n_lists = max(1, math.isqrt(n))
        sample = _filled_up(_sample(rows, n, min(n, TRAINED_ON * n_lists), seed))
        kind = f"IVF{n_lists},SQ8"
        index = library.index_factory(sample.shape[1], kind, library.METRIC_INNER_PRODUCT)
        index.cp.seed = 1 + seed
        index.train(sample)
        for start in range(0, n, ROWS):
            index.add(_filled_up(rows(slice(start, min(n, start + ROWS)))))
        return cls(index)

    def save(self, path: Path) -> None:
        """Write the file."""
        faiss().write_index(self._index, str(path))

    @classmethod
    def load(cls, path: Path) -> ItemIndex:
        """Map the file: replicas of one machine share its pages.

        Raises:
            ReleaseError: it is missing or no such file, or FAISS is not installed.
        """
        library = faiss()
        try:
            return cls(
                library.read_index(str(path), library.IO_FLAG_MMAP | library.IO_FLAG_READ_ONLY)
            )
        except RuntimeError as err:
            raise ReleaseError(f"{path} cannot be read; publish the release again") from err

    def largest(self, query: Floats, n: int, share: float, allowed: Bools | None = None) -> Ints:
        """Rows of about the n largest products with a query, (D,); the largest first.

        Args:
            query: (D,).
            n: how many; fewer where the lists that are read hold fewer.
            share: of the lists that are read.
            allowed: (at least N,) rows that may be found; None: all. Lists read grow as it shrinks.
        """
        library = faiss()
        settings: dict[str, Any] = {}
        if allowed is not None:
            settings["sel"] = library.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            share = share / max(float(allowed.mean()), share)
        settings["nprobe"] = max(1, math.ceil(share * self.n_lists))
        _, found = self._index.search(
            _filled_up(query[None]),
            n,
            params=library.SearchParametersIVF(**settings),
        )
        return np.asarray(found[0][found[0] >= 0], np.int64)


def _filled_up(vectors: Floats) -> Floats:
    """(n, D) → (n, a multiple of LANES)."""
    missing = -vectors.shape[1] % LANES
    return np.ascontiguousarray(np.pad(vectors, ((0, 0), (0, missing))), np.float32)


def _sample(rows: Callable[[slice], Floats], n: int, size: int, seed: int) -> Floats:
    """Some of n vectors, evenly drawn, without holding all."""
    drawn = np.sort(np.random.default_rng(seed).choice(n, size, replace=False))
    parts = []
    for start in range(0, n, ROWS):
        some = drawn[(drawn >= start) & (drawn < start + ROWS)] - start
        parts.append(rows(slice(start, min(n, start + ROWS)))[some])
    return np.concatenate(parts)
