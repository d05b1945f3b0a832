"""Rewording by real, tiny language models that are made here; what they say is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from crossrec.errors import ConfigError
from crossrec.explanation.reword import (
    INVENTED,
    TOO_LONG,
    UNFINISHED,
    Reworded,
    Reworder,
    _tokens,
    summary,
)
from tests.explanation.tiny_language import ASKED, causal, encoder_decoder, untrained

TRUE = ("Because you chose “Alien”.", "Since you liked “Alien”, you get this.")
FALSE = ("Because it is popular.", "Because you chose “Heat” 3 times.")
EMPTY = ("Because you asked for “quiet”.", "\n")


@pytest.fixture(scope="module", params=[causal, encoder_decoder], ids=["causal", "seq2seq"])
def reworder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reworder:
    """A model in a folder, which rewords one sentence truly and lies about another."""
    folder = tmp_path_factory.mktemp("model")
    return Reworder(request.param(folder, [TRUE, FALSE]))


def test_other_words_for_the_same_are_taken(reworder: Reworder) -> None:
    assert reworder.say(TRUE[0]) == Reworded(TRUE[1])
    assert reworder(TRUE[0]) == TRUE[1]


def test_names_and_numbers_of_its_own_are_not_taken_and_it_says_so(reworder: Reworder) -> None:
    said = reworder.generate(ASKED.format(FALSE[0]), 60)
    assert said is not None
    assert "Heat" in said  # the model lies
    assert reworder.say(FALSE[0]) == Reworded(FALSE[0], INVENTED)


def test_what_comes_to_no_end_is_not_taken(tmp_path: Path) -> None:
    """Random weights go on for ever, or say what nobody knows."""
    model = Reworder(untrained(tmp_path))
    for sentence in (TRUE[0], "因为您选择过“异形”。"):
        found = model.say(sentence, "zh" if sentence[0] == "因" else "en")
        assert found.text == sentence
        assert found.kept_for in (UNFINISHED, INVENTED)


def test_a_sentence_that_does_not_fit_stays(tmp_path: Path) -> None:
    model = Reworder(causal(tmp_path, [], n_positions=64))
    assert model.say(TRUE[0]) == Reworded(TRUE[0], TOO_LONG)


def test_a_model_that_was_trained_on_talks_is_asked_as_in_a_talk(tmp_path: Path) -> None:
    folder = causal(tmp_path, [TRUE])
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = (
        "{% for one in messages %}{{ one['content'] }}{% endfor %}"
        "{% if not add_generation_prompt %} never{% endif %}"
    )
    tokenizer.save_pretrained(folder)
    assert Reworder(folder).say(TRUE[0]) == Reworded(TRUE[1])
    tokenizer.chat_template = "{% for one in messages %}ask: {{ one['content'] }} go{% endfor %}"
    assert tokenizer.decode(_tokens(tokenizer, "this")["input_ids"][0]) == "ask: this go"


def test_nothing_is_loaded_before_it_is_used_and_a_wrong_path_is_named(tmp_path: Path) -> None:
    reword = Reworder(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match=r"nothing' that is to reword sentences cannot be loaded"):
        reword(TRUE[0])


def test_the_summary_counts_what_became_of_sentences() -> None:
    found = [
        Reworded("a"),
        Reworded("b", INVENTED),
        Reworded("c", INVENTED),
        Reworded("d", TOO_LONG),
    ]
    assert summary(found, "tiny") == (
        "1 of 4 sentences are in the words of tiny; as they were: 2 where it had names or numbers"
        " that the figures do not hold, 1 where it had no room for a sentence as long"
    )
    assert summary([Reworded("a")], "tiny") == "1 of 1 sentences are in the words of tiny"
