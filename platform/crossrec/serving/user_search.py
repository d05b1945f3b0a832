"""Finds users of a domain's current release: by a part of their id, or by what they had.

For those who look into a domain and have no id at hand. Leaves to others: what is stored of one
user (cards.py), the route (insight_routes.py).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np

from crossrec.releases.catalogue import CATALOGUE, Catalogue
from crossrec.releases.store import ReleaseStore
from crossrec.serving.insight_messages import FoundUser, UserList

MAX_USERS = 50_000
"""Users that are looked at, the first of the release."""
N_ITEMS = 5
"""Items that the words may mean, the best found."""


def find_users(
    domain: str,
    text: str,
    limit: int,
    stored_as: Callable[[str], str] = str,
    hides: Callable[[str], bool] = lambda user_id: False,
) -> UserList:
    """Users whose id is, begins with, or holds the text; then those who had items that it means.

    Of the latter those with more of these items come first, then those with shorter histories, of
    whom the items say more.

    Args:
        domain: its name.
        text: some of an id, or words of items.
        limit: users, at most.
        stored_as: an id as callers say it → as it is stored, where pseudonyms are kept.
        hides: whether a user was erased.

    Raises:
        UnknownDomainError: the domain has no release.
    """
    with closing(Catalogue(ReleaseStore().show(domain).folder / CATALOGUE)) as catalogue:
        histories = dict(catalogue.histories(MAX_USERS))
        items = [item.item_idx for item in catalogue.search(text, N_ITEMS)]
        titles = dict(zip(items, catalogue.titles(items), strict=True))
    wanted, stored = text.strip().lower(), stored_as(text.strip())
    had = {
        user_id: np.intersect1d(items, history).tolist() for user_id, history in histories.items()
    }

    def order(user_id: str) -> tuple[int, int, int]:
        name = user_id.lower()
        if user_id == stored or name == wanted:
            return 0, 0, 0
        if wanted in name:
            return 1 + (not name.startswith(wanted)), len(name), 0
        return 3, -len(had[user_id]), len(histories[user_id])

    meant = [one for one in histories if order(one)[0] < 3 or had[one]]
    found: list[FoundUser] = []
    for user_id in sorted(meant, key=order):
        if len(found) < limit and not hides(user_id):
            names = [titles[item] for item in had[user_id]]
            found.append(FoundUser(user_id=user_id, n_history=len(histories[user_id]), had=names))
    return UserList(users=found)
