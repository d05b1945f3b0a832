"""Rows of the benchmark `loo`: which domains stand in a mean, what a row says, and that partial
runs add to each other.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from crossrec.benchmark.cells import BLIND, FUSION, MINE, OURS, Cell, CellStore, Result
from crossrec.benchmark.compare import groups
from crossrec.benchmark.exchange import NOT_INSTALLED, NotRunError
from crossrec.benchmark.run import Benchmark, Outcome
from tests.benchmark.test_cells import result
from tests.benchmarks import loo
from tests.benchmarks.loo import PEER_DOMAINS, Found, merged, planned, rows, told
from tests.benchmarks.rows import COLUMNS

RANKS = {OURS: [1, 2, 3], BLIND: [2, 1, 3], FUSION: [1, 2, 3], "ease": [2, 2, 3]}
"""Of all others the targets rank third."""


def moved(one: Result, domain: str) -> Result:
    object.__setattr__(one.cell, "domain", domain)
    return one


def of(domain: str, *without: str, seeds: int = 1) -> list[Result]:
    """Every cell of the default plan but some peers; ours with several seeds."""
    names = set(planned(domain, "leave_one_out")) - set(without)
    made = []
    for name in sorted(names):
        for seed in range(seeds if name in MINE else 1):
            made.append(moved(result(name, RANKS.get(name, [3, 3, 3]), seed), domain))
    return made


def all_domains(*without: str) -> list[Result]:
    return [one for domain in PEER_DOMAINS for one in of(domain, *without)]


def means(found: Found) -> dict[str, dict]:
    return {row["name"]: row for row in rows(found) if row["domain"] == "all"}


def test_there_is_a_mean_once_all_domains_are_there():
    some = [one for domain in PEER_DOMAINS[1:] for one in of(domain)]
    assert not means(Found(groups(some)))
    found = means(Found(groups(all_domains())))
    assert set(found) == {"loo_over_peer", "loo_blind", "loo_over_fusion"}
    assert found["loo_over_fusion"]["ratio"] == pytest.approx(1)
    assert found["loo_over_peer"]["ratio"] > 1.1
    assert found["loo_over_peer"]["n"] == 3 * len(PEER_DOMAINS)


def test_there_is_no_mean_over_the_best_peer_while_one_has_not_run():
    found = Found(groups(all_domains("unisrec_text")))
    assert set(means(found)) == {"loo_over_fusion"}
    row = next(row for row in rows(found) if row["name"] == "loo_over_peer")
    assert "peers missing: unisrec_text" in row["protocol"]
    assert "unisrec_text_id" in row["command"].partition(" --peers ")[2]
    assert " unisrec_text " not in row["command"]


@pytest.mark.parametrize(
    ("reason", "stands"),
    [
        (f"not run: {NOT_INSTALLED} (make_env.sh recbole failed)", True),
        ("not run yet", False),
        ("not run: its environment is missing; make it with make_env.sh recbole", False),
        ("failed: recbole_sasrec.py ended with code 1; its message is above", False),
    ],
)
def test_a_mean_does_without_a_peer_only_if_it_does_not_install(reason: str, stands: bool):
    not_run = {
        Cell(domain, "leave_one_out", "recbole_sasrec"): reason
        for domain in ("movies", "industrial")
    }
    found = Found(groups(all_domains("recbole_sasrec")), not_run)
    assert ("loo_over_peer" in means(found)) == stands
    row = next(row for row in rows(found) if row["name"] == "loo_over_peer")
    said = "do not install" if stands else "peers missing"
    assert f"{said}: recbole_sasrec" in row["protocol"]
    assert ("--peers" in row["command"]) != stands


def test_a_mean_has_the_seeds_that_all_its_domains_have():
    first = of(PEER_DOMAINS[0], seeds=2)
    rest = [one for domain in PEER_DOMAINS[1:] for one in of(domain, seeds=3)]
    mean = means(Found(groups(first + rest)))["loo_over_peer"]
    assert mean["seeds"] == [0, 1]
    assert mean["command"] == "python -m tests.benchmarks.loo --seeds 2"


def test_a_row_says_what_its_domain_was_compared_with():
    found = rows(Found(groups(of("music"))))
    peer = next(row for row in found if row["name"] == "loo_over_peer")
    assert peer["peer"] == "ease"
    assert peer["ratio"] == pytest.approx(peer["value"] / peer["peer_value"])
    assert peer["command"] == "python -m tests.benchmarks.loo --domains music --seeds 1"
    assert set(peer) <= set(COLUMNS)
    [cold] = [row for row in found if row["name"] == "cold_over_text"]
    assert (cold["unit"], cold["n"]) == ("recall@10", 1)


def test_a_row_says_the_ratio_over_the_peer_that_is_best_on_test():
    made = of("music", "itemknn")
    made.append(moved(result("itemknn", [1, 2, 3], validation=[9, 9, 9]), "music"))
    peer, blind = rows(Found(groups(made)))[:2]
    assert peer["peer"] == "ease"  # by validation
    assert "over the peer best on test (itemknn) 1.000" in peer["protocol"]
    assert (blind["name"], blind["peer"]) == ("loo_blind", "ease")


def test_a_row_says_what_ours_is_told_and_peers_are_not():
    peer, blind = rows(Found(groups(of("music"))))[:2]
    assert "ours is told of the request: its moment" in peer["protocol"]
    assert "ours is told the history alone" in blind["protocol"]
    assert "its moment, hour, weekday, month" in told("travel", OURS)  # the city: the last item's


def test_rows_of_other_domains_stay_and_a_former_mean_goes_with_its_rows():
    former = rows(Found(groups([*all_domains(), *of("books")])))
    made = rows(Found(groups(of("movies", "unisrec_text"))))
    now = merged(made, former, ["movies"])
    kept = {(row["name"], row["domain"]) for row in now}
    assert {("loo_over_peer", domain) for domain in PEER_DOMAINS} <= kept
    assert not {name for name, domain in kept if domain == "all"}
    assert len(kept) == len(now)
    changed = next(row for row in now if row["name"] == "loo_over_peer")
    assert changed["domain"] == "movies"
    assert "peers missing" in changed["protocol"]
    only_cold = [row for row in made if row["name"] == "cold_over_text"]
    assert {row["name"] for row in merged(only_cold, former, ["books"]) if row["domain"] == "all"}


def test_rows_are_made_of_all_that_the_folder_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Asked for travel, with cells of music left by an earlier run."""
    store = CellStore(tmp_path)
    earlier = of("music")
    for one in earlier:
        store.save(one)
    monkeypatch.setattr(Benchmark, "result", lambda self, cell: known(self.store, cell))
    travel = Outcome(of("travel"))
    cells = [one.cell for one in travel.results]
    whole = loo.with_the_rest(tmp_path, travel, cells, seeds=1)
    assert {one.cell.domain for one in whole.results} == {"travel", "music"}
    assert {one.cell for one in earlier} <= {one.cell for one in whole.results}


def known(store: CellStore, cell: Cell) -> Result:
    """What the folder holds, whatever made it."""
    found = store.load(cell, "abc")
    if found is None:
        raise NotRunError("not run yet")
    return found
