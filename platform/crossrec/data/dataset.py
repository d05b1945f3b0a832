"""An imported data set on disk: canonical tables, what was rejected, and a content hash.

Leaves to others: making one (importing.py), cutting it into parts (split.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.config import home
from crossrec.domains.spec import Domain
from crossrec.errors import DataError, suggest
from crossrec.schema import ITEM_ID, LABEL, TEXT, TITLE

CARD = "dataset.json"


@dataclass(frozen=True)
class Dataset:
    """Handle on `<home>/data/<domain>/`; opens tables lazily.

    The folder holds `<table>.parquet` for each canonical table, `rejected.parquet`
    (table, row, reason, and the row as JSON), `domain.yaml` (frozen copy) and `dataset.json`.
    """

    folder: Path
    domain: Domain
    content_hash: str
    """SHA-256 over the canonical tables' values, independent of Parquet's encoding."""
    card: dict[str, Any]
    """`dataset.json`: counts per table, rejected rows by reason, source, versions."""

    @classmethod
    def open(cls, name: str, root: Path | None = None) -> Dataset:
        """The imported data set of domain `name`, below `root` (default `<home>/data`).

        Raises:
            DataError: it was never imported, or its card cannot be read.
        """
        folder = (root or home() / "data") / name
        if not (folder / CARD).is_file():
            raise DataError(f"no data of '{name}' in {folder}; run: crossrec data import {name}")
        try:
            card = json.loads((folder / CARD).read_text(encoding="utf-8"))
            domain = Domain.model_validate(card["domain"])
            return cls(folder, domain, card["content_hash"], card)
        except (ValueError, KeyError) as err:
            raise DataError(
                f"{folder / CARD} cannot be read; run: crossrec data import {name} --force"
            ) from err

    def has(self, table: str) -> bool:
        """Whether the canonical table exists."""
        return (self.folder / f"{table}.parquet").is_file()

    def scan(self, table: str) -> pl.LazyFrame:
        """The canonical table, lazily.

        Raises:
            DataError: this data set has no such table.
        """
        if not self.has(table):
            known = (path.stem for path in self.folder.glob("*.parquet"))
            raise DataError(
                f"'{self.domain.name}' has no table '{table}' in {self.folder}:"
                f" {suggest(table, known)}"
            )
        return pl.scan_parquet(self.folder / f"{table}.parquet")

    def catalogue(self) -> pl.DataFrame:
        """The items; of a data set of labelled texts the labels, which are what is ranked."""
        if self.has("items"):
            return self.scan("items").collect()
        labels = self.scan("examples").select(pl.col(LABEL).alias(ITEM_ID)).unique().sort(ITEM_ID)
        return labels.with_columns(
            pl.col(ITEM_ID).alias(TITLE), pl.col(ITEM_ID).alias(TEXT)
        ).collect()

    def features(self) -> list[str]:
        """Names of the modalities for which there is a `features_<modality>` table."""
        files = self.folder.glob("features_*.parquet")
        return sorted(path.stem.removeprefix("features_") for path in files)
