from __future__ import annotations

from dataclasses import replace

import pytest

from crossrec.domains.spec import ContextField
from crossrec.errors import RequestError, UnknownItemError
from crossrec.releases.store import LoadedRelease
from crossrec.serving.cards import (
    domain_card,
    domain_summary,
    item_card,
    search_cards,
    user_card,
)
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.feedback_log import StoredEvent
from crossrec.serving.ranker import Ranker


def test_an_item_card_has_all_columns(loaded: LoadedRelease):
    card = item_card(loaded, "film-21")
    assert card.columns == {"year": 2001, "price": 10.5, "studio": "south", "tags": ["new"]}
    with pytest.raises(UnknownItemError, match="'films' has no item 'film-99'"):
        item_card(loaded, "film-99")


def test_search_has_a_limit(loaded: LoadedRelease):
    assert len(search_cards(loaded, "horror", 3)) == 3
    with pytest.raises(RequestError, match="limit=0; expected 1 to 100"):
        search_cards(loaded, "horror", 0)


def test_a_user_card_is_newest_first_with_feedback_before_training(loaded: LoadedRelease):
    feedback = [StoredEvent("film-1", "like", 1), StoredEvent("gone", "dislike", 2)]
    card = user_card(loaded, "user-2", feedback, limit=4)
    assert card.known
    assert [(step.item_id, step.source) for step in card.history[:2]] == [
        ("gone", "feedback"),
        ("film-1", "feedback"),
    ]
    assert [step.title for step in card.history[:2]] == ["gone", "The space number 1"]
    assert [step.source for step in card.history[2:]] == ["training", "training"]
    assert card.history[2].timestamp > card.history[3].timestamp
    assert not user_card(loaded, "nobody", [], limit=4).known


def test_the_domain_card_says_what_a_request_may_hold(loaded: LoadedRelease):
    rules = FeedbackRules(loaded.model.domain, loaded.model.vocabulary)
    card = domain_card(loaded, rules, Ranker(loaded).objectives)
    assert (card.n_items, card.n_users, card.simulated) == (24, 20, False)
    assert card.time_kind == "unix_seconds"
    assert card.release == loaded.release.version
    assert [(field.name, field.kind, field.values) for field in card.context] == [
        ("weather", "category", ["rain", "sun"]),
        ("hour", "cycle", []),
    ]
    assert card.filter_columns == {
        "category": "list",
        "year": "number",
        "price": "number",
        "studio": "text",
        "tags": "list",
    }
    assert {one.name: (one.weight, one.unit) for one in card.objectives} == {
        "relevance": (1, ""),
        "popularity": (0, "interactions"),
        "novelty": (0, ""),
        "freshness": (0, "days"),
        "diversity": (0, ""),
    }
    assert {"watch", "like", "dislike", "impression", "shown"} <= set(card.events)
    assert card.metrics["metrics"]["ndcg@10"] == 0.5
    assert len(card.example_users) == 10


def test_the_domain_card_says_where_times_are_no_clocks(loaded: LoadedRelease):
    domain = loaded.model.domain.model_copy(update={"time_kind": "order_index_per_user"})
    changed = replace(loaded, model=replace(loaded.model, domain=domain))
    rules = FeedbackRules(domain, loaded.model.vocabulary)
    card = domain_card(changed, rules, Ranker(changed).objectives)
    assert card.time_kind == "order_index_per_user"


def test_the_card_says_what_the_release_was_trained_for(loaded: LoadedRelease):
    config = loaded.model.config.model_copy(update={"task": "rate"})
    rated = replace(loaded, model=replace(loaded.model, config=config))
    assert (domain_summary(loaded).task, domain_summary(rated).task) == ("rank", "rate")


def test_the_domain_card_says_which_context_the_clock_gives(loaded: LoadedRelease):
    rules = FeedbackRules(loaded.model.domain, loaded.model.vocabulary)
    card = domain_card(loaded, rules, Ranker(loaded).objectives)
    assert {one.name: one.derive for one in card.context} == {"weather": None, "hour": "hour"}


def test_the_domain_card_says_which_context_restricts_candidates(loaded: LoadedRelease):
    field = ContextField(name="studio", kind="category", restricts="studio")
    domain = loaded.model.domain.model_copy(update={"context": [field]})
    changed = replace(loaded, model=replace(loaded.model, domain=domain))
    rules = FeedbackRules(domain, loaded.model.vocabulary)
    card = domain_card(changed, rules, Ranker(changed).objectives)
    assert [one.restricts for one in card.context] == ["studio"]
