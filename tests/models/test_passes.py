"""One pass of texts: which go together, and that lying end to end changes no vector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModel

from crossrec.models.passes import (
    FIRST_POSITION,
    PLAIN_TOKENS,
    is_packed,
    length_batches,
    mean_pool,
    pack_texts,
    pad,
    pooled,
    tokens_of,
)

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "max_position_embeddings": 256,
}


def _model(kind: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, pad_token_id=1 if "robert" in kind else 0)
    return AutoModel.from_config(config).eval().requires_grad_(False)


def _texts(lengths: list[int]) -> list[list[int]]:
    numbers = np.random.default_rng(0)
    return [numbers.integers(4, 64, length).tolist() for length in lengths]


@pytest.mark.parametrize("kind", FIRST_POSITION)
@pytest.mark.parametrize(
    "lengths", [[5], [3, 9, 1, 9], [PLAIN_TOKENS, PLAIN_TOKENS + 1, 2], [1, 1, 1]]
)
def test_texts_end_to_end_have_the_vectors_of_padded_ones(kind: str, lengths: list[int]):
    model, texts = _model(kind), _texts(lengths)
    padding = model.config.pad_token_id
    expected = []
    for text in texts:
        ids = torch.tensor([text + [padding] * 3])
        mask = torch.tensor([[1] * len(text) + [0] * 3])
        expected.append(mean_pool(model(input_ids=ids, attention_mask=mask)[0], mask)[0])
    assert tokens_of(model, texts) == [max(lengths)] * len(lengths)
    pack_texts(model)
    assert is_packed(model)
    assert tokens_of(model, texts) == lengths
    torch.testing.assert_close(pooled(model, texts), torch.stack(expected), atol=2e-6, rtol=0)


def test_a_packed_encoder_still_runs_padded_texts():
    model, texts = _model("bert"), _texts([4, 7])
    ids, mask = pad(texts)
    before = model(input_ids=ids, attention_mask=mask)[0]
    pack_texts(model)
    after = model(input_ids=ids, attention_mask=mask)[0]
    torch.testing.assert_close(after[mask.bool()], before[mask.bool()])


@pytest.mark.parametrize("kind", ["electra", "modernbert"])
def test_encoders_of_other_types_pad(kind: str):
    model, texts = _model(kind), _texts([4, 7])
    pack_texts(model)
    assert not is_packed(model)
    ids, mask = pad(texts)
    expected = mean_pool(model(input_ids=ids, attention_mask=mask)[0], mask)
    torch.testing.assert_close(pooled(model, texts), expected)


def test_mean_pool_by_hand() -> None:
    hidden = torch.tensor([[[3.0, 0.0], [3.0, 8.0], [99.0, 99.0]]])
    mask = torch.tensor([[1, 1, 0]])
    # mean (3, 4), length 5
    assert mean_pool(hidden, mask).tolist() == [[pytest.approx(3 / 5), pytest.approx(4 / 5)]]


def test_pad_by_hand() -> None:
    ids, mask = pad([[7, 8], [9]])
    assert ids.tolist() == [[7, 8], [9, 0]]
    assert mask.tolist() == [[1, 1], [1, 0]]


@settings(deadline=None)
@given(st.lists(st.integers(0, 40), max_size=60), st.integers(1, 100), st.booleans())
def test_batches_hold_every_row_once_and_keep_the_bound(
    lengths: list[int], bound: int, packed: bool
) -> None:
    batches = length_batches(lengths, bound, packed)
    rows = sorted(i for batch in batches for i in batch.tolist())
    assert rows == [i for i, length in enumerate(lengths) if length]
    for batch in batches:
        own = [lengths[i] for i in batch]
        assert len(batch) == 1 or (sum(own) if packed else len(own) * max(own)) <= bound
