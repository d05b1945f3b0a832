"""The optimiser of one network, or of several that share weights; gradients over processes.

Leaves to others: when it steps (loop.py), which weights are shared (carrying.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed

from crossrec.config import RunConfig
from crossrec.training.network import Network


def make_optimiser(networks: Sequence[Network], config: RunConfig) -> torch.optim.Optimizer:
    """AdamW; no decay on vectors and scalars (norms, biases, gates), LoRA at its own rate.

    Weights that networks share are in it once.
    """
    training = config.training
    groups: dict[tuple[float, float], list[Tensor]] = {}
    named = {p: name for network in networks for name, p in network.named_parameters()}
    for parameter, name in named.items():
        if not parameter.requires_grad:
            continue
        rate = training.adapter_learning_rate if "lora_" in name else training.learning_rate
        decay = training.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((rate, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "lr": rate, "full_lr": rate, "weight_decay": decay}
            for (rate, decay), params in groups.items()
        ],
        betas=(0.9, 0.98),
        foreach=True,
    )


def sum_over_processes(network: Network, total: Tensor) -> Tensor:
    """All-reduce gradients (sums: each process divided by the whole batch) and the loss."""
    gradients = [
        parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
        for parameter in network.parameters()
        if parameter.requires_grad
    ]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients] + [total.reshape(1)])
    distributed.all_reduce(flat)
    offset = 0
    for parameter in (p for p in network.parameters() if p.requires_grad):
        parameter.grad = flat[offset : offset + parameter.numel()].view_as(parameter)
        offset += parameter.numel()
    return flat[-1]
