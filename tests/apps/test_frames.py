"""Messages as frames and as text for the app."""

from __future__ import annotations

from types import ModuleType

import pytest

from crossrec.serving.messages import Recommendation, UserHistoryItem
from tests.apps.conftest import APPS


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`apps/app_pages/frames.py`, imported as the app does."""
    monkeypatch.syspath_prepend(str(APPS))
    from app_pages import frames

    return frames


def item(rank: int, item_id: str, **columns: object) -> Recommendation:
    return Recommendation(rank=rank, item_id=item_id, title="T", score=1.0, item=columns)


def past(timestamp: int, source: str = "training") -> UserHistoryItem:
    return UserHistoryItem(
        item_id="1", title="T", event="rating", timestamp=timestamp, source=source
    )


def test_signs_of_markdown_are_escaped(frames: ModuleType) -> None:
    assert frames.plain("Se7en: $9 [*]") == r"Se7en\: \$9 \[\*\]"


def test_movements_name_what_is_new_rose_and_fell(frames: ModuleType) -> None:
    now = [item(1, "c"), item(2, "x"), item(3, "a"), item(4, "d")]
    assert frames.movements(["a", "b", "c", "d"], now) == {"c": "▲2", "x": "new", "a": "▼2"}


def test_where_times_are_no_clocks_rows_are_numbered(frames: ModuleType) -> None:
    known = [past(1_790_000_000, "feedback"), past(2), past(1)]
    assert frames.history(known, clock=False)["timestamp"].to_list() == [3, 2, 1]
    assert frames.history(known, clock=True)["timestamp"].to_list() == [1_790_000_000, 2, 1]


def test_facts_are_all_told_but_what_is_empty_and_long_ones_cut(frames: ModuleType) -> None:
    line = frames.facts(item(1, "a", plot="x" * 99, seen=None, price_eur=2.6900001, district="Old"))
    assert line == f"plot {'x' * 59}… · price eur 2.69 · district Old"


def test_a_ranking_of_items_with_different_columns_is_one_table(frames: ModuleType) -> None:
    table = frames.ranking([item(1, "a", tags=["x", "y"]), item(2, "b", price=2.5)])
    assert table["tags"].to_list() == ["x, y", None]
    assert table["price"].to_list() == [None, 2.5]
