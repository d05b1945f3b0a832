"""Tiny language models of real architectures, trained for seconds to say one thing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

PROMPT = "Say this in other words, with the same names and numbers and no others.\nSentence: {}"
ASKED = PROMPT + "\nIn other words:"


def causal(folder: Path, pairs: Sequence[tuple[str, str]], **sizes: Any) -> str:
    """A GPT-2 that has learnt to say the answer of each pair after its sentence."""
    tokens = _tokenizer(folder, pairs, end=False)
    ids = {"eos_token_id": 0, "bos_token_id": 0, "pad_token_id": 0}
    shape = {"n_embd": 48, "n_layer": 2, "n_head": 2, "n_positions": 256} | sizes
    torch.manual_seed(0)
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(tokens), **shape, **ids))

    def loss(sentence: str, answer: str) -> torch.Tensor:
        asked = tokens(ASKED.format(sentence))["input_ids"]
        said = tokens(" " + answer)["input_ids"] + [0]
        labels = [-100] * len(asked) + said
        found = model(torch.tensor([asked + said]), labels=torch.tensor([labels]))
        return torch.as_tensor(found.loss)

    return _learnt(folder, model, pairs, loss)


def encoder_decoder(folder: Path, pairs: Sequence[tuple[str, str]]) -> str:
    """A T5 that has learnt the same."""
    tokens = _tokenizer(folder, pairs, end=True)
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(
        T5Config(
            vocab_size=len(tokens), d_model=48, d_kv=24, d_ff=96, num_layers=2, num_heads=2,
            eos_token_id=0, pad_token_id=1, decoder_start_token_id=1, dropout_rate=0.0,
        )
    )  # fmt: skip

    def loss(sentence: str, answer: str) -> torch.Tensor:
        asked = torch.tensor([tokens(ASKED.format(sentence))["input_ids"]])
        said = torch.tensor([tokens(answer)["input_ids"]])
        return torch.as_tensor(model(input_ids=asked, labels=said).loss)

    return _learnt(folder, model, pairs, loss)


def untrained(folder: Path) -> str:
    """A GPT-2 with random weights."""
    return causal(folder, [])


def _tokenizer(
    folder: Path, pairs: Sequence[tuple[str, str]], *, end: bool
) -> PreTrainedTokenizerFast:
    """Byte-level pairs, as GPT-2 has them: any text can be read; `end`: an end after each text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=["<end>", "<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([ASKED, *(text for pair in pairs for text in pair)], trainer)
    if end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <end>", special_tokens=[("<end>", 0)]
        )
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<pad>")
    fast.save_pretrained(folder)
    return fast


def _learnt(folder: Path, model: Any, pairs: Sequence[tuple[str, str]], loss: Any) -> str:
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(60 if pairs else 0):
        optimiser.zero_grad()
        torch.stack([loss(*pair) for pair in pairs]).mean().backward()
        optimiser.step()
    model.eval().save_pretrained(folder)
    return str(folder)
