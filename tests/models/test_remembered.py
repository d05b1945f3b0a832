"""Scores of histories that are remembered: within bounds, the latest first, never another's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crossrec.domains.spec import ContextField
from crossrec.models.context import ContextEncoder
from crossrec.models.domain_model import DomainModel
from crossrec.models.fusion import FEATURES, Fusion
from crossrec.models.query import Queries
from crossrec.models.remembered import MAX_ONCE, Remembered
from crossrec.models.sequence import SequenceTower
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.models.text_signals import unit
from crossrec.models.towers import UserTower
from tests.small_release import N_ITEMS, WIDTH, SmallDomain

ROW = np.arange(4, dtype=np.float32)


def _put_twice(lately: Remembered, key: bytes, row: np.ndarray) -> None:
    lately.put(key, {"text": row})
    lately.put(key, {"text": row})


def test_who_goes_through_all_users_once_pushes_nobody_out() -> None:
    lately = Remembered(max_bytes=2 * ROW.nbytes)
    _put_twice(lately, b"again", ROW)
    for user in range(3 * MAX_ONCE):
        lately.put(b"once %d" % user, {"text": ROW})
    assert len(lately) == 1
    assert lately.get(b"again")
    assert len(lately._once) == MAX_ONCE  # what is known of the others has a bound too


def test_what_was_asked_for_last_stays() -> None:
    lately = Remembered(max_bytes=2 * ROW.nbytes)
    for key in (b"a", b"b"):
        _put_twice(lately, key, ROW)
    assert lately.get(b"a")
    _put_twice(lately, b"c", ROW)
    assert lately.get(b"b") == {}
    assert (lately.get(b"a")["text"] == ROW).all()
    assert len(lately) == 2


def test_rows_larger_than_the_room_are_left_out() -> None:
    lately = Remembered(max_bytes=ROW.nbytes - 1)
    _put_twice(lately, b"a", ROW)
    assert len(lately) == 0


def test_rows_are_copies() -> None:
    lately, given = Remembered(), np.ones(3, np.float32)
    _put_twice(lately, b"a", given)
    given[:] = 0
    assert (lately.get(b"a")["text"] == 1).all()


@pytest.fixture
def model(films: SmallDomain) -> DomainModel:
    """The small domain's, with towers that know the time and the hour."""
    torch.manual_seed(0)
    hour = ContextField(name="hour", kind="cycle", period=24)
    context = ContextEncoder([hour], {}, clock=True)
    tower = UserTower(
        dim=16,
        text_dim=WIDTH,
        n_events=2,
        context_dim=context.dim,
        n_blocks=1,
        n_heads=2,
        max_steps=6,
        dropout=0.0,
    )
    weights = {name: value.numpy() for name, value in tower.state_dict().items()}
    vectors = unit(np.random.default_rng(0).normal(size=(N_ITEMS, 16)).astype(np.float32))
    bias = np.zeros(N_ITEMS, np.float32)
    sequence = SequenceSignal(SequenceTower(weights, 2), vectors, bias, context, 0.1, 6, clock=True)
    signals = {"sequence": sequence, **films.model.signals_by_name}
    n = len(signals)
    fusion = Fusion(
        names=list(signals),
        weights=np.random.default_rng(2).normal(size=(n, len(FEATURES))).astype(np.float32),
        evidence_weights=np.ones(n, np.float32),
        cold_lifts=np.zeros(n, np.float32),
        cold_weights=np.ones(len(FEATURES), np.float32),
        evidence=np.linspace(-1, 1, N_ITEMS, dtype=np.float32),
        cold=(np.arange(N_ITEMS) > 20).astype(np.float32),
        clock=True,
    )
    return replace(films.model, signals_by_name=signals, fusion=fusion)


def _asked() -> list[Queries]:
    """Histories, moments, hours and requests, each beside what differs from it in one of them."""
    rng, day = np.random.default_rng(1), 86_400
    plain = Queries(
        items=np.array([[3, 4, 5]], np.int32),
        times=np.array([[1, 2, 3]], np.int64) * day,
        events=np.zeros((1, 3), np.int16),
        now=np.array([4 * day]),
        request=np.zeros((1, WIDTH), np.float32),
        context={"hour": np.array([3], np.float32)},
    )
    return [
        plain,
        replace(plain, items=np.array([[3, 5, 4]], np.int32)),
        replace(plain, items=np.full((1, 3), -1, np.int32)),
        replace(plain, times=plain.times - day),
        replace(plain, events=plain.events + 1),
        replace(plain, now=plain.now + 30 * day),
        replace(plain, context={"hour": np.array([15], np.float32)}),
        replace(plain, context={}),
        replace(plain, request=rng.normal(size=(1, WIDTH)).astype(np.float32)),
        replace(plain, request=rng.normal(size=(1, WIDTH)).astype(np.float32)),
    ]


def test_what_is_remembered_changes_no_score(model: DomainModel):
    asked = _asked()
    fresh = [model.score(query.take(np.array([0, 0])))[0] for query in asked]
    assert len({row.tobytes() for row in fresh}) == len(asked)  # nobody's answer is another's
    for _ in range(3):  # new, remembered, taken from there
        for query, expected in zip([*asked, *asked[::-1]], [*fresh, *fresh[::-1]], strict=True):
            np.testing.assert_allclose(model.score(query)[0], expected, atol=1e-4)


def test_nobody_can_change_what_is_remembered(model: DomainModel):
    [query, *_] = _asked()
    first = [model.score(query) for _ in range(2)][1]
    for part in model.signals(query).values():
        if part.flags.writeable:
            part[:] = 0
    np.testing.assert_array_equal(model.score(query), first)
