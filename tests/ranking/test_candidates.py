"""What indexes hold of a signal, and what candidates are, on a catalogue with towers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.explanation.rescoring import Rescorer
from crossrec.models.context import ContextEncoder
from crossrec.models.domain_model import DomainModel
from crossrec.models.fusion import FEATURES
from crossrec.models.query import Queries
from crossrec.models.rating_profile import RatingMix
from crossrec.models.sequence import SequenceTower
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.text_signals import unit
from crossrec.models.towers import UserTower
from crossrec.ranking.candidates import DENSE, Candidates, is_searchable, shares_of
from crossrec.releases.item_search import load_search, write_search
from tests.crowd import N_THINGS, WIDTH, make_crowd, read

D, T = 16, 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> DomainModel:
    """The crowd's, and towers that nobody trained before its other signals."""
    torch.manual_seed(0)
    tower = UserTower(
        dim=D, text_dim=WIDTH, n_events=1, context_dim=2, n_blocks=1, n_heads=2, max_steps=T,
        dropout=0.0,
    )  # fmt: skip
    weights = {name: value.numpy() for name, value in tower.state_dict().items()}
    rng = np.random.default_rng(0)
    signal = SequenceSignal(
        tower=SequenceTower(weights, 2),
        vectors=unit(rng.normal(size=(N_THINGS, D)).astype(np.float32)),
        bias=rng.normal(size=N_THINGS).astype(np.float32),
        context=ContextEncoder([], {}, clock=True),
        temperature=0.1,
        history_length=T,
        clock=True,
    )
    made = make_crowd(tmp_path_factory.mktemp("crowd") / "things").model
    fusion = made.fusion
    grown = replace(
        fusion,
        names=["sequence", *fusion.names],
        weights=np.concatenate([np.full((1, len(FEATURES)), 0.2, np.float32), fusion.weights]),
        evidence_weights=np.append(np.float32(-0.5), fusion.evidence_weights),
        cold_lifts=np.append(np.float32(0.2), fusion.cold_lifts),
    )
    signals = {"sequence": signal, **made.signals_by_name}
    return replace(made, signals_by_name=signals, fusion=grown)


@pytest.fixture(scope="module")
def candidates(model: DomainModel, tmp_path_factory: pytest.TempPathFactory) -> Candidates:
    folder = tmp_path_factory.mktemp("release")
    write_search(folder, model)
    search = load_search(folder, model)
    assert search is not None
    return Candidates(model, search, Rescorer(model, search.moments))


def question(thing: int, words: bool = True) -> Queries:
    items = np.array([[-1, thing, (thing + 300) % N_THINGS, (thing + 7) % N_THINGS]], np.int32)
    times = np.cumsum(np.full(items.shape, 1000), axis=1) * (items >= 0)
    request = read([f"kind {thing % 300} number {70_000 + thing}"])
    return Queries(
        items, times, np.where(items >= 0, 0, -1).astype(np.int16), times[:, -1] + 50,
        request if words else np.zeros_like(request),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["sequence", "text", "request"])
def test_a_product_is_what_the_signal_popularity_and_newness_give(
    model: DomainModel, candidates: Candidates, name: str
):
    signal = model.signals_by_name[name]
    asked = question(5)
    shares = shares_of(model, signal, Rescorer(model).moments(name))
    products = shares.rows(signal, slice(0, N_THINGS)) @ candidates._query(signal, asked)
    parts = model.signals(asked)
    whole = parts[name] + parts["popularity"] + parts["newness"]
    np.testing.assert_allclose(products, whole[0], atol=2e-3)


@pytest.mark.parametrize("words", [True, False])
def test_nearly_all_of_the_ten_best_are_named(
    model: DomainModel, candidates: Candidates, words: bool
):
    found, sizes = [], []
    for thing in range(0, 1500, 50):
        asked = question(thing, words)
        best = np.argsort(-model.score(asked)[0])[:10]
        named = candidates.named(asked)
        found.append(np.isin(best, named).mean())
        sizes.append(len(named))
    assert np.mean(found) >= 0.96
    assert max(sizes) < N_THINGS / 2


def test_who_has_nothing_and_says_nothing_gets_what_most_have(
    model: DomainModel, candidates: Candidates
):
    nothing = np.full((1, 1), -1)
    blank = Queries(
        nothing.astype(np.int32), nothing.astype(np.int64) * 0, nothing.astype(np.int16),
        np.zeros(1, np.int64), np.zeros((1, WIDTH), np.float32),
    )  # fmt: skip
    best = np.argsort(-model.score(blank)[0])[:10]
    assert np.isin(best, candidates.named(blank)).mean() >= 0.9


def test_a_mask_leaves_only_what_it_allows(candidates: Candidates):
    allowed = np.arange(N_THINGS) % 2 == 1
    named = candidates.named(question(5), allowed)
    assert len(named) > 100
    assert allowed[named].all()


def test_models_of_ratings_and_those_that_are_told_so_are_not_indexed(
    model: DomainModel, tmp_path: Path
):
    assert is_searchable(model)
    assert {type(one) for one in model.signals_by_name.values()} > set(DENSE)
    mixed = replace(model, fusion=RatingMix.__new__(RatingMix))
    assert not is_searchable(mixed)
    search = model.config.search.model_copy(update={"kind": "exact"})
    write_search(
        tmp_path, replace(model, config=model.config.model_copy(update={"search": search}))
    )
    write_search(tmp_path, mixed)
    assert list(tmp_path.iterdir()) == []
