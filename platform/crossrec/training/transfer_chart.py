"""Figure of a transfer: quality by share of the users, one line a start.

Leaves to others: the figures (transfer.py), colours (chart_parts.py), saving (plots.py).
"""

from __future__ import annotations

import altair as alt
import polars as pl

from crossrec.chart_parts import GREY, WIDTH, Chart, domain_colour
from crossrec.training.transfer import AVERAGE, MAIN, SCRATCH, SHARED, TransferReport

PEER = "best peer"
COLUMNS = {
    "share": pl.String,
    "start": pl.String,
    "ndcg": pl.Float64,
    "gain": pl.Float64,
    "gain_low": pl.Float64,
    "gain_high": pl.Float64,
    "chosen": pl.Boolean,
}
OTHERS = {SCRATCH: "#30363d", AVERAGE: "#c9a400", SHARED: "#6b3d0c", PEER: GREY}


def frame(report: TransferReport) -> pl.DataFrame:
    """One row a share and start, in the order tried, and one of the best peer.

    Columns `share` (as in `10%`), `start`, `ndcg` (on test), `gain` over scratch with the ends
    `gain_low` and `gain_high` of its 95 % interval over users (null for scratch and the peer),
    `chosen`.
    """
    rows = []
    for one in report.shares:
        share, chosen = f"{one.share:.0%}", one.chosen.start
        for a in one.attempts:
            gain = one.gains.get(a.start, (None, None, None))
            rows.append((share, a.start, a.test.mean(MAIN), *gain, a.start == chosen))
        rows.append((share, PEER, one.best_peer.test.mean(MAIN), None, None, None, False))
    return pl.DataFrame(rows, COLUMNS, orient="row")


def chart(report: TransferReport) -> Chart:
    """NDCG@10 on test by share of the users: lines of starts, rings where one was chosen."""
    table = frame(report)
    names = table["start"].unique(maintain_order=True).to_list()
    colours = [OTHERS.get(name) or domain_colour(name) for name in names]
    gains = [alt.Tooltip(f"{name}:Q", format="+.4f") for name in ("gain", "gain_low", "gain_high")]
    shares = table["share"].unique(maintain_order=True).to_list()
    base = alt.Chart(table).encode(
        x=alt.X("share:O", sort=shares, title="users learned from", axis=alt.Axis(labelAngle=0)),
        y=alt.Y("ndcg:Q", title="NDCG@10 (test)"),
        color=alt.Color("start:N", title="begins with").scale(domain=names, range=colours),
        tooltip=[
            "share:N", "start:N",
            alt.Tooltip("ndcg:Q", format=".4f"),
            *gains, "chosen:N",
        ],
    )  # fmt: skip
    rings = base.transform_filter("datum.chosen").mark_point(size=180, strokeWidth=2)
    lines = base.mark_line(point=True).encode(
        strokeDash=alt.condition(alt.datum.start == PEER, alt.value([4, 3]), alt.value([1, 0]))
    )
    title = f"{report.target} begins with weights of others (ring: chosen on validation)"
    return (lines + rings).properties(width=WIDTH, height=260, title=title)
