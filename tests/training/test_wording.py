"""Alike wording: cosines of words and pairs, heard where validation says so or nobody is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossrec.config import Placement
from crossrec.data.batches import queries_for
from crossrec.data.dataset import Dataset
from crossrec.models.domain_model import DomainModel
from crossrec.models.encoder import TextEncoder
from crossrec.models.neighbour_signals import WordingSignal
from crossrec.training import wording
from crossrec.training.assemble import _better, texts_alone
from crossrec.training.closed_form import fit_closed_form
from crossrec.training.loop import Trainer
from crossrec.training.prepare import Prepared
from crossrec.training.wording import wording_weights
from tests.training.small import prepare_city

FP32 = Placement(precision="fp32")

TEXTS = [
    "Makita saw, a tool",
    "Makita drill, a tool",
    "Bosch drill, a tool",
    "paint, a colour",
    "unlike anything",
]


def test_what_few_items_say_weighs_more_than_what_many_say():
    cosines = wording_weights(TEXTS).toarray()
    np.testing.assert_allclose(cosines, cosines.T, atol=1e-6)
    assert (cosines.diagonal() == 0).all()
    assert cosines[0, 1] > cosines[0, 2] > 0  # by the name as well, and not by `a tool` alone
    assert cosines[0, 3] < cosines[0, 2]
    assert (cosines[4] == 0).all()  # nobody shares a word of it


def test_a_pair_of_words_counts_beside_its_words():
    same, turned = "red wine bar", "bar wine red"
    cosines = wording_weights([same, same, turned, "quiet room"]).toarray()
    assert cosines[0, 1] == pytest.approx(1, abs=1e-5)
    assert 0.1 < cosines[0, 2] < 0.9


def test_large_catalogues_lose_what_everybody_says_and_keep_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(wording, "SMALL", 10)
    monkeypatch.setattr(wording, "KEPT_PER_ROW", 3)
    texts = [f"thing of make{n // 5}" for n in range(60)]
    weights = wording_weights(texts)
    assert (np.diff(weights.indptr) == 3).all()  # of the four others of its make
    rows = np.repeat(np.arange(60), 3)
    assert (rows // 5 == weights.indices // 5).all()


@pytest.fixture(scope="module")
def untaught(city: Dataset, tiny: TextEncoder) -> tuple[Prepared, DomainModel]:
    """A model of closed forms with towers that have learned nothing."""
    from crossrec.training.assemble import assemble
    from crossrec.training.loop import Fitted

    prepared = prepare_city(city, tiny)
    return prepared, assemble(prepared, Fitted(Trainer(prepared, FP32).network))


def test_texts_alone_are_the_texts_and_half_as_much_wording(
    untaught: tuple[Prepared, DomainModel],
):
    prepared, model = untaught
    signals = fit_closed_form(prepared, prepared.text, lambda step: None)
    both = {one.name: one for one in signals if one.name in ("text", "wording")}
    alone = texts_alone(replace(model, signals_by_name=both))
    queries = queries_for(prepared.split.sequences, prepared.split.test, prepared.text.shape[1])
    parts = alone.signals(queries)
    assert set(parts) == {"text", "wording"}
    spread = {name: part.std(axis=1) for name, part in parts.items()}
    said = spread["wording"] > 0
    assert said.any()
    np.testing.assert_allclose(spread["wording"][said], spread["text"][said] / 2, rtol=1e-4)


def test_wording_is_heard_only_where_it_is_better_for_sure(
    untaught: tuple[Prepared, DomainModel],
):
    prepared, model = untaught
    assert not _better(prepared, model, model)
    worse = replace(model, signals_by_name={"popularity": model.signals_by_name["popularity"]})
    assert _better(prepared, model, worse)
    assert not _better(prepared, worse, model)


def test_settings_leave_it_out(city: Dataset, tiny: TextEncoder):
    names = []
    for without in ("[]", "[wording]"):
        prepared = prepare_city(city, tiny, f"model.without={without}")
        signals = fit_closed_form(prepared, prepared.text, lambda step: None)
        names.append({signal.name for signal in signals})
    assert names[0] - names[1] == {WordingSignal.name}
