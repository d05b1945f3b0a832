"""Who users are and who provides items, as plain words, for audits only: never features.

Leaves to others: what an audit makes of them (evaluation/detail.py).
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data.dataset import Dataset
from crossrec.domains.spec import Domain
from crossrec.schema import CATEGORY, ITEM_ID, USER_ID

UNKNOWN = "unknown"
N_BINS = 4
"""Groups that a column of numbers is cut into, of about equal size."""


def traits(dataset: Dataset, user_ids: list[str]) -> dict[str, list[str]]:
    """Audit column → its value of each user, `unknown` where there is none.

    Numbers with more than a few values are cut near their quartiles.
    """
    columns = dataset.domain.audit_columns
    if not columns or not dataset.has("users"):
        return {}
    frame = dataset.scan("users").select(USER_ID, *columns).collect()
    words = frame.select(USER_ID, *(_words(frame[name]) for name in columns))
    wanted = pl.DataFrame({USER_ID: user_ids}).join(words, USER_ID, "left", maintain_order="left")
    return {name: wanted[name].fill_null(UNKNOWN).to_list() for name in columns}


def _words(column: pl.Series) -> pl.Series:
    if column.dtype.is_numeric() and column.n_unique() > 2 * N_BINS:
        return _quarters(column).alias(column.name)
    return column.cast(pl.String)


def _quarters(column: pl.Series) -> pl.Series:
    """`up to 30`, `30 to 40` (with 40), …, `above 49`: about equal groups; null where unknown."""
    numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = np.isfinite(numbers)
    cuts = _round_cuts(numbers[known])
    codes = np.searchsorted(cuts, numbers)  # up to and with a cut is below it
    ends = [f"{cut:.15g}" for cut in cuts]
    between = [f"{low} to {high}" for low, high in pairwise(ends)]
    names = [f"up to {ends[0]}", *between, f"above {ends[-1]}"]
    words = [names[code] if here else None for code, here in zip(codes, known, strict=True)]
    return pl.Series(words, dtype=pl.String)


def _round_cuts(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """The quartiles, rounded by how far apart they are: no border is one person's own value.

    >>> _round_cuts(np.array([18_250, 23_117, 31_904, 47_333, 90_871.0])).tolist()
    [23000.0, 32000.0, 47000.0]
    """
    cuts = np.unique(np.quantile(numbers, np.arange(1, N_BINS) / N_BINS))
    apart = float(cuts[-1] - cuts[0]) / N_BINS
    # Where all quartiles are one value, half of the users share it.
    return np.unique(np.round(cuts, -math.floor(math.log10(apart)))) if apart else cuts


def provider_column(domain: Domain) -> str:
    """The items column that the domain's exposure looks after; its categories where it has none."""
    for objective in domain.objectives:
        if objective.name == "exposure" and objective.column is not None:
            return objective.column
    return CATEGORY


def providers(dataset: Dataset, item_ids: list[str]) -> list[str]:
    """Of each item, its first entry of that column; empty where there is none."""
    column, items = provider_column(dataset.domain), dataset.catalogue()
    if column not in items.columns:
        return [""] * len(item_ids)
    values = items[column]
    if isinstance(values.dtype, pl.List):
        values = values.list.first()
    known = dict(zip(items[ITEM_ID], values.cast(pl.String).fill_null(""), strict=True))
    return [known.get(item_id, "") for item_id in item_ids]
