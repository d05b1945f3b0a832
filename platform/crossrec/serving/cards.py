"""Cards of items, users and the domain: what can be looked up beside recommendations.

Leaves to others: reading the catalogue (releases/catalogue.py), transport (deployments.py).
"""

from __future__ import annotations

from crossrec.errors import RequestError, UnknownItemError
from crossrec.ranking.objectives import Objectives
from crossrec.releases.catalogue import CatalogueItem
from crossrec.releases.store import LoadedRelease
from crossrec.serving.feedback import FeedbackRules
from crossrec.serving.feedback_log import StoredEvent
from crossrec.serving.messages import (
    ContextCard,
    DomainCard,
    DomainSummary,
    ItemCard,
    ObjectiveCard,
    UserCard,
    UserHistoryItem,
)

MAX_SEARCH_RESULTS = 100
N_EXAMPLE_USERS = 10


def item_card(loaded: LoadedRelease, item_id: str) -> ItemCard:
    """One item with all its columns.

    Raises:
        UnknownItemError: no item has that id.
    """
    item_idx = loaded.model.vocabulary.item_idx.get(item_id)
    if item_idx is None:
        raise UnknownItemError(f"'{loaded.model.domain.name}' has no item '{item_id}'")
    return _item_card(loaded.catalogue.card(item_idx))


def search_cards(loaded: LoadedRelease, text: str, limit: int) -> list[ItemCard]:
    """Items that hold the words of `text`, best first.

    Raises:
        RequestError: a limit outside 1 to MAX_SEARCH_RESULTS.
    """
    if not 1 <= limit <= MAX_SEARCH_RESULTS:
        raise RequestError(f"got limit={limit}; expected 1 to {MAX_SEARCH_RESULTS}")
    return [_item_card(item) for item in loaded.catalogue.search(text, limit)]


def _item_card(item: CatalogueItem) -> ItemCard:
    return ItemCard(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        category=item.category,
        columns=item.columns,
    )


def user_card(
    loaded: LoadedRelease, user_id: str, feedback: list[StoredEvent], limit: int
) -> UserCard:
    """What is stored of a user, newest first: feedback, then the history of the release."""
    stored = loaded.catalogue.history(user_id)
    item_ids = loaded.model.vocabulary.item_ids
    newest = [(event.item_id, event.event, event.timestamp, "feedback") for event in feedback[::-1]]
    if stored is not None:
        names = loaded.catalogue.event_names
        rows = zip(stored.items[::-1], stored.events[::-1], stored.times[::-1], strict=True)
        newest += [(item_ids[i], names[event], int(at), "training") for i, event, at in rows]
    titles = _titles(loaded, [row[0] for row in newest[:limit]])
    history = [
        UserHistoryItem.model_validate(
            {"item_id": i, "title": titles[i], "event": event, "timestamp": at, "source": source}
        )
        for i, event, at, source in newest[:limit]
    ]
    return UserCard(user_id=user_id, known=bool(newest), history=history)


def _titles(loaded: LoadedRelease, item_ids: list[str]) -> dict[str, str]:
    """item_id → title; an item that the release no longer has is called by its id."""
    known = loaded.model.vocabulary.item_idx
    idxs = {item_id: known[item_id] for item_id in item_ids if item_id in known}
    titles = dict(zip(idxs, loaded.catalogue.titles(list(idxs.values())), strict=True))
    return {item_id: titles.get(item_id, item_id) for item_id in item_ids}


def domain_card(loaded: LoadedRelease, rules: FeedbackRules, objectives: Objectives) -> DomainCard:
    """What the domain is and what it serves."""
    values = loaded.model.vocabulary.context_values
    return DomainCard(
        **domain_summary(loaded).model_dump(),
        encoder=loaded.release.manifest.encoder,
        n_items=loaded.catalogue.n_items,
        n_users=loaded.catalogue.n_users,
        time_kind=loaded.model.domain.time_kind,
        context=[
            ContextCard(
                name=field.name,
                kind=field.kind,
                values=values.get(field.name, []),
                period=field.period,
                restricts=field.restricts,
                derive=field.derive,
                description=field.description,
            )
            for field in loaded.model.domain.context
        ],
        filter_columns=dict(loaded.catalogue.columns),
        objectives=[_objective_card(name, objectives) for name in objectives.declared],
        search="exact" if loaded.search is None else "approximate",
        events=sorted(rules.meanings),
        metrics=loaded.release.metrics,
        example_users=loaded.catalogue.example_users(N_EXAMPLE_USERS),
    )


def _objective_card(name: str, objectives: Objectives) -> ObjectiveCard:
    objective = objectives.declared[name]
    return ObjectiveCard(
        name=name,
        unit=objectives.unit(objective),
        column=objective.column,
        higher_is_better=objective.higher_is_better,
        weight=objectives.weights.get(name, 0.0),
    )


def domain_summary(loaded: LoadedRelease) -> DomainSummary:
    """The domain's line in the list of domains."""
    domain = loaded.model.domain
    return DomainSummary(
        name=domain.name,
        title=domain.title,
        description=domain.description,
        language=domain.language,
        task=loaded.model.task,
        simulated=domain.simulated,
        release=loaded.release.version,
    )
