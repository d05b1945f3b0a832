"""Rewording by a real, tiny language model that is made here; what it says is checked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

from crossrec.errors import ConfigError
from crossrec.explanation.reword import Reworder

SENTENCE = "Because you chose “Alien” ."


def tiny_model(folder: Path, answer: list[str]) -> str:
    """A model that has learnt to say `answer` after the word `words:`, whatever came before."""
    words = ["<end>", "<unk>", "words:", "Because", "you", "chose", "“Alien”", ".", *answer]
    vocabulary = {word: n for n, word in enumerate(dict.fromkeys(words))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>", pad_token="<end>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=len(vocabulary), n_embd=32, n_layer=1, n_head=2, n_positions=128,
        eos_token_id=0, bos_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    prompt = (
        "Say this in other words, with the same names and numbers and no others. Sentence: "
        f"{SENTENCE} In other words: "
    )
    ids = torch.tensor([fast(prompt + " ".join(answer) + " <end>")["input_ids"]])
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        loss = model(ids, labels=ids).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(folder)
    return str(folder)


def test_other_words_for_the_same_are_taken(tmp_path: Path) -> None:
    reword = Reworder(tiny_model(tmp_path, ["Since", "you", "liked", "“Alien”"]))
    assert reword(SENTENCE) == "Since you liked “Alien”"


def test_a_name_of_its_own_is_not_taken(tmp_path: Path) -> None:
    reword = Reworder(tiny_model(tmp_path, ["You", "chose", "“Heat”"]))
    assert "“Heat”" in reword.generate(
        "Say this in other words, with the same names and numbers and no others.\n"
        f"Sentence: {SENTENCE}\nIn other words:"
    )
    assert reword(SENTENCE) == SENTENCE


def test_nothing_is_loaded_before_it_is_used_and_a_wrong_path_is_named(tmp_path: Path) -> None:
    reword = Reworder(str(tmp_path / "nothing"))
    with pytest.raises(ConfigError, match=r"nothing' that is to reword sentences cannot be loaded"):
        reword(SENTENCE)
