"""Evidence of words, worked by hand."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from crossrec.models.lexical import MOST_REPAIRED, AskedSignal, LexicalSignal, word_key, words_of
from tests.models.test_signals import ask


def signal(kind: type[LexicalSignal] = LexicalSignal) -> LexicalSignal:
    """W = river: 2 on item 0, 1 on item 2; vegetarian: 3 on item 1; veterinarian: no weight."""
    weights = {"river": {0: 2, 2: 1}, "vegetarian": {1: 3}, "veterinarian": {}}
    words = sorted(weights, key=word_key)
    return kind(
        np.frombuffer("\n".join(words).encode(), np.uint8),
        np.array([word_key(word) for word in words]),
        np.cumsum([0, *(len(weights[word]) for word in words)]),
        np.array([item for word in words for item in weights[word]], np.int32),
        np.array([value for word in words for value in weights[word].values()], np.float16),
        n_items=4,
    )


def scores(*words: str) -> list[list[float]]:
    queries = replace(ask([[] for _ in words]), words=words)
    return signal().score(queries).tolist()


def test_weights_of_the_distinct_words_add_up() -> None:
    assert scores("Rivers and a river", "river, vegetarian") == [[2, 0, 1, 0], [2, 3, 1, 0]]


def test_silence_and_unknown_words_say_nothing() -> None:
    assert scores("", "mountain 9") == [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert not signal().score(ask([[], []])).any()


def test_a_misspelt_word_is_taken_for_the_near_one_and_a_known_word_never_is() -> None:
    assert scores("vegetarain", "veterinarian") == [[0, 3, 0, 0], [0, 0, 0, 0]]
    assert scores("rivet") == [[2, 0, 1, 0]]  # one letter of five
    assert scores("driver", "rive") == [[0, 0, 0, 0], [0, 0, 0, 0]]  # begins otherwise; too short


def test_of_many_unknown_words_the_first_are_repaired_and_known_ones_all_count() -> None:
    noise = " ".join(f"vxq{'abcdefgh'[n // 8]}{'abcdefgh'[n % 8]}" for n in range(MOST_REPAIRED))
    assert scores(f"vegetarain {noise} river") == [[2, 3, 1, 0]]
    assert scores(f"{noise} vegetarain river") == [[2, 0, 1, 0]]
    short = " ".join(f"q{n}" for n in range(MOST_REPAIRED))  # never repaired, so they do not count
    assert scores(f"{short} vegetarain river") == [[2, 3, 1, 0]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't STOP", ["don", "t", "stop"]),
        ("crème brûlée", ["creme", "brulee"]),
        ("想找一家", ["想找", "找一", "一家"]),
        ("3 stars", ["3", "star"]),
    ],
)
def test_words_are_compared_without_case_accents_and_plural(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("kind", [LexicalSignal, AskedSignal])
def test_what_is_stored_brings_the_signal_back(kind: type[LexicalSignal]) -> None:
    stored = signal(kind)
    again = kind.restore(stored.arrays(), stored.settings())
    queries = replace(ask([[]]), words=("river vegetarian",))
    assert type(again) is kind
    assert again.score(queries).tolist() == stored.score(queries).tolist()


def test_a_domain_that_is_not_asked_in_words_loads_no_spelling() -> None:
    code = (
        "import sys, crossrec.models.signals; assert 'rapidfuzz' not in sys.modules;"
        " assert 'scipy' not in sys.modules and 'bm25s' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
