"""A release, and a list of them, as a notebook shows them; the door to answers in this process.

Leaves to others: reading the folder (releases/), answering (verbs/answering.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec.releases import store
from crossrec.shown import html
from crossrec.shown.base import Shown, as_pandas

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart
    from crossrec.verbs.answering import Opened

MAIN = "ndcg@10"
PARTS = ("all", "warm", "cold")


@dataclass(frozen=True, repr=False, eq=False)
class Release(Shown, store.Release):
    """One immutable folder, with the figures of its evaluation."""

    def open(self, learning: bool = False) -> Opened:
        """Answers of this release in this process, without a service; close it, or use `with`.

        Args:
            learning: let the weights of objectives be learned from feedback, see `Opened.learn`.

        Raises:
            ReleaseError: it is damaged.
        """
        from crossrec.verbs.answering import Opened

        return Opened(self, learning)

    def headline(self) -> str:
        """Domain, version, and whether it is current."""
        return f"{self.domain} {self.version}{', current' if self.is_current else ''}"

    def facts(self) -> dict[str, Any]:
        """What it was made from and with."""
        manifest = self.manifest
        size = sum(entry.size_bytes for entry in manifest.files.values())
        return {
            "protocol": manifest.protocol,
            "task": self.task,
            "items": manifest.n_items,
            "users": manifest.n_users,
            "data": manifest.data_hash[:12],
            "settings": manifest.config_digest,
            "seed": manifest.seed,
            "encoder": manifest.encoder.rsplit("/", 1)[-1],
            "adapter": self.adapter_folder is not None,
            "MiB": round(size / 2**20, 1),
        }

    def sentences(self) -> list[str]:
        """That nothing was learned from, where that is so."""
        untaught = self.metrics.get("untaught")
        return [untaught] if untaught else []

    def to_polars(self) -> pl.DataFrame:
        """Columns `targets` (all, warm, cold), `metric`, `value`, `low`, `high`, `n`.

        `low` and `high` are the 95 % interval over users, of all targets together; `n` is the
        number of cases.
        """
        import polars as pl

        known, rows = self.metrics, []
        intervals = known.get("ci95", {})
        for name, value in known.get("metrics", {}).items():
            low, high = intervals.get(name) or (None, None)
            rows.append(("all", name, value, low, high, known.get("n")))
        for part in PARTS[1:]:
            of = dict(known.get(part, {}))
            n = of.pop("n", 0)
            rows += [(part, name, value, None, None, n) for name, value in of.items() if n]
        figures = dict.fromkeys(("value", "low", "high"), pl.Float64)
        names = {"targets": pl.String, "metric": pl.String}
        return pl.DataFrame(rows, {**names, **figures, "n": pl.Int64}, orient="row")

    def chart(self) -> Chart | None:
        """NDCG@10 over all, warm and cold targets; None where nothing was judged by it."""
        import polars as pl

        from crossrec import study_plots

        table = self.to_polars().filter(metric=MAIN).drop_nulls("value")
        if table.is_empty():
            return None
        return study_plots.targets(table.with_columns(model=pl.lit(self.domain)))


class Releases(list[Release]):
    """Releases, oldest first."""

    def to_polars(self) -> pl.DataFrame:
        """One row a release: what it is, what made it, and its NDCG@10."""
        import polars as pl

        rows = [
            {
                "domain": one.domain,
                "version": one.version,
                "current": one.is_current,
                "protocol": one.manifest.protocol,
                MAIN: one.metrics.get("metrics", {}).get(MAIN),
                "cases": one.metrics.get("n"),
                "data": one.manifest.data_hash[:12],
                "settings": one.manifest.config_digest,
            }
            for one in self
        ]
        kinds = {MAIN: pl.Float64, "cases": pl.Int64}
        return pl.DataFrame(rows, schema_overrides=kinds, infer_schema_length=None)

    def to_pandas(self) -> Any:
        """The same in pandas; ConfigError without it."""
        return as_pandas(self.to_polars())

    def _repr_html_(self) -> str:
        title = f"{len(self)} release{'' if len(self) == 1 else 's'}, oldest first"
        return html.heading(title) + html.table(self.to_polars())
