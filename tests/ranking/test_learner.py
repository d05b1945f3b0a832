"""The conditional logit against hand-worked figures and simulated choices; caps; policies."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossrec.domains.spec import ContextField
from crossrec.ranking.learner import POSITION, Belief, Choice, parameter_names
from crossrec.ranking.learner_caps import Caps
from crossrec.ranking.learner_policy import (
    N_ARMS,
    Drawn,
    Exploration,
    Frame,
    arms_of,
    features_of,
)

K = 10


def frame(within: float = 2.0, declared: tuple[float, ...] = (0.0, 0.0), features=()) -> Frame:
    return Frame(("price", "fresh"), declared, 1.0, within, tuple(features))


def choices(
    n: int,
    truth: np.ndarray,
    rng: np.random.Generator,
    ranked_by: np.ndarray | None = None,
    n_context: int = 0,
) -> list[Choice]:
    """Lists of K items ranked by some weights, and what people with these parameters take."""
    found = []
    for _ in range(n):
        relevance, standings = rng.normal(size=K), rng.uniform(-1.7, 1.7, (K, 2))
        if ranked_by is not None:
            order = np.argsort(-(relevance + standings @ (ranked_by + rng.normal(0, 0.3, 2))))
            relevance, standings = relevance[order], standings[order]
        context = rng.integers(2, size=n_context).astype(float)
        shown = Choice(relevance, standings, 0, np.ones(K, bool), context)
        utilities = shown.design() @ truth + rng.gumbel(size=K)
        found.append(replace(shown, taken=int(utilities.argmax())))
    return found


def learned(seen: list[Choice], of: Frame, batch: int = 50, half_life: float = 1e9) -> Belief:
    prior = of.prior()
    belief = prior
    for start in range(0, len(seen), batch):
        belief = belief.updated(seen[start : start + batch], prior, half_life)
    return belief


def test_one_choice_between_two_items_moves_the_mean_as_worked_by_hand():
    """One parameter that matters: z is 1 and -1, prior N(0, 1). The mean m solves
    m = 2 (1 - 1 / (1 + exp(-2 m))): 2 times the chance of the other item.
    """
    prior = Belief(("relevance", "price", "position"), np.zeros(3), np.diag([1e9, 1.0, 1e9]))
    one = Choice(np.zeros(2), np.array([[1.0], [-1.0]]), 0, np.ones(2, bool))
    after = prior.updated([one], prior, half_life=1e9)
    m = after.mean[1]
    share = 1 / (1 + np.exp(-2 * m))
    assert m == pytest.approx(2 * (1 - share), abs=1e-6)
    assert after.precision[1, 1] == pytest.approx(1 + 4 * share * (1 - share), abs=1e-6)
    assert after.mean[[0, 2]] == pytest.approx(0, abs=1e-6)


def test_what_was_taken_out_of_the_list_before_is_no_rival():
    prior = frame().prior()
    standings = np.array([[1.0, 0.0], [0.0, 0.0], [-1.0, 0.0]])
    all_left = Choice(np.zeros(3), standings, 1, np.ones(3, bool))
    first_gone = replace(all_left, left=np.array([False, True, True]))
    price = [prior.updated([one], prior, 1e9).mean[1] for one in (all_left, first_gone)]
    assert price[1] > price[0]


def test_true_weights_are_found_although_people_look_at_the_top_first():
    truth = np.array([1.5, 0.9, -0.6, 1.0])
    rng = np.random.default_rng(0)
    seen = choices(4000, truth, rng, ranked_by=np.array([0.0, 0.0]))
    found = learned(seen, frame())
    assert found.mean == pytest.approx(truth, abs=0.12)
    weights = frame().weights(found.mean, np.zeros(0))
    assert weights == pytest.approx({"price": 0.6, "fresh": -0.4}, abs=0.1)


def test_without_a_term_for_positions_the_order_shown_would_be_taken_for_taste():
    """What the term is there for: lists ranked by price, by people who do not care for it."""
    truth = np.array([0.5, 0.0, 0.0, 1.5])
    rng = np.random.default_rng(1)
    seen = choices(3000, truth, rng, ranked_by=np.array([1.5, 0.0]))
    blind = [
        replace(one, relevance=one.relevance[o], standings=one.standings[o],
                taken=int(np.flatnonzero(o == one.taken)[0]))
        for one in seen
        for o in [rng.permutation(K)]
    ]  # fmt: skip
    assert abs(learned(seen, frame()).mean[1]) < 0.1
    assert learned(blind, frame()).mean[1] > 0.3


def test_batches_of_any_size_lead_to_about_the_same_belief():
    seen = choices(400, np.array([1.0, 0.7, 0.2, 0.5]), np.random.default_rng(2))
    one, all_at_once = learned(seen, frame(), 1), learned(seen, frame(), 400)
    deviations = np.sqrt(np.diag(np.linalg.inv(all_at_once.precision)))
    assert np.abs(one.mean - all_at_once.mean).max() < 0.6 * deviations.max()


def test_tastes_that_change_are_followed_where_old_choices_fade():
    rng = np.random.default_rng(3)
    before = choices(3000, np.array([1.0, 1.0, 0, 0.5]), rng)
    after = choices(1000, np.array([1.0, -1.0, 0, 0.5]), rng)
    assert learned(before + after, frame(), half_life=300).mean[1] < -0.7
    assert learned(before + after, frame()).mean[1] > 0


def test_the_context_that_matters_is_learned():
    fields = [ContextField(name="weather", kind="category")]
    features = features_of(fields, {"weather": ["sun", "rain"]})
    of = Frame(("price", "fresh"), (0.0, 0.0), 1.0, 2.0, tuple(features))
    assert list(of.prior().names) == parameter_names(of.objectives, ["weather=sun", "weather=rain"])
    truth = np.array([1.0, 0.0, 0.3, 0.0, 0.8, 0.0, 0.0, 0.5])  # price matters in rain
    found = learned(choices(3000, truth, np.random.default_rng(4), n_context=2), of)
    dry = of.weights(found.mean, of.context({"weather": np.array([0.0])}))
    wet = of.weights(found.mean, of.context({"weather": np.array([1.0])}))
    assert abs(dry["price"]) < 0.25
    assert wet["price"] > 0.5
    unknown = of.context({"weather": np.array([np.nan])})
    assert unknown.tolist() == of.context({}).tolist() == [0, 0]


def test_features_are_cycles_and_small_categories_and_nothing_that_restricts():
    fields = [
        ContextField(name="hour", kind="cycle", period=24),
        ContextField(name="city", kind="category", restricts="city"),
        ContextField(name="shop", kind="category"),
        ContextField(name="company", kind="category"),
        ContextField(name="temperature", kind="number"),
    ]
    many = [str(n) for n in range(40)]
    values = {"city": ["Graz"], "shop": many, "company": ["alone", "family"]}
    names = [one.name for one in features_of(fields, values)]
    assert names == ["hour:sine", "hour:cosine", "company=alone", "company=family"]


@given(st.lists(st.floats(-50, 50), min_size=4, max_size=4), st.floats(0.05, 3))
@settings(max_examples=50, deadline=None)
def test_weights_stay_within_their_bounds_whatever_is_believed(parameters, within):
    of = frame(within, declared=(0.5, -9.5))
    found = of.weights(np.array(parameters), np.zeros(0))
    assert 0.5 - within <= found["price"] <= 0.5 + within
    assert max(-9.5 - within, -10) <= found["fresh"] <= -9.5 + within


def test_before_anything_is_learned_the_weights_are_the_declared_ones():
    of = Frame(("price", "fresh"), (0.5, -0.25), 2.0, 1.0)
    assert of.weights(of.prior().mean, np.zeros(0)) == {"price": 0.5, "fresh": -0.25}


def test_exploring_keeps_to_its_share_and_says_how_likely_it_was():
    policy = Exploration(0.1, "salt")
    found = [policy.arm(f"user-{n}", 0) for n in range(20_000)]
    arms = np.array([arm for arm, _ in found])
    for n in (10, 100, 1000, 20_000):
        assert (arms[:n] > 0).sum() <= 0.1 * n
    assert 0.08 < (arms > 0).mean() <= 0.1
    assert set(arms) == set(range(N_ARMS))
    for arm, propensity in found:
        assert propensity in ((0.9, 1.0) if arm == 0 else (0.1 / (N_ARMS - 1),))
    counted = vars(policy).copy()
    by_hash = np.array([policy.arm_by_hash(f"user-{n}", 0)[0] for n in range(20_000)])
    assert (by_hash[arms > 0] == arms[arms > 0]).all()
    assert vars(policy) == counted


def test_somebody_keeps_an_arm_for_an_hour_on_every_replica():
    one, other = Exploration(0.5, "salt"), Exploration(0.5, "salt")
    for _ in range(50):  # so that the bound on the share leaves room
        other.arm("greedy", -1)
        one.arm("greedy", -1)
    assert len({one.arm("user-3", 1)[0] for _ in range(5)}) <= 2  # 0 where the bound comes first
    assert {other.arm("user-3", 1)[0], 0} >= {one.arm("user-3", 1)[0]}
    assert Exploration(0.0, "salt").arm("anybody", 0) == (0, 1.0)


def test_propensities_are_right_over_many_salts():
    """The share of salts in which somebody gets an arm is the propensity that is logged."""
    counts = np.zeros(N_ARMS)
    for n in range(4000):
        policy = Exploration(0.4, f"salt-{n}")
        for _ in range(9):
            policy.arm("others", 0)
        if policy._n_explored + 1 <= 0.4 * 10:
            counts[policy.arm("user", 0)[0]] += 1
    shares = counts / counts.sum()
    assert shares[0] == pytest.approx(0.6, abs=0.03)
    assert shares[1:] == pytest.approx(0.4 / (N_ARMS - 1), abs=0.02)


def test_arms_are_the_mean_and_draws_that_move_as_slowly_as_the_belief():
    seen = choices(200, np.array([1.0, 0.7, 0.2, 0.5]), np.random.default_rng(5))
    belief = learned(seen, frame())
    arms = arms_of(belief, "salt")
    assert arms[0].tolist() == belief.mean.tolist()
    assert arms.tolist() == arms_of(belief, "salt").tolist()
    deviations = np.sqrt(np.diag(np.linalg.inv(belief.precision)))
    many = belief.draws(np.random.default_rng(6).standard_normal((20_000, 4)))
    assert many.std(axis=0) == pytest.approx(deviations, rel=0.05)
    after = belief.updated(seen[:1], frame().prior(), 1e9)
    assert np.abs(arms_of(after, "salt") - arms).max() < deviations.max()
    assert Drawn({}, 1, 0, 1.0).explored is False


def test_a_belief_is_written_and_read_exactly_and_so_is_its_frame():
    features = features_of([ContextField(name="hour", kind="cycle", period=24)], {})
    of = Frame(("price",), (0.25,), 1.0, 1.0, tuple(features))
    belief = of.prior()
    again = Belief.from_json(json.loads(json.dumps(belief.as_json())))
    assert again.names == belief.names
    assert (again.mean == belief.mean).all()
    assert (again.precision == belief.precision).all()
    assert Frame.from_json(json.loads(json.dumps(of.as_json()))) == of


def test_a_new_objective_begins_at_its_prior_and_the_others_keep_what_was_learned():
    belief = learned(
        choices(500, np.array([1.0, 0.7, 0.2, 0.5]), np.random.default_rng(7)), frame()
    )
    wider = Frame(("fresh", "margin", "price"), (0.0, 0.3, 0.0), 1.0, 2.0).prior()
    after = belief.renamed(wider)
    of = dict(zip(after.names, after.mean, strict=True))
    before = dict(zip(belief.names, belief.mean, strict=True))
    assert of["margin"] == 0.3
    for name in ("price", "fresh", POSITION):
        assert of[name] == before[name]
    kept = np.linalg.inv(after.precision)[after.names.index("price"), after.names.index("fresh")]
    assert kept == pytest.approx(np.linalg.inv(belief.precision)[1, 2])


def test_a_burst_of_one_user_or_one_address_counts_up_to_the_cap_and_is_flagged():
    caps = Caps(per_user=3, per_address=5, window_s=60)
    assert [caps.take("loud", "a", 1) for _ in range(5)] == [1, 1 / 2, 1 / 3, 0, 0]
    # the address has had five by now, so others from there wait for the next window
    assert caps.take("quiet", "a", 2) == 0
    assert caps.take("quiet", "b", 2) == 1 / 2
    assert caps.take("quiet", None, 3) == 1 / 3
    assert caps.flagged_users(59) == {"loud": 5}
    assert caps.flagged_addresses(59) == {"a": 6}
    assert caps.flagged_users(60) == caps.flagged_addresses(60) == {}  # nobody has chosen since
    assert caps.take("loud", "a", 61) == 1
    assert caps.flagged_users(61) == caps.flagged_addresses(61) == {}
    assert caps.take("late", "a", 59) == 1
    unbounded = Caps(per_user=0, per_address=0, window_s=60)
    assert all(unbounded.take("loud", "a", 1) for _ in range(100))


def test_one_hostile_user_in_a_hundred_moves_the_weights_by_less_than_a_twentieth():
    """They always take what is worst by both objectives, a thousand times each: the caps let as
    much of it count as of the keenest honest users.
    """
    rng = np.random.default_rng(8)
    truth = np.array([1.0, 0.6, 0.3, 0.5])
    honest = choices(2000, truth, rng)  # of 1,000 people, two each
    hostile = [
        replace(one, taken=int(one.standings.sum(axis=1).argmin()))
        for one in choices(10_000, truth, rng)  # of 10 people, a thousand each
    ]
    caps = Caps(per_user=5, per_address=0, window_s=3600)
    weighed = [
        replace(one, weight=caps.take(f"hostile-{n % 10}", None, 0))
        for n, one in enumerate(hostile)
    ]
    counted = [one for one in weighed if one.weight]
    assert len(counted) == 50
    mixed = list(honest)
    for one in counted:
        mixed.insert(int(rng.integers(len(mixed))), one)
    clean, injected, unbounded = (
        frame().weights(learned(seen, frame()).mean, np.zeros(0))
        for seen in (honest, mixed, honest + hostile)
    )
    moved = max(abs(clean[name] - injected[name]) for name in clean)
    assert moved <= 0.05
    assert max(abs(clean[name] - unbounded[name]) for name in clean) > 1
