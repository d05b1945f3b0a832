"""Losses of the three tasks: full softmax over the catalogue, squared error, cross-entropy.

Leaves to others: what the vectors are (towers.py), averaging over workers (training/loop.py).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 2048  # rows of logits alive at once: 2,048 × 5,000 items in fp32 are 40 MiB


class _SoftmaxCrossEntropy(torch.autograd.Function):
    """Sum of -log softmax(u V' / tau + b)[target], gradients made on the way forward.

    No (P, N) matrix outlives its chunk: memory and page faults are what a large softmax costs
    on CPUs, more than the arithmetic.
    """

    @staticmethod
    def forward(
        ctx: Any,
        users: Tensor,
        items: Tensor,
        bias: Tensor,
        offset_weight: Tensor,
        offset: Tensor | None,
        targets: Tensor,
        weights: Tensor,
        low: bool,
    ) -> Tensor:
        dtype = torch.bfloat16 if low else users.dtype
        items_low = items.to(dtype)
        grad_users = torch.empty_like(users)
        grad_items = torch.zeros_like(items)
        grad_bias = torch.zeros_like(bias)
        grad_offset = torch.zeros_like(offset_weight)
        total = users.new_zeros(())
        for start in range(0, len(users), CHUNK):
            rows = slice(start, start + CHUNK)
            chunk, target = users[rows].to(dtype), targets[rows, None]
            logits = (chunk @ items_low.T).float().add_(bias)
            if offset is not None:
                logits.addcmul_(offset[rows], offset_weight)
            logits -= logits.amax(dim=1, keepdim=True)
            picked = logits.gather(1, target)
            logits.exp_()
            mass = logits.sum(dim=1, keepdim=True)
            total += ((mass.log() - picked)[:, 0] * weights[rows]).sum()
            logits /= mass
            logits.scatter_add_(1, target, torch.full_like(picked, -1.0))
            logits *= weights[rows, None]
            grad_bias += logits.sum(dim=0)
            if offset is not None:
                grad_offset += (logits * offset[rows]).sum()
            low_grad = logits.to(dtype)
            grad_users[rows] = (low_grad @ items_low).to(users.dtype)
            grad_items += (low_grad.T @ chunk).to(items.dtype)
        ctx.save_for_backward(grad_users, grad_items, grad_bias, grad_offset)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        users, items, bias, offset = ctx.saved_tensors
        return grad * users, grad * items, grad * bias, grad * offset, None, None, None, None


def softmax_cross_entropy(
    users: Tensor,
    items: Tensor,
    bias: Tensor,
    targets: Tensor,
    weights: Tensor | None = None,
    *,
    offset: Tensor | None = None,
    offset_weight: Tensor | None = None,
    bf16: bool = False,
) -> Tensor:
    """Sum over rows of the full softmax cross-entropy, -w log p(target).

    Args:
        users: (P, D) already divided by the temperature.
        items: (N, D); bias: (N,).
        targets: (P,) int64 row of `items`.
        weights: (P,) of each row; None: 1.
        offset: (P, N) added to the logits times the scalar `offset_weight`, which is trained.
        bf16: matrix products in bfloat16, sums in float32.

    Returns:
        Scalar; gradients flow to users, items, bias and offset_weight.
    """
    if weights is None:
        weights = torch.ones(len(users), device=users.device)
    if offset_weight is None:
        offset_weight = torch.zeros((), device=users.device)
    loss: Tensor = _SoftmaxCrossEntropy.apply(  # type: ignore[no-untyped-call]
        users, items, bias, offset_weight, offset, targets, weights, bf16
    )
    return loss


def choice_cross_entropy(
    users: Tensor, vectors: Tensor, bias: Tensor, offered: Tensor, weights: Tensor
) -> Tensor:
    """Sum over rows of -w log p of the first item among those offered.

    p is the softmax of u·v + b over the offered items alone: what was chosen, and what was shown
    beside it and passed over.

    Source: Wu et al. 2019, "Neural News Recommendation with Multi-Head Self-Attention", eq. 9 and
    10, whose negatives are K news of the same impression.

    Args:
        users: (P, D) already divided by the temperature.
        vectors: (P, C, D) of the items offered, the chosen one first; bias: (P, C).
        offered: (P, C) bool, False for padding.
        weights: (P,) of each row.

    >>> u, v, b = torch.ones(1, 1), torch.zeros(1, 3, 1), torch.zeros(1, 3)
    >>> seen = torch.tensor([[True, True, False]])  # an even choice between two: log 2
    >>> round(float(choice_cross_entropy(u, v, b, seen, torch.ones(1))), 4)
    0.6931
    """
    logits = torch.einsum("pd,pcd->pc", users, vectors) + bias
    logits = logits.masked_fill(~offered, float("-inf"))
    return ((torch.logsumexp(logits, dim=1) - logits[:, 0]) * weights).sum()


def squared_error(predicted: Tensor, ratings: Tensor) -> Tensor:
    """Sum of (predicted - rating)^2 over rows; both (P,)."""
    return ((predicted - ratings) ** 2).sum()
