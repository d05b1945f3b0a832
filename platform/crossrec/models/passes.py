"""One pass through an encoder: which texts go together, how they lie, and their means.

On a CPU texts lie end to end, without padding, in the encoders that can be run so: a quarter of
a batch of people's requests would be padding, multiplied by every weight like words are. Elsewhere,
and where gradients are wanted (upper.py), they are padded to the longest.
Leaves to others: tokenising and precision (encoder.py), adapters (mixed.py).
Sizes: n texts, T tokens, N tokens of all texts of a pass, E dimensions of the encoder.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from contextvars import ContextVar
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize, scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

BATCH_TOKENS = 2048  # 1024 to 4096 are equally fast on a CPU; larger ones fall out of its cache
PACKED = "crossrec_packed"
"""Attention of texts that lie end to end, as transformers' configurations name it."""
FIRST_POSITION = {"bert": 0, "roberta": 1, "xlm-roberta": 1, "camembert": 1}
"""Type of encoder that can be run so → of its texts' first token, beyond the padding's number."""
PLAIN_TOKENS = 128
"""Up to which plain products in single precision take less than torch's fused attention."""

_lengths: ContextVar[list[int] | None] = ContextVar("lengths", default=None)
"""Tokens of each text of the packed pass that is under way."""


def pack_texts(model: Any) -> None:
    """Have an encoder on a CPU run texts end to end, where its type is known to allow it."""
    kind = getattr(model.config, "model_type", None)
    attention = getattr(model.config, "_attn_implementation", None)
    if kind in FIRST_POSITION and attention == "sdpa" and model.device.type == "cpu":
        model.set_attn_implementation(PACKED)


def is_packed(model: Any) -> bool:
    """Whether `pooled` runs its texts end to end."""
    return bool(model.config._attn_implementation == PACKED)


def length_batches(
    lengths: Sequence[int], batch_tokens: int, packed: bool = False
) -> list[NDArray[np.int64]]:
    """Row numbers grouped by length, longest first; rows of length 0 are left out.

    A batch holds at most `batch_tokens` tokens, padding counted unless `packed`, and at least one
    row. Longest first, so that a lack of memory shows at once and the time left is never an
    understatement.

    >>> [rows.tolist() for rows in length_batches([1, 4, 0, 2, 2], batch_tokens=4)]
    [[1], [3, 4], [0]]
    >>> [rows.tolist() for rows in length_batches([1, 4, 0, 2, 2], batch_tokens=5, packed=True)]
    [[1], [3, 4, 0]]
    """
    order = np.argsort(-np.asarray(lengths, np.int64), kind="stable")
    order = order[: int(np.count_nonzero(lengths))]
    ends = list(accumulate(lengths[row] for row in order))
    batches, start = [], 0
    while start < len(order):
        size = batch_tokens // lengths[order[start]]
        if packed:
            before = ends[start - 1] if start else 0
            size = bisect_right(ends, before + batch_tokens) - start
        batches.append(order[start : start + max(1, size)])
        start += max(1, size)
    return batches


def pooled(model: Any, token_ids: Sequence[Sequence[int]]) -> Tensor:
    """Means over each text's tokens, of unit length: (n, E) float32, on the model's device."""
    if not is_packed(model):
        ids, mask = pad(token_ids, model.device)
        return mean_pool(model(input_ids=ids, attention_mask=mask).last_hidden_state, mask)
    lengths = [len(ids) for ids in token_ids]
    first = FIRST_POSITION[model.config.model_type]
    if first:
        first += model.config.pad_token_id
    ids, positions = (
        torch.from_numpy(np.concatenate(parts, dtype=np.int64))[None]
        for parts in (token_ids, [np.arange(first, first + length) for length in lengths])
    )
    under_way = _lengths.set(lengths)
    try:
        hidden = model(input_ids=ids, position_ids=positions).last_hidden_state[0]
    finally:
        _lengths.reset(under_way)
    mean = torch.segment_reduce(hidden.float(), "mean", lengths=torch.tensor(lengths))
    return normalize(mean, dim=-1)


def pad(
    token_ids: Sequence[Sequence[int]], device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """Token ids padded on the right to the longest, and the mask: both (n, T) int64.

    Padding is id 0; no encoder sees it, because the mask is 0 there.
    """
    width = max(len(ids) for ids in token_ids)
    ids = np.zeros((len(token_ids), width), np.int64)
    mask = np.zeros_like(ids)
    for row, values in enumerate(token_ids):
        ids[row, : len(values)] = values
        mask[row, : len(values)] = 1
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def mean_pool(hidden: Tensor, mask: Tensor) -> Tensor:
    """Mean of the tokens under the mask, then unit length: (n, T, E), (n, T) → (n, E) float32."""
    weights = mask.unsqueeze(-1).float()
    mean = (hidden.float() * weights).sum(1) / weights.sum(1)
    return normalize(mean, dim=-1)


def tokens_of(model: Any, token_ids: Sequence[Sequence[int]]) -> list[int]:
    """How many rows of a linear layer's input belong to each text in `pooled`, in order."""
    lengths = [len(ids) for ids in token_ids]
    return lengths if is_packed(model) else [max(lengths)] * len(lengths)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **options: Any
) -> tuple[Tensor, Any]:
    """Each text over itself, in a packed pass; in any other torch's fused attention.

    Query, key, value: (1, heads, N, d) → (1, N, heads, d).
    """
    lengths = _lengths.get()
    if lengths is None:
        fused: tuple[Tensor, Any] = ALL_ATTENTION_FUNCTIONS["sdpa"](
            module, query, key, value, mask, **options
        )
        return fused
    queries, keys, values = (torch.split(one[0], lengths, 1) for one in (query, key, value))
    parts = [
        _over_itself(*text, options["scaling"]) for text in zip(queries, keys, values, strict=True)
    ]
    return torch.cat(parts)[None], None


def _over_itself(query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Attention within one text: (heads, T, d) → (T, heads, d)."""
    if query.shape[1] > PLAIN_TOKENS:
        return scaled_dot_product_attention(query, key, value, scale=scaling).transpose(0, 1)
    weights = torch.bmm(query.float(), key.float().transpose(1, 2)).mul_(scaling).softmax(-1)
    return torch.bmm(weights, value.float()).transpose(0, 1).to(query.dtype)


AttentionInterface.register(PACKED, _attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
