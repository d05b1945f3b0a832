"""A release judged beside baselines and published figures, as a notebook shows it.

Leaves to others: judging (evaluation/), a training's own figures (results.py, releases.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec.evaluation.report import Report
from crossrec.shown.base import Shown

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart

MAIN = "ndcg@10"
MINUS = ("ours_minus", "minus_low", "minus_high")


@dataclass(frozen=True, repr=False, eq=False)
class Judged(Shown, Report):
    """A release beside baselines and published figures, all on the same cases."""

    def headline(self) -> str:
        """Domain, protocol and cases."""
        kind = "simulated, " if self.simulated else ""
        cases = f"{self.n:,} cases ({self.n_cold:,} cold), {self.n_items:,} items"
        return f"{self.domain}: {kind}{self.protocol}, {self.part}, {cases}"

    def facts(self) -> dict[str, Any]:
        """What the figures are of."""
        return {"data": self.data_hash[:12], "cases": self.fingerprint[:12]}

    def sentences(self) -> list[str]:
        """The notes under the table."""
        return list(self.notes)

    def to_polars(self) -> pl.DataFrame:
        """One row a model: `model`, `kind`, all figures, `low` and `high` of NDCG@10, and by how
        much ours is better on the same cases: `ours_minus`, `minus_low`, `minus_high`.
        """
        import polars as pl

        names = list(dict.fromkeys(name for row in self.rows for name in row.figures))
        rows = [
            {
                "model": row.model,
                "kind": row.origin,
                **{name: row.figures.get(name) for name in names},
                "low": row.ci95[0],
                "high": row.ci95[1],
                **dict(zip(MINUS, row.ours_minus or (None, None, None), strict=True)),
            }
            for row in self.rows
        ]
        numbers = dict.fromkeys([*names, "low", "high", *MINUS], pl.Float64)
        frame = pl.DataFrame(rows, schema_overrides=numbers, infer_schema_length=None)
        return frame.sort(MAIN, descending=True, nulls_last=True)

    def rows_shown(self) -> pl.DataFrame:
        """The figures that are read first."""
        wanted = ("model", "kind", MAIN, "low", "high", "recall@10", *MINUS)
        return self.to_polars().select(wanted)

    def targets(self) -> pl.DataFrame:
        """Columns `model`, `kind`, `targets` (all, warm, cold), `value` (NDCG@10) and `n` cases, as
        `study_plots.targets` takes them.
        """
        import polars as pl

        n = {"all": self.n, "warm": self.n - self.n_cold, "cold": self.n_cold}
        names = {"all": MAIN, "warm": f"warm_{MAIN}", "cold": f"cold_{MAIN}"}
        rows = [
            (row.model, row.origin, part, row.figures.get(name), n[part])
            for row in self.rows
            for part, name in names.items()
            if n[part]
        ]
        texts = dict.fromkeys(("model", "kind", "targets"), pl.String)
        kinds = {**texts, "value": pl.Float64, "n": pl.Int64}
        return pl.DataFrame(rows, kinds, orient="row").drop_nulls("value")

    def chart(self) -> Chart:
        """NDCG@10 of all models, with intervals."""
        from crossrec import plots

        return plots.metrics(self.frame())
