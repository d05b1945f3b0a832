"""The chunked softmax against torch's own cross-entropy."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from crossrec.models import losses
from crossrec.models.losses import softmax_cross_entropy, squared_error


def test_loss_and_gradients_equal_the_plain_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "CHUNK", 4)  # 10 rows: whole chunks and a rest
    torch.manual_seed(0)
    shapes = [(10, 6), (7, 6), (7,), ()]
    ours = [torch.randn(shape, requires_grad=True) for shape in shapes]
    theirs = [one.detach().clone().requires_grad_() for one in ours]
    targets, weights, offset = torch.randint(7, (10,)), torch.rand(10), torch.rand(10, 7)
    users, items, bias, scale = ours
    loss = softmax_cross_entropy(
        users, items, bias, targets, weights, offset=offset, offset_weight=scale
    )
    logits = theirs[0] @ theirs[1].T + theirs[2] + theirs[3] * offset
    expected = (functional.cross_entropy(logits, targets, reduction="none") * weights).sum()
    (2 * loss).backward()
    (2 * expected).backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine.grad, other.grad, atol=1e-5)


def test_bfloat16_is_close_and_sums_in_float32() -> None:
    torch.manual_seed(0)
    users, items, bias = torch.randn(64, 32), torch.randn(100, 32), torch.zeros(100)
    targets = torch.randint(100, (64,))
    exact = softmax_cross_entropy(users, items, bias, targets)
    low = softmax_cross_entropy(users, items, bias, targets, bf16=True)
    assert low.dtype == torch.float32
    assert low.item() == pytest.approx(exact.item(), rel=0.02)


def test_a_uniform_guess_costs_log_n_each() -> None:
    loss = softmax_cross_entropy(
        torch.zeros(3, 2), torch.ones(8, 2), torch.zeros(8), torch.tensor([0, 1, 2])
    )
    assert loss.item() == pytest.approx(3 * torch.log(torch.tensor(8.0)).item())


def test_squared_error_is_a_sum() -> None:
    assert squared_error(torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])).item() == 5
