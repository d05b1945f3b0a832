"""Figures of an evaluation: which a page shows, what they are called, which way is better.

They follow the task: its own come first, then those of the ranking. Leaves to others: the figures
themselves (`crossrec evaluate`), showing them (the pages).
"""

from __future__ import annotations

from collections.abc import Container

from app_pages.headings import heading
from app_pages.words import t

FIGURES = (
    *("rmse", "mae", "macro_f1", "accuracy", "set_ndcg@10"),
    *("ndcg@10", "recall@10", "mrr@10", "coverage@10"),
)
"""In the order in which they are shown; those of tasks and of requests before the ranking's."""
LOWER_IS_BETTER = ("rmse", "mae")


def known(names: Container[str]) -> list[str]:
    """Those of FIGURES that are among `names`, in their order."""
    return [name for name in FIGURES if name in names]


def named(name: str) -> str:
    """What a figure is called; where lower is better, that it is."""
    if name not in LOWER_IS_BETTER:
        return heading(name)
    return t("{name} (lower is better)", name=heading(name))
