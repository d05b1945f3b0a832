"""Fits the signals that read a request's very words; their few parameters on validation.

Leaves to others: scoring (models/lexical.py), which signals a domain gets (closed_form.py).
Sizes: N items, V words, R requests of training, n cases.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.batches import queries_for
from crossrec.data.split import Cases, Split
from crossrec.evaluation.metrics import set_ndcg
from crossrec.evaluation.protocols import candidates_only, right_answers
from crossrec.models.lexical import AskedSignal, LexicalSignal, word_key, words_of
from crossrec.models.query import Queries
from crossrec.training.prepare import Prepared

Floats = NDArray[np.float32]

MAX_CASES = 500
SATURATIONS, LENGTH_WEIGHTS = (0.9, 1.5, 3.0), (0.3, 0.75)
"""k1 and b of BM25 that are tried."""

_ABSENT = re.compile(r"[\w ]+: *(?:false|no|none|not [\w ]+)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Lexicon:
    """All words of the catalogue and of training's requests, and how often requests use each."""

    words: list[str]
    numbers: dict[str, int]
    rarity: Floats  # (V,) in [0, 1]; 1 for a word of no request


def fit_lexical(prepared: Prepared) -> list[LexicalSignal]:
    """The items' own words and the words that people asked with; nothing where nobody has asked.

    Made-up requests repeat an item's words, and a fusion that learns from them trusts words too
    much: `movies`, asked with 1,109 real requests, has NDCG@10 .029 with `lexical`, .035 without.
    """
    split = prepared.split
    asked = asked_rows(split)
    if not len(asked):
        return []
    documents = [words_of(_present(text)) for text in prepared.texts]
    said = [words_of(prepared.wishes[row]) for row in asked]
    lexicon = make_lexicon(documents, said)
    own = count_words(lexicon, documents)
    cases = _Cases.draw(split, prepared.config.training.seed)
    rare = sparse.diags_array(lexicon.rarity)
    lexical = cases.best(
        signal_of(LexicalSignal, lexicon, weights)
        for k1, b in itertools.product(SATURATIONS, LENGTH_WEIGHTS)
        for weights in (bm25(own, k1, b), bm25(own, k1, b) @ rare)
    )
    answers = _answers(split, asked)
    learnt = answers.T @ count_words(lexicon, [sorted(set(words)) for words in said])
    earlier = cases.best(
        signal_of(AskedSignal, lexicon, bm25(sparse.csr_array(learnt), k1, b))
        for k1, b in itertools.product(SATURATIONS, LENGTH_WEIGHTS)
    )
    return [lexical, earlier]


def asked_rows(split: Split) -> NDArray[np.int64]:
    """Rows of training that come with what somebody said."""
    said = split.sequences.requests
    if said is None:
        return np.empty(0, np.int64)
    return np.flatnonzero(split.train & np.array([bool(text) for text in said]))


def make_lexicon(documents: Iterable[list[str]], said: Sequence[list[str]]) -> Lexicon:
    """Words in order of their keys; rarity is the idf of a word among requests, at most 1."""
    used_words = {word for text in itertools.chain(documents, said) for word in text}
    words = sorted(used_words, key=word_key)
    numbers = {word: number for number, word in enumerate(words)}
    used = np.zeros(len(words))
    for text in said:
        used[[numbers[word] for word in set(text)]] += 1
    rarity = idf(used, len(said)) / idf(np.zeros(1), len(said)) if said else np.ones(len(words))
    return Lexicon(words, numbers, rarity.astype(np.float32))


def count_words(lexicon: Lexicon, documents: Sequence[list[str]]) -> sparse.csr_array:
    """(documents, V) how often each word occurs."""
    columns = [lexicon.numbers[word] for words in documents for word in words]
    ends = np.cumsum([0, *map(len, documents)])
    shape = (len(documents), len(lexicon.words))
    counts = sparse.csr_array((np.ones(len(columns)), columns, ends), shape=shape)
    counts.sum_duplicates()
    return counts


def idf(counts: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """log(1 + (n - c + 1/2) / (c + 1/2)): above 0 also for words in more than half of all."""
    return np.log1p((n - counts + 0.5) / (counts + 0.5))


def bm25(counts: sparse.csr_array, k1: float, b: float) -> sparse.csr_array:
    """(N, V) BM25 weights of word counts (which may be fractions).

    idf(w) c (k1 + 1) / (c + k1 (1 - b + b length / mean length)), as in Lucene.
    Source: Robertson and Zaragoza 2009, eq. 3.15.
    """
    coo = counts.tocoo()
    lengths = counts.sum(axis=1)
    scale = 1 - b + b * lengths / max(lengths.mean(), 1e-9)
    rows, columns = coo.coords
    weights = idf(np.bincount(columns, minlength=counts.shape[1]).astype(float), counts.shape[0])
    values = weights[columns] * coo.data * (k1 + 1) / (coo.data + k1 * scale[rows])
    return sparse.csr_array((values, (rows, columns)), shape=counts.shape)


def signal_of(
    kind: type[LexicalSignal], lexicon: Lexicon, weights: sparse.csr_array
) -> LexicalSignal:
    """The signal of (N, V) weights."""
    by_word = sparse.csc_array(weights)
    by_word.sort_indices()
    letters = np.frombuffer("\n".join(lexicon.words).encode(), np.uint8)
    keys = np.array([word_key(word) for word in lexicon.words], np.int64)
    starts, items = by_word.indptr.astype(np.int64), by_word.indices.astype(np.int32)
    return kind(letters, keys, starts, items, by_word.data.astype(np.float16), weights.shape[0])


def _present(text: str) -> str:
    """The text less its fields that say what an item lacks (`pets allowed: False`)."""
    return _ABSENT.sub(" ", text)


def _answers(split: Split, rows: NDArray[np.int64]) -> sparse.csr_array:
    """(R, N) the right answers to each row's request, rows summing to 1."""
    right = right_answers(split, rows)
    return sparse.csr_array(sparse.diags_array(1 / right.sum(axis=1)) @ right)


@dataclass(frozen=True)
class _Cases:
    """Validation cases with their words, to choose parameters on."""

    split: Split
    cases: Cases
    queries: Queries

    @classmethod
    def draw(cls, split: Split, seed: int) -> _Cases:
        cases = split.validation
        chosen = np.sort(np.random.default_rng(seed).permutation(len(cases))[:MAX_CASES])
        cases = cases.take(chosen)
        rows = split.sequences.target_rows(cases)
        said = split.sequences.requests or []
        queries = queries_for(split.sequences, cases, 0)
        return cls(split, cases, replace(queries, words=tuple(said[row] for row in rows)))

    def best(self, signals: Iterable[LexicalSignal]) -> LexicalSignal:
        """The signal with the highest NDCG@10; of equals the first."""
        return max(signals, key=lambda signal: self.ndcg(signal.score(self.queries)))

    def ndcg(self, scores: Floats) -> float:
        """Mean over the cases, within their pools."""
        scores = candidates_only(scores, self.split, self.split.targets(self.cases), "validation")
        rows = self.split.sequences.target_rows(self.cases)
        right = right_answers(self.split, rows).toarray() > 0
        values = set_ndcg(scores, right, self.queries.items, 10)
        return float(values.mean()) if len(values) else 0.0
