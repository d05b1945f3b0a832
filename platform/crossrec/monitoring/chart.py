"""The chart of a watched stream: shares over time, the usual range, and the alarms.

Leaves to others: colours (chart_parts.py), saving (plots.py), the figures (report.py).
"""

from __future__ import annotations

import altair as alt

from crossrec.chart_parts import GREY, WIDTH, Chart
from crossrec.errors import DataError
from crossrec.monitoring.report import WatchReport

MOST_TOPICS = 6
ALARM = "#d1495b"
LINE = "#3f83c9"


def chart(report: WatchReport, n_topics: int = MOST_TOPICS) -> Chart:
    """One panel a topic, the largest first: the share, the range up to its limit, red alarms.

    Raises:
        DataError: nothing was counted.
    """
    if report.periods.is_empty():
        raise DataError("the chart got a report without periods; expected at least one")
    topics = report.periods["topic"].unique(maintain_order=True).head(n_topics).to_list()
    frame = report.periods.filter(report.periods["topic"].is_in(topics))
    base = alt.Chart(frame).encode(
        x=alt.X("start:T", title=f"time (UTC, periods of {report.every})"),
        tooltip=[
            alt.Tooltip("start:T"),
            alt.Tooltip("n:Q", title="texts"),
            alt.Tooltip("share:Q", format=".3f"),
            alt.Tooltip("limit:Q", format=".3f"),
            alt.Tooltip("p_value:Q", format=".2g"),
        ],
    )
    title = f"share of {report.label}"
    share = alt.Y("share:Q", title=title).scale(domain=[0, 1])
    band = base.mark_area(color=GREY, opacity=0.25).encode(
        y=alt.Y("usual:Q", title=title), y2="limit:Q"
    )
    line = base.mark_line(color=LINE, strokeWidth=1).encode(y=share)
    dots = base.mark_circle(color=LINE, opacity=0.8).encode(
        y=share, size=alt.Size("n:Q", legend=alt.Legend(title="texts", orient="top"))
    )
    alarms = base.transform_filter("datum.alarm").mark_point(
        color=ALARM, size=120, shape="triangle-up", filled=True
    )
    panel = (band + line + dots + alarms.encode(y=share)).properties(width=WIDTH, height=110)
    return panel.facet(row=alt.Row("topic:N", sort=topics, title=None))
