"""What is known of items beside their text, aligned to the catalogue and brought to one scale.

Leaves to others: which modalities a domain has (its YAML), reading the source's own tables
(clean.py), what a model makes of them (models/towers.py).
Sizes: N items, F numbers of a modality as the source has them, K as a model reads them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from crossrec.data.dataset import Dataset
from crossrec.domains.spec import Domain, Modality
from crossrec.errors import ConfigError, DataError, suggest
from crossrec.schema import ITEM_ID, VECTOR

Floats = NDArray[np.float32]

MAX_DIMS = 32
"""Principal directions kept of a modality: with many a poster tells each film apart, as an id
does, and says little of a new one."""
FARTHEST = 4.0
"""Standard deviations at which a number is cut off: one broken tempo is no direction."""
RIDGE = 0.1
"""Share of the mean variance added to each direction's, as for texts (training/export.py)."""


@dataclass(frozen=True)
class ItemFeatures:
    """One modality of a catalogue."""

    name: str
    values: Floats
    """(N, F) in the source's units, logarithms taken; zeros where missing."""
    present: NDArray[np.bool_]  # (N,)
    labels: tuple[str, ...]
    """What each number is; empty where the domain does not say."""


def chosen_modalities(domain: Domain, wanted: str | Sequence[str]) -> list[Modality]:
    """Those of the domain's modalities that a setting asks for.

    Args:
        wanted: `all`, `none`, or names.

    Raises:
        ConfigError: the domain has no modality of that name.
    """
    if isinstance(wanted, str):
        return list(domain.modalities) if wanted == "all" else []
    known = {one.name: one for one in domain.modalities}
    for name in wanted:
        if name not in known:
            has = suggest(name, known) if known else "it declares none in its YAML"
            raise ConfigError(f"'{domain.name}' has no modality '{name}': {has}")
    return [one for one in domain.modalities if one.name in wanted]


def read_features(dataset: Dataset, modality: Modality) -> ItemFeatures | None:
    """A modality of the imported data set, one row an item of its catalogue.

    Returns:
        None where the data have no such table: a mirror may hold posters that the public source
        lacks.

    Raises:
        DataError: vectors of several lengths or another length than the fields, a NaN, an item
            twice or in no catalogue, a column that is no number.
    """
    if modality.table and not dataset.has(modality.table):
        return None
    catalogue = dataset.catalogue()
    if modality.table:
        rows, values = _of_table(dataset, modality, catalogue[ITEM_ID])
    else:
        rows, values = _of_columns(dataset, modality, catalogue)
    labels = modality.columns or modality.fields
    values = _logarithms(values, [labels.index(name) for name in modality.log])
    finite = np.isfinite(values).all(axis=1)  # the logarithm of a negative price is no number
    rows, values = rows[finite], values[finite]
    kept = [n for n, label in enumerate(labels) if label not in modality.left_out]
    if labels:
        values = values[:, kept]
    whole = np.zeros((len(catalogue), values.shape[1]), np.float32)
    whole[rows] = values
    present = np.zeros(len(catalogue), bool)
    present[rows] = True
    return ItemFeatures(modality.name, whole, present, tuple(labels[n] for n in kept))


def _of_table(
    dataset: Dataset, modality: Modality, item_ids: pl.Series
) -> tuple[NDArray[np.int64], Floats]:
    """Rows of the catalogue and their vectors."""
    table = dataset.scan(str(modality.table)).select(ITEM_ID, VECTOR).collect()
    where = f"table '{modality.table}' of '{dataset.domain.name}'"
    again = f"import it again: crossrec data import {dataset.domain.name}"
    lengths = sorted(set(table[VECTOR].list.len().to_list()))
    if len(lengths) != 1:
        raise DataError(f"{where} has vectors of {lengths} numbers; expected one length; {again}")
    if modality.fields and lengths != [len(modality.fields)]:
        raise DataError(
            f"{where} has vectors of {lengths[0]} numbers, modality '{modality.name}' names"
            f" {len(modality.fields)} fields; expected as many: correct the domain's YAML"
        )
    index = pl.DataFrame({ITEM_ID: item_ids}).with_row_index("row")
    rows = table.join(index, on=ITEM_ID, how="left", maintain_order="left")["row"]
    if rows.null_count() or rows.n_unique() != len(table):
        raise DataError(f"{where} has an item twice, or one that is in no catalogue; {again}")
    values = np.array(table[VECTOR].to_list(), np.float32).reshape(len(table), lengths[0])
    if not np.isfinite(values).all():
        raise DataError(f"{where} holds a value that is no number; {again}")
    return rows.to_numpy().astype(np.int64), values


def _of_columns(
    dataset: Dataset, modality: Modality, catalogue: pl.DataFrame
) -> tuple[NDArray[np.int64], Floats]:
    """The same from columns of the items; an item without one of them has none."""
    for column in modality.columns:
        if column not in catalogue.columns or not catalogue.schema[column].is_numeric():
            raise DataError(
                f"modality '{modality.name}' of '{dataset.domain.name}' reads column '{column}',"
                " and its items have no such column of numbers; correct the domain's YAML or"
                f" import it again: crossrec data import {dataset.domain.name}"
            )
    values = catalogue.select(pl.col(modality.columns).cast(pl.Float32)).to_numpy()
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    return rows, np.asarray(values[rows], np.float32)


def _logarithms(values: Floats, columns: list[int]) -> Floats:
    """log(1 + x / median) in some columns: of any unit, and zero for what is free."""
    values = values.copy()
    for column in columns:
        raw = values[:, column].astype(np.float64)
        middle = float(np.median(raw[raw > 0])) if (raw > 0).any() else 1.0
        values[:, column] = np.log1p(np.where(raw < 0, np.nan, raw) / middle)
    return values


def whitened(features: ItemFeatures) -> Floats:
    """(N, K) on one scale, K <= min(F, MAX_DIMS): rows have a length of about 1, or 0 if missing.

    Each number is standardised over the items that have it and cut off at FARTHEST; then PCA
    whitening with a ridge, as for texts, so that no direction without variance is blown up.
    """
    rows = features.values[features.present].astype(np.float64)
    whole = np.zeros((len(features.values), min(rows.shape[1], MAX_DIMS)), np.float32)
    if not len(rows):
        return whole
    rows -= rows.mean(axis=0)
    rows = np.clip(rows / np.maximum(rows.std(axis=0), 1e-9), -FARTHEST, FARTHEST)
    rows -= rows.mean(axis=0)
    _, sizes, axes = np.linalg.svd(rows, full_matrices=False)
    kept = min(len(sizes), MAX_DIMS)
    variances = sizes**2 / len(rows)
    scale = 1 / np.sqrt(variances[:kept] + RIDGE * variances.mean() + 1e-12)
    whole[features.present, :kept] = rows @ (axes[:kept].T * scale) / np.sqrt(kept)
    return whole
