"""The numpy user tower against the torch one that is trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crossrec.models.sequence import SequenceTower, item_vectors
from crossrec.models.towers import ItemTower, UserTower

B, T, D, E, C = 5, 7, 16, 12, 3


@pytest.fixture
def torch_tower() -> UserTower:
    torch.manual_seed(0)
    tower = UserTower(
        dim=D,
        text_dim=E,
        n_events=4,
        context_dim=C,
        n_blocks=2,
        n_heads=2,
        max_steps=T,
        dropout=0.5,
    )
    for parameter in tower.parameters():  # no weight may hide behind its start at zero
        torch.nn.init.normal_(parameter, std=0.3)
    return tower.eval()


def inputs(rng: np.random.Generator) -> dict[str, np.ndarray]:
    lengths = np.array([0, 1, 3, T - 1, T])
    present = np.arange(T)[None, :] >= T - lengths[:, None]
    vectors = rng.normal(size=(B, T, D)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    request = rng.normal(size=(B, E)).astype(np.float32)
    request[[0, 2]] = 0  # nobody said anything
    return {
        "vectors": vectors * present[..., None],
        "events": rng.integers(0, 5, (B, T)) * present,
        "gaps": rng.integers(0, 20, (B, T)) * present,
        "present": present,
        "request": request,
        "context": rng.normal(size=(B, C)).astype(np.float32),
    }


def from_torch(tower: UserTower, given: dict[str, np.ndarray]) -> np.ndarray:
    request = np.zeros((B, T, E), np.float32)
    request[:, -1] = given["request"]
    context = np.zeros((B, T, given["context"].shape[1]), np.float32)
    context[:, -1] = given["context"]
    tensors = {name: torch.from_numpy(value) for name, value in given.items()}
    with torch.no_grad():
        users = tower(
            tensors["vectors"],
            tensors["events"],
            tensors["gaps"],
            tensors["present"],
            torch.from_numpy(request),
            torch.from_numpy((request != 0).any(-1)),
            torch.from_numpy(context),
        )
    return users[:, -1].numpy()


def weights(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in module.state_dict().items()}


def test_numpy_and_torch_give_the_same_users_whatever_is_missing(torch_tower: UserTower) -> None:
    given = inputs(np.random.default_rng(1))
    ours = SequenceTower(weights(torch_tower), 2).user_vectors(**given)
    np.testing.assert_allclose(ours, from_torch(torch_tower, given), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)


def test_a_step_does_not_depend_on_padding_to_its_left(torch_tower: UserTower) -> None:
    tower = SequenceTower(weights(torch_tower), 2)
    given = inputs(np.random.default_rng(2))
    short = {
        name: value[:, -3:] if value.ndim > 1 and value.shape[1] == T else value
        for name, value in given.items()
    }
    np.testing.assert_allclose(  # row 2 has three steps
        tower.user_vectors(**given)[2], tower.user_vectors(**short)[2], atol=1e-5
    )


def test_the_future_does_not_change_a_step(torch_tower: UserTower) -> None:
    rng = np.random.default_rng(3)
    vectors = torch.from_numpy(rng.normal(size=(1, T, D)).astype(np.float32))
    changed = vectors.clone()
    changed[:, -1] += 1
    zeros = torch.zeros(1, T, dtype=torch.long)
    rest = (
        zeros,
        zeros,
        torch.ones(1, T, dtype=torch.bool),
        torch.zeros(1, T, E),
        torch.zeros(1, T, dtype=torch.bool),
        torch.zeros(1, T, C),
    )
    with torch.no_grad():
        before, after = torch_tower(vectors, *rest), torch_tower(changed, *rest)
    assert torch.allclose(before[:, :-1], after[:, :-1], atol=1e-6)
    assert not torch.allclose(before[:, -1], after[:, -1], atol=1e-3)


def test_item_vectors_are_those_of_the_item_tower_and_ignore_the_id_of_a_cold_item() -> None:
    torch.manual_seed(0)
    tower = ItemTower(torch.tensor([0, 1, 50]), E, D, id_dropout=0.5).eval()
    text = np.random.default_rng(0).normal(size=(3, E)).astype(np.float32)
    with torch.no_grad():
        theirs = tower(torch.from_numpy(text), torch.arange(3), None).numpy()
    ours = item_vectors(weights(tower), text)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    changed = weights(tower)
    changed["ids.weight"] = changed["ids.weight"] + 1
    np.testing.assert_allclose(item_vectors(changed, text)[0], ours[0], atol=1e-6)
    assert np.abs(item_vectors(changed, text)[1:] - ours[1:]).max() > 1e-2


def test_id_dropout_of_one_leaves_the_text_alone() -> None:
    torch.manual_seed(0)
    tower = ItemTower(torch.tensor([9, 9]), E, D, id_dropout=1.0).train()
    text = torch.randn(2, E)
    vectors = tower(text, torch.arange(2), torch.Generator().manual_seed(0))
    expected = torch.nn.functional.normalize(tower.text(text), dim=-1)
    assert torch.allclose(vectors, expected, atol=1e-6)


def with_sound(dropout: float = 0.0) -> ItemTower:
    """A tower of three items; the second has no sound."""
    torch.manual_seed(0)
    sound = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.3, -0.8]])
    counts = torch.tensor([0, 1, 50])
    return ItemTower(counts, E, D, 0.0, {"sound": sound}, modality_dropout=dropout)


def test_item_vectors_hold_the_modalities_of_the_item_tower() -> None:
    tower = with_sound().eval()
    for parameter in tower.modalities.parameters():
        torch.nn.init.normal_(parameter)
    tower.open_to_cold(0.7)
    text = np.random.default_rng(0).normal(size=(3, E)).astype(np.float32)
    with torch.no_grad():
        theirs = tower(torch.from_numpy(text), torch.arange(3), None).numpy()
    ours = item_vectors(weights(tower), text)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    without = {k: v for k, v in weights(tower).items() if not k.startswith("modalities")}
    silent = item_vectors(without, text)
    np.testing.assert_array_equal(silent[1], ours[1])  # it lacks the modality
    assert np.abs(silent - ours)[[0, 2]].max(axis=1).min() > 1e-2
    tower.open_to_cold(0.0)  # the first item is cold
    closed = item_vectors(weights(tower), text)
    np.testing.assert_array_equal(closed[0], silent[0])
    np.testing.assert_array_equal(closed[1:], ours[1:])


def test_a_modality_starts_without_effect_and_draws_nothing_at_random() -> None:
    torch.manual_seed(0)
    plain = ItemTower(torch.tensor([0, 1, 50]), E, D, 0.0)
    drawn = torch.rand(1)
    text = torch.randn(3, E)
    tower = with_sound()
    assert torch.equal(drawn, torch.rand(1))
    expected = plain(text, torch.arange(3), None)
    assert torch.equal(tower(text, torch.arange(3), None), expected)


def test_modality_dropout_leaves_it_out_in_training_only() -> None:
    tower = with_sound(dropout=0.5)
    tower.open_to_cold(1.0)
    torch.nn.init.ones_(tower.modalities["sound"].weight)
    text, items = torch.randn(3, E), torch.arange(3)
    plain = torch.nn.functional.normalize(tower.text(text)[0], dim=-1)  # the first item is cold
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([tower.train()(text, items, generator)[0] for _ in range(200)])
    left_out = torch.isclose(draws, plain, atol=1e-6).all(dim=-1).float().mean()
    assert 0.4 < float(left_out) < 0.6
    assert not torch.isclose(tower.eval()(text, items, None)[0], plain, atol=1e-6).all()
