"""Fitting the words: BM25 against bm25s, and what requests teach."""

from __future__ import annotations

from dataclasses import replace

import bm25s
import numpy as np
import pytest
from scipy import sparse

from crossrec.data.split import Cases, Sequences, Split
from crossrec.models.lexical import words_of
from crossrec.training.lexicon import _present, bm25, count_words, idf, make_lexicon
from crossrec.training.network import drawn_answers

TEXTS = ["quiet river walk", "river bar river view", "sushi bar", "quiet tea house with tea"]


@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.3)])
def test_weights_are_those_of_bm25s(k1: float, b: float) -> None:
    documents = [words_of(text) for text in TEXTS]
    lexicon = make_lexicon(documents, [])
    ours = bm25(count_words(lexicon, documents), k1, b).toarray()
    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    index.index(documents, show_progress=False)
    for word, number in lexicon.numbers.items():
        # bm25s leaves the constant factor k1 + 1 out, as Lucene does
        expected = index.get_scores([word]) * (k1 + 1)
        np.testing.assert_allclose(ours[:, number], expected, rtol=1e-5)


def test_words_that_requests_use_often_weigh_less() -> None:
    said = [["want", "river"], ["want", "sushi"], ["want", "tea"]]
    lexicon = make_lexicon([words_of(text) for text in TEXTS], said)
    rarity = dict(zip(lexicon.words, lexicon.rarity.tolist(), strict=True))
    assert rarity["want"] < rarity["river"] < rarity["walk"] == 1
    assert rarity["river"] == pytest.approx(idf(np.ones(1), 3)[0] / idf(np.zeros(1), 3)[0])


def test_what_an_item_lacks_is_no_word_of_it() -> None:
    text = "pets allowed: False; furnished: True; parking: none; area: west."
    assert words_of(_present(text)) == ["furnished", "true", "area", "west"]


def test_empty_documents_weigh_nothing() -> None:
    counts = sparse.csr_array(np.array([[0.0, 0.0], [1.0, 2.0]]))
    weights = bm25(counts, 1.5, 0.75).toarray()
    assert not weights[0].any()
    assert (weights[1] > 0).all()


def test_the_drawn_answers_of_a_row_are_evenly_all_that_are_right() -> None:
    items = np.array([0, 4], np.int32)
    whole = Sequences(
        ["u", "v"], [f"i{n}" for n in range(5)], np.arange(3), items, np.zeros(2, np.int64),
        np.zeros(2, np.int16), ["request"], np.zeros(2, np.float32), requests=["a", "b"],
    )  # fmt: skip
    nobody = Cases(np.empty(0, np.int64), np.empty(0, np.int64))
    right = sparse.csr_array(np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 1]], np.float32))
    split = Split(
        "requests", whole, np.ones(2, bool), nobody, nobody, np.ones(5, bool), None, right
    )
    drawn = drawn_answers(split, np.repeat([[0, 1]], 3000, axis=0), seed=0)
    counts = np.bincount(drawn[:, 0], minlength=5)
    assert set(np.flatnonzero(counts)) == {0, 2, 3}
    assert counts.max() / counts[counts > 0].min() < 1.2
    assert (drawn[:, 1] == 4).all()
    alone = replace(split, relevant=None)
    assert drawn_answers(alone, np.array([[1, 0]]), seed=0).tolist() == [[4, 0]]
