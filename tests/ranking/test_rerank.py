from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.models.text_signals import unit
from crossrec.ranking import rerank
from crossrec.ranking.likeness import by_text, by_values, value_codes
from crossrec.ranking.rerank import SMALL_SHARE, Rules, Small, pick, small_providers, top_k


@pytest.mark.parametrize("k", [1, 3, 5, 9, 12])
def test_top_k_is_the_head_of_a_stable_sort(k: int):
    scores = np.random.default_rng(0).integers(0, 4, 9).astype(np.float32)
    assert top_k(scores, k).tolist() == np.argsort(-scores, kind="stable")[:k].tolist()


def items(scores: list[float], k: int, rules: Rules | None = None) -> list[int]:
    return [one.item_idx for one in pick(np.array(scores, np.float64), k, rules or Rules())]


def test_without_rules_the_list_is_the_order_of_the_scores():
    assert items([1, 3, -math.inf, 3, 2], 4) == [1, 3, 4, 0]
    assert items([1, 2], 5) == [1, 0]
    assert items([-math.inf], 5) == []


def test_no_more_of_a_value_than_allowed_and_items_without_one_are_free():
    codes = value_codes([["a", "b"], ["a"], ["b"], [], ["a"], []])
    assert items([6, 5, 4, 3, 2, 1], 6, Rules(at_most=[(codes, 1)])) == [0, 3, 5]
    assert items([6, 5, 4, 3, 2, 1], 6, Rules(at_most=[(codes, 2)])) == [0, 1, 2, 3, 5]


def test_pins_stand_where_they_were_put_and_count_for_limits_from_the_start():
    codes = value_codes([["a"], ["a"], ["b"], ["b"]])
    assert items([4, 3, 2, 1], 4, Rules(pinned={2: 3})) == [0, 3, 1, 2]
    assert items([4, 3, 2, 1], 4, Rules(pinned={3: 3}, at_most=[(codes, 1)])) == [0, 3]
    picked = pick(np.array([4.0, 3, -math.inf]), 3, Rules(pinned={1: 2}))
    assert [(one.item_idx, one.pinned) for one in picked] == [(2, True), (0, False), (1, False)]


def test_more_pins_than_places_are_left_out_from_the_end():
    assert items([-math.inf] * 3, 2, Rules(pinned={1: 0, 2: 1})) == [0, 1]


def test_a_copy_of_the_first_item_comes_after_something_else():
    vectors = unit(np.array([[1, 0], [1, 0.01], [0, 1]], np.float32))
    rules = Rules(alike=by_text(vectors), diversity=5.0)
    picked = pick(np.array([3.0, 2.9, 1.0]), 3, rules)
    assert [one.item_idx for one in picked] == [0, 2, 1]
    assert picked[0].diversity == 0
    assert picked[1].diversity == pytest.approx(0, abs=1e-6)
    assert picked[2].diversity == pytest.approx(-5, abs=1e-2)


def test_likeness_by_values_is_the_share_in_common():
    codes = value_codes([["a", "b"], ["b", "c"], ["a", "b"], []])
    likeness = by_values(codes)(np.arange(4))
    assert likeness(0).tolist() == pytest.approx([1, 1 / 3, 1, 0])
    assert likeness(3).tolist() == [0, 0, 0, 0]


def test_small_providers_together_have_at_most_the_share():
    codes = value_codes([["big"], ["big"], ["mid"], ["tiny"], ["new"], []])
    found = small_providers(codes, np.array([50, 30, 15, 5, 0, 100]))
    assert found.small.tolist() == [False, False, True, True, True, False]  # 20 of 100
    assert found.known.tolist() == [True] * 5 + [False]
    unseen = small_providers(value_codes([["a"]] * 5 + [["b"]]), np.zeros(6, np.int64))
    assert unseen.small.tolist() == [False] * 5 + [True]
    of_nobody = np.array([0] * 6 + [7])  # only an item of no provider was ever seen
    found = small_providers(value_codes([["a"]] * 5 + [["b"], []]), of_nobody)
    assert found.small.tolist() == [False] * 5 + [True, False]


def _share_of_small(picked: list[int], small: np.ndarray) -> float:
    exposure = 1 / np.log2(2 + np.arange(len(picked)))
    return float(exposure[small[picked]].sum() / exposure.sum())


def test_exposure_brings_small_providers_up_to_their_share_and_not_far_beyond():
    small = np.arange(40) >= 30
    rules = Rules(providers=Small(small, np.ones(40, bool)), exposure=100.0)
    scores = list(np.linspace(4, 1, 40))
    plain, fair = items(scores, 20), items(scores, 20, rules)
    assert _share_of_small(plain, small) == 0
    assert SMALL_SHARE * 0.75 <= _share_of_small(fair, small) <= SMALL_SHARE * 1.25
    assert fair[0] == 0  # the first position was fair before it
    mild = items(scores, 20, Rules(providers=rules.providers, exposure=2.5))
    assert 0 < _share_of_small(mild, small) <= _share_of_small(fair, small)


@dataclass(frozen=True)
class World:
    scores: np.ndarray
    k: int
    rules: Rules


@st.composite
def worlds(draw: st.DrawFn) -> World:
    n = draw(st.integers(1, 40))
    seed = draw(st.integers(0, 10_000))
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=n)
    scores[rng.random(n) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = -np.inf
    values = [[f"{v}" for v in rng.integers(0, 4, rng.integers(0, 3))] for _ in range(n)]
    k = draw(st.integers(1, 15))
    pins = rng.permutation(n)[: draw(st.integers(0, min(3, n, k)))]
    places = rng.permutation(k)[: len(pins)] + 1
    providers = value_codes([[f"{v}"] if v else [] for v in rng.integers(0, 5, n)])
    rules = Rules(
        at_most=[(value_codes(values), limit) for limit in draw(st.lists(st.integers(1, 3)))][:2],
        pinned={int(place): int(item) for place, item in zip(places, pins, strict=True)},
        alike=by_text(unit(rng.normal(size=(n, 3)).astype(np.float32))),
        diversity=draw(st.sampled_from([0.0, 0.5, 3.0])),
        providers=small_providers(providers, rng.integers(0, 20, n)),
        exposure=draw(st.sampled_from([0.0, 0.5, 3.0])),
    )
    return World(scores, k, rules)


@settings(deadline=None)
@given(worlds())
def test_every_list_keeps_to_its_rules(world: World):
    found = pick(world.scores, world.k, world.rules)
    picked = [one.item_idx for one in found]
    pinned = world.rules.pinned
    assert len(set(picked)) == len(picked) <= world.k
    free = [one.item_idx for one in found if not one.pinned]
    assert (world.scores[free] > -np.inf).all()
    assert {one.item_idx for one in found if one.pinned} == set(pinned.values())
    for position, item in pinned.items():
        assert picked.index(item) + 1 <= position
        assert picked.index(item) + 1 == position or len(picked) < world.k
    for codes, limit in world.rules.at_most:
        of_pins = Counter(v for item in pinned.values() for v in codes[item][codes[item] >= 0])
        counts = Counter(v for item in picked for v in codes[item][codes[item] >= 0])
        assert all(count <= max(limit, of_pins[value]) for value, count in counts.items())


@settings(deadline=None)
@given(worlds())
def test_a_list_is_no_shorter_than_it_has_to_be(world: World):
    found = pick(world.scores, world.k, world.rules)
    picked = {one.item_idx for one in found}
    if len(picked) == world.k:
        return
    for item in np.flatnonzero(world.scores > -np.inf):
        assert item in picked or any(
            sum(value in codes[other] for other in picked) >= limit
            for codes, limit in world.rules.at_most
            for value in codes[item][codes[item] >= 0]
        )


@settings(deadline=None)
@given(worlds())
def test_a_small_pool_gives_the_same_list_as_the_whole_catalogue(world: World):
    whole = pick(world.scores, world.k, world.rules)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rerank, "MIN_POOL", 1)
        patch.setattr(rerank, "POOL_SHARE", 1)
        assert pick(world.scores, world.k, world.rules) == whole


@settings(deadline=None)
@given(worlds())
def test_scores_by_then_fall_down_the_list_without_pins_and_exposure(world: World):
    rules = Rules(world.rules.at_most, {}, world.rules.alike, world.rules.diversity)
    found = pick(world.scores, world.k, rules)
    by_then = [world.scores[one.item_idx] + one.diversity for one in found]
    assert all(a >= b - 1e-9 for a, b in pairwise(by_then))
