"""Headings of tables, and the words in their cells that are the app's own, in plain English; the
visitor's language comes from words.py.

Leaves to others: showing tables (view.py), frames (frames.py). Names that come from data (columns
of items, settings of a search) stay as they are, and downloads keep the names that code reads.
"""

from __future__ import annotations

import polars as pl

from app_pages.chart_words import LABELS, say
from app_pages.sentences import of_row, said
from app_pages.words import language, t

HEADINGS = {
    "rank": "rank", "item_id": "item id", "title": "title", "category": "category",
    "score": "score", "reason": "reason", "field": "field", "value": "value", "before": "before",
    "after": "after", "event": "event", "source": "source", "model": "model", "kind": "kind",
    "ndcg@10": "NDCG@10", "recall@10": "Recall@10", "mrr@10": "MRR@10",
    "warm_ndcg@10": "NDCG@10, warm", "cold_ndcg@10": "NDCG@10, cold",
    "warm_recall@10": "Recall@10, warm", "cold_recall@10": "Recall@10, cold",
    "coverage@10": "coverage", "ours_minus": "ours less this one", "low": "lower bound",
    "high": "upper bound", "n": "number", "cold": "share of cold items",
    "head_share": "share of the most popular", "ndcg@10_low": "NDCG@10, lower bound",
    "ndcg@10_high": "NDCG@10, upper bound", "ndcg@10_gap": "gap in NDCG@10",
    "ndcg@10_gap_low": "gap in NDCG@10, lower bound",
    "ndcg@10_gap_high": "gap in NDCG@10, upper bound",
    "recall@10_low": "Recall@10, lower bound", "recall@10_high": "Recall@10, upper bound",
    "recall@10_gap": "gap in Recall@10", "recall@10_gap_low": "gap in Recall@10, lower bound",
    "recall@10_gap_high": "gap in Recall@10, upper bound", "provider": "provider",
    "items": "items", "interactions": "interactions", "shown": "shown", "gap": "gap",
    "gap_low": "gap, lower bound", "gap_high": "gap, upper bound", "user_id": "user",
    "n_history": "length of the history", "rank_a": "rank in A", "rank_b": "rank in B",
    "target": "target", "shown_a": "shown in A", "shown_b": "shown in B", "change": "change",
    "hits_a": "found in A", "hits_b": "found in B", "n_targets": "chosen by",
    "n_train": "interactions",
    "table": "table", "column": "column", "missing": "share missing", "distinct": "distinct values",
    "rows": "rows", "what": "what", "trial": "trial", "state": "state", "epochs": "epochs",
    "seconds": "seconds", "error": "error", "start": "start", "share": "share", "n_users": "users",
    "test": "NDCG@10 on test", "validation": "NDCG@10 on validation", "gain": "gain",
    "chosen": "chosen", "nearness": "nearness", "best_peer": "best peer", "domain": "domain",
    "route": "route", "mean_ms": "mean ms", "p50_ms": "median ms", "p95_ms": "95th percentile ms",
    "version": "version", "at": "time", "why": "why", "application": "application", "day": "day",
    "arm": "arm", "release": "release", "rate": "rate", "rate_low": "rate, lower bound",
    "rate_high": "rate, upper bound", "lift": "lift", "lift_low": "lift, lower bound",
    "lift_high": "lift, upper bound", "n_answers": "answers",
    "n_anonymous": "answers without a user", "n_impressions": "impressions",
    "n_items": "items", "catalogue": "share of the catalogue",
    "n_positive": "events of interest", "status": "status", "answers": "answers",
    "words": "words", "unknown_words": "share of unknown words", "psi": "stability index",
    "rmse": "RMSE", "mae": "MAE", "accuracy": "accuracy", "macro_f1": "macro-F1",
    "set_ndcg@10": "NDCG@10, all right answers", "gain_low": "gain, lower bound",
    "gain_high": "gain, upper bound", "label": "name", "signal": "signal", "objective": "objective",
    "weight": "weight", "per_second": "requests a second", "of": "what",
    "side": "before or after", "stage": "stage", "epoch": "epoch", "move": "what became of it",
    "shared": "items in common", "predicted": "how sure the scores were of the first item",
    "observed": "how often it was right", "standard_error": "standard error",
}  # fmt: skip
"""Column of a frame → its heading."""
WORDS = (
    *("kind", "source", "state", "event", "start", "field", "value", "move"),
    *("signal", "stage"),
)
"""Columns whose cells may hold words of the app's own."""
SENTENCES_IN = {"why": said, "reason": of_row, "what": of_row}
"""Columns whose cells hold sentences of the package → their translation."""


def heading(column: str) -> str:
    """What stands above a column, in the visitor's language; a name from the data as it is."""
    return t(HEADINGS[column]) if column in HEADINGS else t(column) if column in LABELS else column


def in_words(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with its own words in the visitor's language; what is data stays as it is."""
    if language() == "en":
        return frame
    told = dict.fromkeys(WORDS, say) | SENTENCES_IN
    return frame.with_columns(
        pl.col(name).map_elements(translate, pl.String)
        for name, translate in told.items()
        if frame.schema.get(name) == pl.String
    )
