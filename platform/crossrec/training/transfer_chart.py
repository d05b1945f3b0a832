"""Figure of a transfer: quality by share of the users, one line a start.

Leaves to others: the figures (transfer.py), colours (chart_parts.py), saving (plots.py).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from crossrec.chart_parts import GREY, WIDTH, Chart, domain_colour
from crossrec.training.transfer import AVERAGE, MAIN, SCRATCH, SHARED, TransferReport

PEER = "best peer"
OTHERS = {SCRATCH: "#30363d", AVERAGE: "#c9a400", SHARED: "#6b3d0c", PEER: GREY}


def frame(report: TransferReport) -> pl.DataFrame:
    """Columns `share` (as in `10%`), `start`, `ndcg`, `chosen`; in the order tried."""
    rows = []
    for one in report.shares:
        share = f"{one.share:.0%}"
        rows += [
            (share, a.start, a.test.mean(MAIN), a.start == one.chosen.start) for a in one.attempts
        ]
        rows.append((share, PEER, one.best_peer.test.mean(MAIN), False))
    return pl.DataFrame(rows, ["share", "start", "ndcg", "chosen"], orient="row")


def chart(report: TransferReport) -> Chart:
    """NDCG@10 on test by share of the users: lines of starts, rings where one was chosen."""
    table = frame(report)
    names = table["start"].unique(maintain_order=True).to_list()
    colours = [OTHERS.get(name) or domain_colour(name) for name in names]
    shares = table["share"].unique(maintain_order=True).to_list()
    base = alt.Chart(table).encode(
        x=alt.X("share:O", sort=shares, title="users learned from", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("ndcg:Q", title="NDCG@10 (test)"),
        color=alt.Color("start:N", title="begins with").scale(domain=names, range=colours),
        tooltip=["share:N", "start:N", alt.Tooltip("ndcg:Q", format=".4f"), "chosen:N"],
    )
    rings = base.transform_filter("datum.chosen").mark_point(size=180, strokeWidth=2)
    lines = base.mark_line(point=True).encode(
        strokeDash=alt.condition(alt.datum.start == PEER, alt.value([4, 3]), alt.value([1, 0]))
    )
    title = f"{report.target} begins with weights of others (ring: chosen on validation)"
    return (lines + rings).properties(width=WIDTH, height=260, title=title)
