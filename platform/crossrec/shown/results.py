"""What train, tune, transfer and cross_validate give, as a notebook shows it.

Leaves to others: the results themselves (training/, tuning/), a release judged (judged.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec.shown import html
from crossrec.shown.base import Shown, as_pandas
from crossrec.training.folds import FoldReport
from crossrec.training.runs import TrainResult
from crossrec.training.transfer import TransferReport
from crossrec.tuning.selection import TuneResult

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart

MAIN = "ndcg@10"
JUDGED = "validation_ndcg@10"


@dataclass(frozen=True, repr=False, eq=False)
class Trained(Shown, TrainResult):
    """A training: its epochs, the figures on test, and the release."""

    def headline(self) -> str:
        """Domain, epochs, and the release, if one was published."""
        release = f"release {self.release}" if self.release else "not published"
        return f"{self.domain}: {len(self.history)} epochs, {release}"

    def facts(self) -> dict[str, Any]:
        """Figures on the test cases."""
        low, high = self.metrics.get("ci95", {}).get(MAIN) or (None, None)
        value = self.metrics.get("metrics", {}).get(MAIN)
        spread = f" ({low:.4f} to {high:.4f})" if low is not None else ""
        return {
            "test NDCG@10": f"{value:.4f}{spread}" if value is not None else None,
            "cases": self.metrics.get("n"),
            "protocol": self.metrics.get("protocol"),
            "mode": self.metrics.get("mode", {}).get("chosen"),
            "seconds": round(self.seconds, 1),
        }

    def sentences(self) -> list[str]:
        """That nothing was learned from, where that is so."""
        untaught = self.metrics.get("untaught")
        return [untaught] if untaught else []

    def to_polars(self) -> pl.DataFrame:
        """One row an epoch: `domain`, `epoch`, `loss`, the validation figure, `seconds`."""
        import polars as pl

        frame = pl.DataFrame(self.history, infer_schema_length=None)
        if frame.is_empty():
            return pl.DataFrame(schema={"domain": pl.String, "epoch": pl.Int64})
        whole = pl.col("epoch").cast(pl.Int64)
        return frame.with_columns(whole).select(pl.lit(self.domain).alias("domain"), pl.all())

    def chart(self) -> Chart | None:
        """Learning curves; None where it has fewer than two epochs."""
        from crossrec import plots

        table = self.to_polars()
        if table.height < 2 or JUDGED not in table.columns:
            return None
        return plots.learning_curves(table.rename({JUDGED: "metric"}))

    def rows_shown(self) -> pl.DataFrame | None:
        """No table where curves are drawn."""
        return None if self.to_polars().height > 1 else self.to_polars()


class Trainings(list[Trained]):
    """What one call of `train` gave, one result a domain."""

    def to_polars(self) -> pl.DataFrame:
        """All epochs of all domains."""
        import polars as pl

        return (
            pl.concat([one.to_polars() for one in self], how="diagonal") if self else pl.DataFrame()
        )

    def to_pandas(self) -> Any:
        """The same in pandas; ConfigError without it."""
        return as_pandas(self.to_polars())

    def _repr_html_(self) -> str:
        return "".join(one._repr_html_() for one in self) or html.heading("nothing was trained")


@dataclass(frozen=True, repr=False, eq=False)
class Tuned(Shown, TuneResult):
    """A search: its trials and the best settings."""

    def headline(self) -> str:
        """The best figure of how many trials."""
        return f"{self.domain}: best of {len(self.trials)} trials {self.value:.4f} on validation"

    def facts(self) -> dict[str, Any]:
        """Settings of the best trial."""
        best = next(one for one in self.trials if one.value == self.value)
        return {"trial": best.trial, **best.point}

    def to_polars(self) -> pl.DataFrame:
        """One row a trial: trial, value, state, epochs, seconds, and a column a setting."""
        return self.frame()

    def rows_shown(self) -> pl.DataFrame:
        """Best first, without the column of errors where there is none."""
        frame = self.frame().sort("value", descending=True, nulls_last=True)
        return frame if frame["error"].drop_nulls().len() else frame.drop("error")

    def chart(self) -> Chart:
        """Trials in the order they started, and the best so far."""
        from crossrec import plots

        return plots.trials(self.frame())


@dataclass(frozen=True, repr=False, eq=False)
class Transferred(Shown, TransferReport):
    """What a domain gains from others, by share of its users."""

    def headline(self) -> str:
        """From where to where."""
        return f"{self.target} begins with weights of {', '.join(self.sources)}"

    def facts(self) -> dict[str, Any]:
        """How near the catalogues are, and the release, if one was asked for."""
        near = {f"nearness of {name}": f"{value:.2f}" for name, value in self.nearness.items()}
        return {**near, "data": self.data_hash[:12], "release": self.release}

    def to_polars(self) -> pl.DataFrame:
        """One row a share and start: `share` (as in `10%`), `start`, `ndcg` (NDCG@10 on test),
        `gain` over scratch with its 95 % interval `gain_low` to `gain_high`, `chosen`.
        """
        from crossrec.training import transfer_chart

        return transfer_chart.frame(self)

    def sentences(self) -> list[str]:
        """How the table is read."""
        return [
            "NDCG@10 on test, and behind it the gain over scratch; in brackets: the 95 % interval"
            " over users holds 0, so it may be noise."
        ]

    def rows_shown(self) -> pl.DataFrame:
        """One row a share, one column a start: NDCG@10, and its gain over scratch."""
        import polars as pl

        from crossrec.training.transfer import figure
        from crossrec.training.transfer_chart import PEER

        rows = [
            {
                "share": f"{one.share:.0%}",
                **{attempt.start: one.said(attempt) for attempt in one.attempts},
                PEER: figure(one.best_peer),
            }
            for one in self.shares
        ]
        return pl.DataFrame(rows)

    def chart(self) -> Chart:
        """A line a start; a ring where one was chosen."""
        from crossrec.training import transfer_chart

        return transfer_chart.chart(self)


@dataclass(frozen=True, repr=False, eq=False)
class CrossValidated(Shown, FoldReport):
    """Figures of each fold."""

    def headline(self) -> str:
        """Mean and spread of NDCG@10, or of the task's first figure."""
        import numpy as np

        name = MAIN if MAIN in self.names else self.names[0]
        values = self.values(name)
        mean, spread = np.mean(values), np.std(values, ddof=1)
        return (
            f"{self.domain}: {name} {mean:.4f} ± {spread:.4f} over {len(values)} folds by {self.by}"
        )

    def to_polars(self) -> pl.DataFrame:
        """One row a fold: `fold` from 1, `n` cases, and a column a metric."""
        import polars as pl

        columns = {name: self.values(name) for name in self.names}
        numbers = range(1, len(self.folds) + 1)
        n = [fold.n for fold in self.folds]
        return pl.DataFrame({"fold": list(numbers), "n": n, **columns})
