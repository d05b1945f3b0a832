"""Words of like meaning: which those are, and how requests are put in other words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from crossrec.training import synonyms as module
from crossrec.training.prepare import Prepared, prepare
from crossrec.training.synonyms import NEAREST, Synonyms, near_words
from crossrec.training.texts import FrozenTexts
from tests.training.small import prepare_city, settings
from tests.training.test_assemble import requests_dataset

WORDS = ["cheap", "dear", "inexpensive", "4k", "up", "quiet", "calm"]
PLACES = {
    "cheap": (4, 0),
    "inexpensive": (4, 0.5),
    "dear": (-3, -3),
    "quiet": (0, 4),
    "calm": (0.5, 4),
}


def vectors_of(words: list[str]) -> np.ndarray:
    """Unknown words lie where the mean does."""
    known = np.array(list(PLACES.values()))
    return np.array([PLACES.get(word, known.mean(axis=0)) for word in words], np.float32)


def test_near_words_are_those_of_high_cosine_and_never_the_word_itself() -> None:
    near = near_words(WORDS, vectors_of(WORDS)).toarray()
    found = {WORDS[row]: {WORDS[n] for n in np.flatnonzero(near[row])} for row in range(len(WORDS))}
    assert found["cheap"] == {"inexpensive"}
    assert found["calm"] == {"quiet"}
    assert found["dear"] == found["4k"] == found["up"] == set()
    assert near.max() <= 1.0001


def test_a_word_has_a_few_nearest_ones_however_many_are_near(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 5)  # words of one chunk find those of others
    rng = np.random.default_rng(0)
    words = [f"word{letter}" for letter in "abcdefghijkl"] + ["else", "other"]
    vectors = np.concatenate([1 + 0.01 * rng.normal(size=(12, 8)), -6 + rng.normal(size=(2, 8))])
    near = near_words(words, vectors.astype(np.float32))
    assert np.diff(near.indptr)[:12].tolist() == [NEAREST] * 12
    assert not near[:12, 12:].nnz


@pytest.mark.parametrize("words", [[], ["one"], ["4k", "up"]])
def test_few_or_no_words_have_no_synonyms(words: list[str]) -> None:
    near = near_words(words, np.ones((len(words), 3), np.float32))
    assert near.shape == (len(words), len(words))
    assert near.nnz == 0


def test_words_are_reworded_as_often_as_asked_and_all_else_stays() -> None:
    synonyms = Synonyms.of(["Cheap, inexpensive", "quiet calm dear"], vectors_of)
    rng = np.random.default_rng(0)
    assert synonyms.reworded("a CHEAP room; quiet!", 1.0, rng) == "a inexpensive room; calm!"
    assert synonyms.reworded("a CHEAP room; quiet!", 0.0, rng) == "a CHEAP room; quiet!"
    draws = [synonyms.reworded("cheap", 0.3, rng) for _ in range(1000)]
    assert 0.25 < draws.count("inexpensive") / 1000 < 0.35


@pytest.fixture
def asked(city: Dataset, tiny: TextEncoder, tmp_path: Path) -> Prepared:
    dataset = requests_dataset(tmp_path / "asked", city)
    return prepare(dataset, settings("training.synonym_share=1"), encoder=tiny)


def test_training_requests_have_a_second_wording_and_others_none(asked: Prepared) -> None:
    assert asked.reworded is not None
    train = asked.split.train
    assert (asked.reworded[~train] == asked.wish_of_row[~train]).all()
    assert (asked.reworded[train] >= len(train)).all()
    said = asked.split.sequences.requests
    assert said is not None
    assert [asked.wishes[n] for n in asked.wish_of_row] == said
    assert any(asked.wishes[asked.reworded[row]] != said[row] for row in np.flatnonzero(train))


def test_half_of_the_steps_hear_it_and_the_judge_never_does(asked: Prepared) -> None:
    marked = np.zeros_like(asked.wish_vectors)
    marked[len(asked.split.train) :] = 1.0
    texts = FrozenTexts(asked, torch.device("cpu"))
    texts._wishes = torch.from_numpy(marked)
    rows = np.tile(np.flatnonzero(asked.split.train), (200, 1))
    texts.train()
    torch.manual_seed(0)
    assert 0.4 < float(texts.wishes(rows, np.ones(rows.shape, bool)).mean()) < 0.6
    texts.eval()
    assert float(texts.wishes(rows, np.ones(rows.shape, bool)).sum()) == 0


def test_made_up_requests_are_reworded_themselves(city: Dataset, tiny: TextEncoder) -> None:
    plain, other = (prepare_city(city, tiny, f"training.synonym_share={s}") for s in (0, 1))
    assert other.reworded is None
    assert len(plain.wishes) == len(other.wishes)
    assert plain.wishes != other.wishes
