"""Rows of the benchmark `loo`: which domains stand in a mean, and what a row says."""

from __future__ import annotations

import pytest

from crossrec.benchmark.cells import FUSION, OURS, Result
from crossrec.benchmark.compare import groups
from tests.benchmark.test_cells import result
from tests.benchmarks.loo import PEER_DOMAINS, rows
from tests.benchmarks.rows import COLUMNS


def moved(one: Result, domain: str) -> Result:
    object.__setattr__(one.cell, "domain", domain)
    return one


def of(domain: str) -> list[Result]:
    made = [result(OURS, [1, 2, 3]), result("ease", [2, 2, 3]), result(FUSION, [1, 2, 3])]
    made.append(result("frozen_text", [3, 3, 3]))
    return [moved(one, domain) for one in made]


def test_there_is_a_mean_once_all_domains_are_there():
    some = [one for domain in PEER_DOMAINS[1:] for one in of(domain)]
    assert "all" not in {row["domain"] for row in rows(groups(some))}
    all_of_them = rows(groups(some + of(PEER_DOMAINS[0])))
    means = {row["name"]: row for row in all_of_them if row["domain"] == "all"}
    assert set(means) == {"loo_over_peer", "loo_over_fusion"}
    assert means["loo_over_fusion"]["ratio"] == pytest.approx(1)
    assert means["loo_over_peer"]["ratio"] > 1.1
    assert means["loo_over_peer"]["n"] == 3 * len(PEER_DOMAINS)


def test_a_row_says_what_its_domain_was_compared_with():
    found = rows(groups(of("music")))
    peer = next(row for row in found if row["name"] == "loo_over_peer")
    assert peer["peer"] == "ease"
    assert peer["ratio"] == pytest.approx(peer["value"] / peer["peer_value"])
    assert set(peer) <= set(COLUMNS)
    [cold] = [row for row in found if row["name"] == "cold_over_text"]
    assert (cold["unit"], cold["n"]) == ("recall@10", 1)
