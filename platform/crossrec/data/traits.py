"""Who users are and who provides items, as plain words, for audits only: never features.

Leaves to others: what an audit makes of them (evaluation/detail.py).
"""

from __future__ import annotations

import numpy as np
import polars as pl

from crossrec.data.dataset import Dataset
from crossrec.domains.spec import Domain
from crossrec.schema import CATEGORY, ITEM_ID, USER_ID

UNKNOWN = "unknown"
N_BINS = 4
"""Groups that a column of numbers is cut into, of equal size."""


def traits(dataset: Dataset, user_ids: list[str]) -> dict[str, list[str]]:
    """Audit column → its value of each user, `unknown` where there is none.

    Numbers with more than a few values are cut at their quartiles.
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
    """`18 to 25` in place of 21: each group as large as the next, as far as equal values allow."""
    numbers = column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    cuts = np.unique(np.nanquantile(numbers, np.arange(1, N_BINS) / N_BINS))
    codes = np.searchsorted(cuts, numbers)  # up to and with a cut is below it
    known = ~np.isnan(numbers)
    own = {code: numbers[known & (codes == code)] for code in np.unique(codes[known])}
    spans = {code: f"{values.min():g} to {values.max():g}" for code, values in own.items()}
    words = [spans[code] if here else None for code, here in zip(codes, known, strict=True)]
    return pl.Series(words, dtype=pl.String)


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
