"""A watched stream, as a notebook shows it.

Leaves to others: labelling, counting and the alarms (monitoring/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crossrec.monitoring.report import WatchReport
from crossrec.shown.base import Shown

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart

FIGURES = ("topic", "start", "n", "hits", "share", "usual", "limit", "p_value")


@dataclass(frozen=True, repr=False, eq=False)
class Watched(Shown, WatchReport):
    """Shares of a label by topic and period, and the periods that are unusual."""

    def headline(self) -> str:
        """How many alarms in how many periods."""
        found, all_of = len(self.alarms), len(self.periods)
        return f"{self.label}: {found} of {all_of} topics' periods of {self.every} raise an alarm"

    def facts(self) -> dict[str, Any]:
        """What counts as unusual."""
        return dict(vars(self.rule))

    def to_polars(self) -> pl.DataFrame:
        """One row a topic and period, see `WatchReport.periods`."""
        return self.periods

    def rows_shown(self) -> pl.DataFrame:
        """The alarms, the least likely first."""
        return self.alarms.sort("p_value").select(FIGURES)

    def chart(self) -> Chart | None:
        """A panel a topic; None where nothing was counted."""
        from crossrec.monitoring.chart import chart

        return None if self.periods.is_empty() else chart(self)
