"""Parts that settings leave out say nothing: in training, in numpy, and in the fusion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from crossrec.benchmark.cells import BLIND, OURS, Cell
from crossrec.benchmark.contestants import settings_of_ours
from crossrec.config import Placement, load_config
from crossrec.data.batches import queries_for
from crossrec.data.dataset import Dataset
from crossrec.errors import ConfigError
from crossrec.models.context import gap_buckets
from crossrec.models.encoder import TextEncoder
from crossrec.models.neighbour_signals import NeighbourSignal
from crossrec.models.query import Queries
from crossrec.models.sequence_signal import SequenceSignal
from crossrec.training import closed_form
from crossrec.training.assemble import assemble, mixed
from crossrec.training.closed_form import fit_closed_form
from crossrec.training.loop import Fitted, fit
from crossrec.training.network import Network
from crossrec.training.prepare import Prepared, prepare
from tests.training.small import prepare_city

FP32 = Placement(precision="fp32")


def shaken(city: Dataset, tiny: TextEncoder, *settings: str) -> Network:
    """A network whose trained weights are all far from where they begin."""
    prepared = prepare_city(city, tiny, *settings)
    torch.manual_seed(1)
    network = Network(prepared, FP32).eval()
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    return network


def queries_of(prepared: Prepared) -> Queries:
    cases = prepared.split.test.take(np.arange(20))
    return queries_for(prepared.split.sequences, cases, prepared.text.shape[1])


def changed(part: str, queries: Queries) -> Queries:
    """The same questions but for what that part hears."""
    if part == "events":
        return replace(queries, events=np.where(queries.items >= 0, -1, queries.events))
    if part == "gaps":
        later = np.arange(queries.times.shape[1]) * 500_000
        return replace(queries, times=queries.times + later, now=queries.now + 10**9)
    return replace(queries, request=np.ones_like(queries.request))


@pytest.mark.parametrize("part", ["events", "gaps", "requests"])
def test_what_a_left_out_part_hears_changes_nothing(
    city: Dataset, tiny: TextEncoder, part: str
) -> None:
    for settings, hears in (["model.without=[]"], True), ([f"model.without=[{part}]"], False):
        network = shaken(city, tiny, *settings)
        signal, queries = network.export(), queries_of(network.prepared)
        gap = np.abs(signal.score(queries) - signal.score(changed(part, queries))).max()
        assert (gap > 1e-3) == hears


def test_the_blind_one_of_the_benchmark_hears_neither_moment_nor_context(
    city: Dataset, tiny: TextEncoder
) -> None:
    """The whole model: towers and fusion."""
    heard = {}
    for name in (OURS, BLIND):
        given = prepare_city(city, tiny, "training.max_epochs=1")
        config = settings_of_ours(given.config, Cell("city", given.split.protocol, name))
        prepared = prepare(city, config, encoder=tiny)
        model = assemble(prepared, fit(prepared, placement=FP32))
        queries = queries_of(prepared)
        other = {field: np.full_like(of, np.nan) for field, of in queries.context.items()}
        later = replace(queries, now=queries.now + 10**7, context=other)
        heard[name] = np.abs(model.score(later) - model.score(queries)).max()
    assert heard[OURS] > 0.01
    assert heard[BLIND] == 0


def test_an_item_without_its_text_is_its_id_alone(city: Dataset, tiny: TextEncoder) -> None:
    network = shaken(city, tiny, "model.without=[item_text]")
    plain = shaken(city, tiny)
    ids = network.items.ids.weight.detach().numpy()
    warm = network.prepared.split.warm
    of_ids = ids / np.linalg.norm(ids, axis=1, keepdims=True)
    np.testing.assert_allclose(network.export().vectors[warm], of_ids[warm], atol=1e-5)
    assert np.abs(plain.export().vectors[warm] - of_ids[warm]).max() > 0.1


@pytest.mark.parametrize(
    "without", ["short_term", "long_term", "requests", "short_term, requests", "events, gaps"]
)
def test_numpy_hears_what_training_heard(city: Dataset, tiny: TextEncoder, without: str) -> None:
    network = shaken(city, tiny, f"model.without=[{without}]")
    signal, queries = network.export(), queries_of(network.prepared)
    queries = replace(queries, request=network.prepared.wish_vectors[: len(queries)])
    ours = signal._user_vectors(queries)
    np.testing.assert_allclose(ours, in_torch(network, signal, queries), atol=1e-5)
    if "events" not in without:  # events and gaps are silent by their weights and inputs
        plain = shaken(city, tiny)
        plain.users.load_state_dict(network.users.state_dict())
        assert np.abs(ours - in_torch(plain, signal, queries)).max() > 1e-3


def in_torch(network: Network, signal: SequenceSignal, queries: Queries) -> np.ndarray:
    """User vectors of the trained tower itself, at the last step."""
    length = signal.history_length
    items, times = queries.items[:, -length:], queries.times[:, -length:]
    present = items >= 0
    vectors = signal.vectors[np.maximum(items, 0)] * present[..., None]
    since = np.maximum(queries.now - times[:, -1], 0)
    context = signal.context.encode(queries.context, since)
    shape = (*items.shape, context.shape[1])
    of_steps = np.broadcast_to(context[:, None], shape).copy()
    gaps = np.zeros(items.shape, np.int64)
    if signal.clock:
        both = present[:, 1:] & present[:, :-1]
        gaps[:, 1:] = gap_buckets(np.diff(times, axis=1)) * both
    request = np.zeros((*items.shape, queries.request.shape[1]), np.float32)
    request[:, -1] = network.whitening(queries.request)
    with torch.no_grad():
        users = network.users(
            torch.from_numpy(vectors),
            torch.from_numpy((queries.events[:, -length:].astype(np.int64) + 1) * present),
            torch.from_numpy(gaps),
            torch.from_numpy(present),
            torch.from_numpy(request),
            torch.from_numpy((request != 0).any(-1)),
            torch.from_numpy(of_steps),
        )
    return users[:, -1].numpy()


@pytest.fixture(scope="module")
def fitted(city: Dataset, tiny: TextEncoder) -> tuple[Prepared, Fitted]:
    prepared = prepare_city(city, tiny, "training.max_epochs=2")
    return prepared, fit(prepared, placement=FP32)


def without(prepared: Prepared, *parts: str) -> Prepared:
    settings = [f"model.without=[{', '.join(parts)}]"]
    model = load_config(overrides=settings).model
    config = prepared.config
    kept = config.model.model_copy(update={"without": model.without})
    return replace(prepared, config=config.model_copy(update={"model": kept}))


@pytest.mark.parametrize("part", ["sequence", "collaborative", "neighbours", "text", "popularity"])
def test_a_signal_that_is_left_out_has_no_share(fitted: tuple[Prepared, Fitted], part: str) -> None:
    prepared, trained = without(fitted[0], part), fitted[1]
    model = assemble(prepared, trained)
    queries = queries_of(prepared)
    parts = model.signals(queries)
    assert part not in parts or not parts[part].any()
    np.testing.assert_allclose(sum(parts.values()), model.score(queries), atol=1e-4)
    assert model.request_dim == prepared.text.shape[1]


def test_nothing_left_is_an_error(fitted: tuple[Prepared, Fitted]) -> None:
    prepared, trained = fitted
    signal = trained.sequence()
    with pytest.raises(ConfigError, match="leaves no signal"):
        mixed(without(prepared, "sequence"), [signal], prepared.wish_vectors)


def neighbours(prepared: Prepared) -> NeighbourSignal:
    signals = fit_closed_form(prepared, prepared.text, lambda step: None)
    return next(one for one in signals if type(one) is NeighbourSignal)


def test_cold_items_are_lent_nothing(city: Dataset, tiny: TextEncoder) -> None:
    prepared = prepare_city(city, tiny, "protocol=cold_items")
    cold = ~prepared.split.warm
    lent, alone = neighbours(prepared), neighbours(without(prepared, "lending"))
    assert np.diff(lent.starts)[cold].all()
    assert not np.diff(alone.starts)[cold].any()
    assert not cold[alone.columns].any()


def test_neighbours_without_what_follows_what_are_cosines(
    fitted: tuple[Prepared, Fitted], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("what follows what was looked at")

    monkeypatch.setattr(closed_form, "following_weights", refuse)
    assert len(neighbours(without(fitted[0], "follows")).values)
    with pytest.raises(AssertionError, match="was looked at"):
        neighbours(fitted[0])


def test_requests_left_out_of_the_fusion_are_no_signal(
    fitted: tuple[Prepared, Fitted],
) -> None:
    model = assemble(without(fitted[0], "requests"), fitted[1])
    assert {"request", "lexical", "asked"} & set(assemble(*fitted).signals_by_name)
    assert not {"request", "lexical", "asked"} & set(model.signals_by_name)
