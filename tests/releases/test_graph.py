"""What items share in a knowledge graph, written into a catalogue and told of."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from crossrec.data.dataset import Dataset
from crossrec.releases.store import ReleaseStore
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import WordCounter
from tests.small_release import N_ITEMS, SmallDomain, make_small_domain

TRIPLES = [
    ("e2", "film.film.directed_by", "p1"),
    ("p1", "film.director.film", "e2"),  # the same from the other end
    ("e5", "film.film.directed_by", "p1"),
    ("e8", "film.film.directed_by", "p2"),  # nobody else has p2
    *[(f"e{n}", "film.film.language", "en") for n in range(N_ITEMS)],
    *[(f"e{n}", "film.film.country", "us") for n in (2, 5, 8, 11)],
]


@pytest.fixture
def films(tmp_path: Path) -> SmallDomain:
    made = make_small_domain(tmp_path / "films")
    folder = tmp_path / "films"
    pl.DataFrame(TRIPLES, ["head", "relation", "tail"], orient="row").write_parquet(
        folder / "kg.parquet"
    )
    links = {"item_id": [f"film-{n}" for n in range(N_ITEMS)]}
    pl.DataFrame(links | {"entity": [f"e{n}" for n in range(N_ITEMS)]}).write_parquet(
        folder / "kg_links.parquet"
    )
    pl.DataFrame({"entity": ["p1"], "label": ["Jane Doe"]}).write_parquet(
        folder / "kg_entities.parquet"
    )
    assert json.loads((folder / "dataset.json").read_text())
    return replace(made, dataset=Dataset.open(folder.name, folder.parent))


def test_ties_that_two_items_have_are_kept_once_with_names(
    films: SmallDomain, tmp_path: Path
) -> None:
    store = ReleaseStore(tmp_path / "releases")
    films.publish(store)
    catalogue = store.load("films").catalogue
    shared = catalogue.shared([2, 8])
    assert ("director", "p1", "Jane Doe", 2) in shared[2]
    assert len([tie for tie in shared[2] if tie[0] == "director"]) == 1
    assert not [tie for tie in shared[8] if tie[0] == "director"]
    assert ("country", "us", "", 4) in shared[8]
    catalogue.close()


def test_an_entity_without_a_name_is_called_as_its_items_say(
    films: SmallDomain, tmp_path: Path
) -> None:
    items = films.dataset.catalogue()
    south = items.filter(pl.col("studio") == "south")["item_id"].to_list()[:3]
    [north, *_] = items.filter(pl.col("studio") == "north")["item_id"].to_list()
    ties = [(item, "film.film.studio", "s1") for item in south]
    ties += [(item, "film.film.studio", "s2") for item in (south[0], north)]
    entity = {item: item.replace("film-", "e") for item in [*south, north]}
    triples = [(entity[head], relation, tail) for head, relation, tail in ties]
    pl.DataFrame(triples, ["head", "relation", "tail"], orient="row").write_parquet(
        films.dataset.folder / "kg.parquet"
    )
    store = ReleaseStore(tmp_path / "releases")
    films.publish(store)
    catalogue = store.load("films").catalogue
    [idx] = [n for n, one in enumerate(items["item_id"]) if one == south[0]]
    assert catalogue.shared([idx])[idx] == [("studio", "s1", "south", 3), ("studio", "s2", "", 2)]
    catalogue.close()


def explained(
    store: ReleaseStore, tmp_path: Path, history: list[str], item: str
) -> ExplainResponse:
    loaded, log = store.load("films"), FeedbackLog(tmp_path / "feedback.db")
    request = RecommendRequest(history=[{"item_id": one} for one in history], k=N_ITEMS)
    asked = ExplainRequest(request=request, item_id=item)
    answer = asyncio.run(Explainer(Recommender(loaded, WordCounter(), log)).explain(asked))
    log.close()
    loaded.close()
    return answer


def test_the_rarest_entity_comes_first_and_what_all_share_tells_nothing(
    films: SmallDomain, tmp_path: Path
) -> None:
    store = ReleaseStore(tmp_path / "releases")
    films.publish(store)
    director, country = explained(store, tmp_path, ["film-2", "film-8"], "film-5").paths
    assert (director.entity, director.item_ids) == ("Jane Doe", ["film-2"])
    assert director.strength == pytest.approx(math.log(N_ITEMS / 2))
    assert director.sentence == (
        "The same director as “The horror number 2” (Jane Doe), which 2 of 24 items share."
    )
    assert (country.relation, country.item_ids) == ("country", ["film-8", "film-2"])


def test_without_the_tables_there_are_no_paths(tmp_path: Path) -> None:
    store = ReleaseStore(tmp_path / "releases")
    make_small_domain(tmp_path / "films").publish(store)
    assert explained(store, tmp_path, ["film-2"], "film-5").paths == []
