"""Users described in words: each profile is a sentence made from the columns of `users`, and a
request whose right answers are all items that the user has had. No history is given.

Leaves to others: requests that people wrote (requests.py), encoding (training/prepare.py).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from crossrec.data.columns import Draft, from_template
from crossrec.data.dataset import Dataset
from crossrec.data.folds import fold_of
from crossrec.data.read import Table
from crossrec.data.sequences import load_sequences
from crossrec.data.split import Cases, Sequences, Split, draw_users
from crossrec.errors import DataError
from crossrec.schema import USER_ID

PROTOCOL = "profiles"
FOLDS = 5
"""Parts that users are divided into: one is test, the next one validation."""


def sentences(dataset: Dataset) -> dict[str, str]:
    """The sentence that describes each user, by user_id; empty where nothing is known.

    Raises:
        DataError: the domain has no `profile_template`, or no table `users`, or not the columns.
    """
    domain = dataset.domain
    if domain.profile_template is None or not dataset.has("users"):
        raise DataError(
            f"'{domain.name}' cannot describe its users: expected a table 'users' and a"
            " profile_template in the domain's YAML, such as 'Likes {cuisines} food.'"
        )
    table = Table.of(dataset.scan("users"), f"users of '{domain.name}'")
    draft = Draft(table, {column: column for column in table.columns})
    text = from_template(draft, domain.profile_template, "|")
    rows = table.frame.select(USER_ID, text.alias("sentence")).collect()
    return dict(rows.iter_rows())


def profile_split(dataset: Dataset, *, seed: int = 0, max_users: int | None = None) -> Split:
    """Users divided into FOLDS parts by a hash of their id: seed s is tested on part s mod FOLDS,
    validated on the next and trained on the others. FOLDS seeds in a row test every user once.

    Every item of a user is one row without history, said by the user's sentence; a user is one
    case, and all items of the user are right answers. Users of whom nothing is known are left
    out.

    Raises:
        DataError: see `sentences`; or no user is left in one of the parts.
    """
    said = sentences(dataset)
    whole = load_sequences(dataset, min_interactions=1)
    if max_users is not None:
        whole = draw_users(whole, max_users, seed)
    lengths = np.diff(whole.offsets)
    owner = np.repeat(np.arange(whole.n_users), lengths)
    texts = [said.get(user, "") for user in whole.user_ids]
    kept = np.array([bool(texts[user]) for user in owner], np.bool_)
    fields = {field.name for field in dataset.domain.context if field.derive == "last_item"}
    sequences = _one_by_one(whole, owner, texts, np.flatnonzero(kept), fields)
    owner = owner[kept]
    fold = np.array([fold_of(user, FOLDS) for user in whole.user_ids])[owner]
    test, validation = fold == seed % FOLDS, fold == (seed + 1) % FOLDS
    train = ~test & ~validation
    if not (train.any() and test.any() and validation.any()):
        raise DataError(
            f"{len(np.unique(owner))} users of '{dataset.domain.name}' are described: expected"
            f" enough for {FOLDS} parts, with items in each"
        )
    first = np.append(True, owner[1:] != owner[:-1])
    relevant = _items_of_owner(sequences, owner)
    warm = np.zeros(sequences.n_items, np.bool_)
    warm[sequences.items[train]] = True
    held_out = (_cases(first & validation), _cases(first & test))
    return Split(PROTOCOL, sequences, train, *held_out, warm, None, relevant)


def _cases(rows: NDArray[np.bool_]) -> Cases:
    users = np.flatnonzero(rows)
    return Cases(users, np.zeros_like(users))


def _one_by_one(
    whole: Sequences,
    owner: NDArray[np.int64],
    texts: list[str],
    rows: NDArray[np.int64],
    of_history: set[str],
) -> Sequences:
    """Each of `rows` as a user of its own, who says the owner's sentence.

    Context fields that a history tells (`of_history`) are not known of somebody without.
    """
    numbers = rows - whole.offsets[owner[rows]]
    pairs = zip(owner[rows], numbers, strict=True)
    names = [f"{whole.user_ids[user]}#{number}" for user, number in pairs]
    alone = whole.take(rows, names, np.arange(len(rows) + 1))
    context = alone.context | {n: np.full_like(alone.context[n], np.nan) for n in of_history}
    return replace(alone, context=context, requests=[texts[user] for user in owner[rows]])


def _items_of_owner(sequences: Sequences, owner: NDArray[np.int64]) -> sparse.csr_array:
    """(R, n_items) with ones at all items of each row's user."""
    _, users = np.unique(owner, return_inverse=True)
    shape = (int(users.max()) + 1, sequences.n_items)
    ones = np.ones(len(users), np.float32)
    return sparse.csr_array((ones, (users, sequences.items)), shape=shape)[users]
