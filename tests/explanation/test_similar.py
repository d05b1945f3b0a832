"""Users like this one are told of in counts, and only where there are many."""

from __future__ import annotations

import numpy as np

from crossrec.explanation.similar import MIN_CHOSE, MIN_GROUP, Group, similar_users

HISTORY = np.array([1, 2, 3], np.int32)


def users(*groups: tuple[int, list[int]]) -> list[tuple[str, np.ndarray]]:
    rows = [items for n, items in groups for _ in range(n)]
    return [(f"u{n}", np.array(items, np.int32)) for n, items in enumerate(rows)]


def test_the_most_alike_who_are_many_enough_are_counted() -> None:
    # 3 users with three in common are too few; with the 20 who have two there are enough
    others = users((3, [1, 2, 3, 9]), (12, [1, 2, 9]), (8, [2, 3]), (40, [1]), (40, [7]))
    assert similar_users(others, HISTORY, 9) == Group(23, 2, 15)


def test_small_groups_and_few_who_chose_are_not_told() -> None:
    assert similar_users(users((MIN_GROUP - 1, [1, 9]), (99, [8])), HISTORY, 9) is None
    few = users((MIN_CHOSE - 1, [1, 9]), (MIN_GROUP, [1]))
    assert similar_users(few, HISTORY, 9) is None
    assert similar_users([*few, ("u", np.array([1, 9]))], HISTORY, 9) is not None


def test_the_user_is_none_of_the_others() -> None:
    others = users((MIN_GROUP, [1, 2, 9]))
    assert similar_users(others, HISTORY, 9) == Group(MIN_GROUP, 2, MIN_GROUP)
    assert similar_users(others, HISTORY, 9, user_id="u0") is None


def test_who_is_hidden_does_not_count() -> None:
    others = users((MIN_GROUP, [1, 2, 9]))
    assert similar_users(others, HISTORY, 9, hides=lambda user: user == "u3") is None
    wider = users((MIN_GROUP, [1, 2, 9]), (30, [3]))
    asked: list[str] = []

    def hides(user: str) -> bool:
        asked.append(user)
        return user in ("u3", "u25")

    assert similar_users(wider, HISTORY, 9, hides=hides) == Group(48, 1, MIN_GROUP - 1)
    assert len(asked) == len(set(asked)) == 50
