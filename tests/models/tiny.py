"""A tiny random BERT in a folder, made in the test: stands for any encoder given by path."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def make_tiny_encoder(folder: Path, seed: int = 0, n_layers: int = 3) -> Path:
    """Write a letter tokenizer and a random BERT of width 32; equal seeds give equal files."""
    torch.manual_seed(seed)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}
    config = BertConfig(
        vocab_size=64, num_hidden_layers=n_layers, max_position_embeddings=128, **sizes
    )
    BertModel(config).save_pretrained(folder)
    _letters().save_pretrained(folder)
    return folder


def _letters() -> PreTrainedTokenizerFast:
    symbols = [*SPECIAL, *"abcdefghijklmnopqrstuvwxyz0123456789.,!?'-"]
    vocabulary = {symbol: i for i, symbol in enumerate(symbols)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Split("", "isolated")]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", model_max_length=128
    )
