"""The sequence signal around the numpy tower: what it remembers changes no score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crossrec.models.context import ContextEncoder
from crossrec.models.query import Queries
from crossrec.models.sequence import SequenceTower
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.text_signals import unit
from crossrec.models.towers import UserTower

N, D, E, T = 9, 16, 12, 6
RNG = np.random.default_rng(0)


@pytest.fixture
def signal() -> SequenceSignal:
    torch.manual_seed(0)
    torch_tower = UserTower(
        dim=D,
        text_dim=E,
        n_events=2,
        context_dim=2,
        n_blocks=1,
        n_heads=2,
        max_steps=T,
        dropout=0.0,
    )
    weights = {name: value.numpy() for name, value in torch_tower.state_dict().items()}
    return SequenceSignal(
        tower=SequenceTower(weights, 2),
        vectors=unit(RNG.normal(size=(N, D)).astype(np.float32)),
        bias=np.zeros(N, np.float32),
        context=ContextEncoder([], {}, clock=True),
        temperature=0.1,
        history_length=T,
        clock=True,
    )


def queries() -> Queries:
    items = np.array([[-1, -1, 3, 4, 5], [0, 1, 2, 3, 4], [-1, -1, -1, -1, -1]], np.int32)
    times = np.cumsum(RNG.integers(1, 10**5, items.shape), axis=1) * (items >= 0)
    return Queries(
        items=items,
        times=times,
        events=np.where(items >= 0, 0, -1).astype(np.int16),
        now=times[:, -1] + 5000,
        request=RNG.normal(size=(3, E)).astype(np.float32),
    )


def test_a_query_alone_scores_as_in_a_batch_and_as_when_asked_before(signal: SequenceSignal):
    batch = queries()
    together = signal.score(batch)
    for row in range(3):
        alone = batch.take(np.array([row]))
        for _ in range(2):
            np.testing.assert_allclose(signal.score(alone)[0], together[row], atol=1e-4)
    assert signal._remembered.cache_info().hits == 3


def test_the_same_history_is_read_again_where_anything_of_it_differs(signal: SequenceSignal):
    one = queries().take(np.array([1]))
    before = signal.score(one)
    later = replace(one, now=one.now + 10**7)  # asked later: the history itself is the same
    assert not np.allclose(signal.score(later), before)
    assert signal._remembered.cache_info().misses == 1
    slower = replace(one, times=one.times * 50, now=one.now * 50)
    assert not np.allclose(signal.score(slower), before)
    other = replace(one, items=one.items[:, ::-1])
    assert not np.allclose(signal.score(other), before)
    assert signal._remembered.cache_info().misses == 3
