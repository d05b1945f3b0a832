from __future__ import annotations

import pytest

from crossrec.errors import ConfigError
from crossrec.serving.capacity import Costs, Demand, DomainCost, most_per_second, plan

MIB = 2**20
FILMS = DomainCost(
    n_items=1000,
    by_id_s=0.001,
    by_text_s=0.002,
    per_items_share=0.5,
    memory_bytes=100 * MIB,
    item_bytes=1024,
)
COSTS = Costs(
    domains={"films": FILMS},
    text_s=0.01,
    encoder_bytes=400 * MIB,
    replica_bytes=80 * MIB,
    front_s=0.0005,
    other_bytes=300 * MIB,
)


def films(**demand: float):
    return plan(COSTS, {"films": Demand(**demand)}, node_cores=4, node_memory_bytes=8 * 1024 * MIB)  # type: ignore[arg-type]


def test_a_small_load_needs_one_of_each():
    small = films(requests_per_s=1)
    assert (small.replicas, small.shared, small.encoders, small.nodes) == ({"films": 1}, 1, 1, 1)
    assert small.memory_bytes == small.memory_apart_bytes == 800 * MIB


def test_domains_that_share_replicas_share_what_a_process_costs():
    costs = COSTS.model_copy(update={"domains": {"films": FILMS, "books": FILMS}})
    demands = dict.fromkeys(costs.domains, Demand(requests_per_s=300))
    both = plan(costs, demands, node_cores=4, node_memory_bytes=8 * 1024 * MIB)
    assert both.replicas == {"films": 1, "books": 1}  # each half busy
    assert both.shared == 1  # as busy as is planned
    assert both.memory_apart_bytes == (300 + 400 + 100 + 100) * MIB
    assert both.memory_bytes == (300 + 400 + 80 + 20 + 20) * MIB


def test_replicas_follow_the_requests_and_encoders_the_words():
    assert films(requests_per_s=1800).replicas == {"films": 3}  # 1.8 cores of work, 60 % busy each
    with_words = films(requests_per_s=600, text_share=0.5)
    assert with_words.replicas == {"films": 2}  # half of them cost twice as much
    assert with_words.encoders == 5


def test_cores_decide_the_nodes_or_memory_does():
    busy = films(requests_per_s=4000)
    assert busy.cores == pytest.approx(4000 * 0.0015 / 0.6)
    assert busy.nodes == 3
    catalogue = films(requests_per_s=4000, n_items=2000)
    assert catalogue.replicas == {"films": 10}
    with pytest.raises(ConfigError, match="no room for one process"):
        films(requests_per_s=1, n_items=100_000_000)


def test_only_the_search_grows_with_the_items():
    assert FILMS.seconds(0, 2000) == pytest.approx(0.0015)
    assert FILMS.seconds(0, 1_000_000) == FILMS.seconds(0, 100_000) == pytest.approx(0.0505)
    assert FILMS.memory(2000) == FILMS.memory_bytes + 1000 * 1024


def test_the_fullest_part_bounds_the_throughput():
    by_id = {"films": Demand(requests_per_s=1)}
    assert most_per_second(COSTS, by_id, cores=4) == pytest.approx(1000)  # the replica's one thread
    assert most_per_second(COSTS, by_id, cores=1) == pytest.approx(1 / 0.0015)
    assert most_per_second(COSTS, by_id, cores=4, replicas=2) == pytest.approx(2000)
    assert most_per_second(COSTS, by_id, cores=2, replicas=2) == pytest.approx(2 / 0.0015)
    words = {"films": Demand(requests_per_s=1, text_share=1)}
    assert most_per_second(COSTS, words, cores=16) == pytest.approx(100)  # the encoder's


def test_what_cannot_be_planned_is_said():
    with pytest.raises(ConfigError, match="did you mean 'films'"):
        plan(COSTS, {"flims": Demand(requests_per_s=1)}, 4, 2**33)
    with pytest.raises(ConfigError, match="no room for one process"):
        plan(COSTS, {"films": Demand(requests_per_s=1)}, 4, 2**28)
