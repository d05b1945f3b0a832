"""Shortened queries scored at a few items: what scoring them whole gives, within rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossrec.explanation.contributions import explain
from crossrec.explanation.rescoring import Rescorer
from crossrec.explanation.shortened import ShortenedReader
from crossrec.explanation.things import Left, shortened
from crossrec.models.domain_model import DomainModel
from crossrec.models.query import Queries
from crossrec.models.sequence_signal import SequenceSignal
from tests.explanation.whole_model import WINDOW, E, N, query, whole_model


def left_of(one: Queries, steps: np.ndarray, **changes: object) -> Left:
    whole = Left(steps, one.request[0], one.words[0] if one.words else "", frozenset(one.context))
    return replace(whole, **changes)


def rows(one: Queries, rng: np.random.Generator) -> list[Left]:
    """Whole, empty, each step gone, any steps gone, other words, no words, fields gone."""
    n = one.items.shape[1]
    there = one.items[0] >= 0
    without = [there & (np.arange(n) != step) for step in range(n)]
    some = [there & (rng.random(n) < 0.6) for _ in range(4)]
    steps = [there, np.zeros(n, bool), *without, *some, there & (np.arange(n) >= n - 3)]
    made = [left_of(one, kept) for kept in steps]
    made += [left_of(one, there, fields=frozenset({field})) for field in one.context]
    made += [left_of(one, kept, request=np.zeros(E, np.float32), words="") for kept in steps[:4]]
    if one.request.any():
        made.append(left_of(one, there, request=rng.normal(size=E).astype(np.float32)))
    return made


@pytest.mark.parametrize("n_steps", [0, 1, 2, 5, WINDOW, WINDOW + 1, 3 * WINDOW])
@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("clock", [False, True])
def test_a_few_items_score_as_in_the_whole_catalogue(
    n_steps: int, asked: bool, clock: bool
) -> None:
    rng = np.random.default_rng(n_steps)
    model = whole_model(rng, clock=clock)
    one = query(rng, n_steps, asked=asked)
    left = rows(one, rng)
    columns = rng.choice(N, 5, replace=False)
    batch = shortened(one, left)
    rescorer = Rescorer(model)
    expected = {name: part[:, columns] for name, part in model.signals(batch).items()}
    for _ in range(2):  # what is remembered of the history gives the same
        found = rescorer.parts(one, batch, left, columns)
        assert found.keys() == expected.keys()
        for name, part in expected.items():
            np.testing.assert_allclose(found[name], part, atol=2e-4, err_msg=name)


@pytest.mark.parametrize("n_steps", [1, 4, WINDOW, WINDOW + 1, 3 * WINDOW])
def test_a_shortened_history_is_read_as_if_the_steps_had_never_been(n_steps: int) -> None:
    rng = np.random.default_rng(n_steps)
    signal = whole_model(rng).signals_by_name["sequence"]
    assert isinstance(signal, SequenceSignal)
    one = query(rng, n_steps)
    kept = np.stack([left.steps for left in rows(one, rng) if left.steps.any()])
    batch = shortened(one, [left_of(one, steps) for steps in kept])
    window = slice(-WINDOW, None)
    expected = signal._read(batch.items[:, window], batch.times[:, window], batch.events[:, window])
    for found, wanted in zip(ShortenedReader(signal).read(one, kept), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_explanations_are_the_same_with_and_without_the_whole_catalogue() -> None:
    rng = np.random.default_rng(5)
    model, one = whole_model(rng), query(rng, 20)

    def titles(items: list[int]) -> list[str]:
        return [str(item) for item in items]

    few = explain(model, one, [3, 7, 9], titles, rescorer=Rescorer(model))
    many = explain(model, one, [3, 7, 9], titles)
    for a, b in zip(few, many, strict=True):
        assert [part.name for part in a.parts] == [part.name for part in b.parts]
        np.testing.assert_allclose(
            [p.value for p in a.parts], [p.value for p in b.parts], atol=1e-3
        )


def test_the_tower_reads_only_what_comes_after_a_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in steps that go through a block: 12 histories without one step each, of 40 steps."""
    rng = np.random.default_rng(0)
    model: DomainModel = whole_model(rng)
    signal = replace(model.signals_by_name["sequence"], history_length=50)
    signal.tower.weights.update(
        {n: np.zeros((2, 50), np.float32) for n in signal.tower.weights if n.endswith("distance")}
    )
    read = 0
    linear = signal.tower._linear

    def counting(name: str, x: np.ndarray) -> np.ndarray:
        nonlocal read
        read += x.size // x.shape[-1] if name == "blocks.0.qkv." else 0
        return linear(name, x)

    monkeypatch.setattr(signal.tower, "_linear", counting)
    one = query(rng, 40)
    kept = np.ones((12, 40), bool)
    kept[np.arange(12), 39 - np.arange(12)] = False
    ShortenedReader(signal).read(one, kept)
    # one window of at most 39 steps, and 0 + 1 + … + 11 steps after the cuts; plainly 12 × 39
    assert read <= 39 + 66 < 12 * 39
