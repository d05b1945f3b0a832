"""Cuts a data set into training, validation and test as the evaluation protocol says.

Leaves to others: what a model reads from it (batches.py), how it is judged (evaluation/).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from crossrec.data.draws import drawn
from crossrec.errors import DataError, suggest

if TYPE_CHECKING:
    from scipy import sparse

    from crossrec.data.dataset import Dataset


@dataclass(frozen=True)
class Sequences:
    """All interactions as one array per column, grouped by user, oldest first (CSR).

    User u's rows are `offsets[u]:offsets[u + 1]`; users are sorted by `user_id` as strings.
    """

    user_ids: list[str]
    item_ids: list[str]
    """Catalogue: `item_idx` i stands for `item_ids[i]`; file order of the items table."""
    offsets: NDArray[np.int64]  # (n_users + 1,)
    items: NDArray[np.int32]  # (N,) item_idx
    times: NDArray[np.int64]  # (N,) seconds, or an order index: Domain.time_kind
    events: NDArray[np.int16]  # (N,) index into event_names
    event_names: list[str]
    ratings: NDArray[np.float32]  # (N,) NaN where the source has none
    context: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """Context field → (N,) or, for a place, (N, 2); category fields hold the index into
    `context_values`; NaN where missing."""
    context_values: dict[str, list[str]] = field(default_factory=dict)
    requests: list[str] | None = None
    """(N,) what was said before each row, where the source has requests in words."""

    @property
    def n_users(self) -> int:
        """Number of users."""
        return len(self.user_ids)

    @property
    def n_items(self) -> int:
        """Size of the catalogue."""
        return len(self.item_ids)

    def rows(self, user_idx: int) -> slice:
        """The rows of one user."""
        return slice(int(self.offsets[user_idx]), int(self.offsets[user_idx + 1]))

    def take(
        self, rows: NDArray[Any], user_ids: list[str], offsets: NDArray[np.int64]
    ) -> Sequences:
        """Some rows (numbers, or a mask), grouped anew; catalogue, events and values stay whole."""
        said = self.requests
        return replace(
            self,
            user_ids=user_ids,
            offsets=offsets,
            items=self.items[rows],
            times=self.times[rows],
            events=self.events[rows],
            ratings=self.ratings[rows],
            context={name: values[rows] for name, values in self.context.items()},
            requests=None if said is None else [said[n] for n in np.arange(len(said))[rows]],
        )

    def target_rows(self, cases: Cases) -> NDArray[np.int64]:
        """The row of each case's target, (n,)."""
        return np.asarray(self.offsets[cases.users] + cases.cuts, np.int64)


@dataclass(frozen=True)
class Cases:
    """Questions put to a model: user's first `cut` interactions → the item at `cut`."""

    users: NDArray[np.int64]  # (n,) user_idx
    cuts: NDArray[np.int64]  # (n,) history = first `cut` rows of that user
    """The target is row `offsets[user] + cut`."""

    def __len__(self) -> int:
        return len(self.users)

    def take(self, rows: NDArray[Any] | slice) -> Cases:
        """Some of them: numbers, a mask or a slice."""
        return Cases(self.users[rows], self.cuts[rows])


@dataclass(frozen=True)
class Split:
    """Sequences with the rows a model may be fitted on, and the cases it is judged on."""

    protocol: str
    sequences: Sequences
    train: NDArray[np.bool_]  # (N,) rows of the training part
    validation: Cases
    test: Cases
    warm: NDArray[np.bool_]  # (n_items,) has an interaction in the training part
    pools: NDArray[np.int64] | None = None
    """(n_items,) pool of each item, where a request is ranked among its own kind only."""
    relevant: sparse.csr_array | None = None
    """(N, n_items) all right answers of each row, where one request has several."""
    late: NDArray[np.bool_] | None = None
    """(n_items,) withheld until the test: at validation they are not in the catalogue, so nothing
    that is tuned there may take them for wrong answers."""
    passed_over: sparse.csr_array | None = None
    """(N, n_items) how often items were shown for the choice of each row and not taken; None: not
    recorded, or not asked for (data/exposures.py)."""
    restrictions: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Context field → (V, n_items) items that may be ranked where it has each of its values."""

    @property
    def label(self) -> str:
        """The protocol and, where candidates are restricted, by what: figures carry it."""
        return ", ".join([self.protocol, *(f"same {name}" for name in self.restrictions)])

    def targets(self, cases: Cases) -> NDArray[np.int32]:
        """item_idx of each case's target, (n,)."""
        return np.asarray(self.sequences.items[self.sequences.target_rows(cases)], np.int32)


PROTOCOLS = ("leave_one_out", "temporal", "cold_items")
COLD_TEST_SHARE = 0.10
COLD_VALIDATION_SHARE = 0.05


def make_split(
    dataset: Dataset, protocol: str, *, seed: int = 0, max_users: int | None = None
) -> Split:
    """The split of an imported data set that `protocol` asks for.

    Every interaction counts but those of the domain's `dropped_events`; of each user and item
    only the first; users with fewer than three are left out.

    Args:
        dataset: an imported data set.
        protocol: see `split_sequences`; or `requests`, which is also what a domain without
            interactions gets (see data/requests.py); or `profiles` (see data/profiles.py).
        seed: of the draws of `cold_items`, `profiles` and `max_users`.
        max_users: keep this many users, drawn after that filter; None: all.

    Raises:
        DataError: no interactions, no such protocol, no clock time for `temporal`, or no case,
            unless nobody has three interactions: see `unused_split`.
    """
    # Polars is imported here only: a served replica reads Sequences without it (31 MiB).
    from crossrec.data.sequences import load_sequences

    if protocol == "requests" or not dataset.has("interactions"):
        from crossrec.data.requests import request_split

        return request_split(dataset, seed=seed, max_users=max_users)
    if protocol == "profiles":
        from crossrec.data.profiles import profile_split

        return profile_split(dataset, seed=seed, max_users=max_users)
    kind = dataset.domain.time_kind
    if protocol == "temporal" and kind != "unix_seconds":
        raise DataError(
            f"'{dataset.domain.name}' has no clock time (time_kind {kind}), so it cannot be split"
            " by 'temporal'; use leave_one_out or cold_items"
        )
    sequences = load_sequences(dataset)
    if not sequences.n_users:
        return unused_split(load_sequences(dataset, 1), protocol)
    if max_users is not None:
        sequences = draw_users(sequences, max_users, seed)
    return split_sequences(sequences, protocol, seed=seed)


def unused_split(sequences: Sequences, protocol: str) -> Split:
    """Of a domain that too few have used: nothing to learn from, and no case to be judged by."""
    nobody = np.zeros(0, np.int64)
    return Split(
        protocol,
        sequences,
        np.zeros(len(sequences.items), np.bool_),
        Cases(nobody, nobody),
        Cases(nobody, nobody),
        np.zeros(sequences.n_items, np.bool_),
    )


def expect_cases(split: Split, domain: str) -> None:
    """Raise where somebody's interactions are needed, to learn from or to judge by.

    Raises:
        DataError: nobody has enough of them.
    """
    if not split.train.any():
        raise DataError(
            f"no user of '{domain}' has 3 interactions with different items; expected at least one"
            f" such user. What needs none: crossrec train {domain}, which serves item texts alone"
        )


def split_sequences(sequences: Sequences, protocol: str, *, seed: int = 0) -> Split:
    """Cut sequences into a training part, validation cases and test cases.

    - `leave_one_out`: the last item of each user is the test target, the one before it the
      validation target, the rest is training.
    - `temporal`: with T the sorted times of all N rows, t80 = T[floor(0.8 N)] and
      t90 = T[floor(0.9 N)]: training is before t80; a user with training rows gives a
      validation case if a row falls in [t80, t90), and a test case if one falls in [t90, end];
      the target is the first such row.
    - `cold_items`: 10 % of the catalogue is withheld for test and another 5 % for validation,
      drawn by a hash of seed and item id. A user's test case is the last row with an item
      withheld for test, the validation case the last row with any other item: so validation
      holds cold targets at their natural share, and what is tuned on it learns no favour for
      cold items. All other rows with items that are not withheld are training, but those of a
      user after the test target: they tell of it, and models that train on nothing never see
      them.

    In all three the history of a case is everything the user did before the target.

    Raises:
        DataError: no such protocol, or it leaves no training row or no test case.
    """
    if protocol not in PROTOCOLS:
        raise DataError(f"no protocol is called '{protocol}': {suggest(protocol, PROTOCOLS)}")
    late: NDArray[np.bool_] | None = None
    if protocol == "leave_one_out":
        train, validation, test = _leave_one_out(sequences)
    elif protocol == "temporal":
        train, validation, test = _temporal(sequences)
    else:
        late, earlier = _withheld(sequences, seed)
        train, validation, test = _cold_items(sequences, late, earlier)
    if not train.any() or not len(test):
        raise DataError(
            f"'{protocol}' leaves {int(train.sum())} training rows and {len(test)} test cases of"
            f" {sequences.n_users} users; use another protocol or more data"
        )
    warm = np.zeros(sequences.n_items, np.bool_)
    warm[sequences.items[train]] = True
    return Split(protocol, sequences, train, validation, test, warm, late=late)


def draw_users(sequences: Sequences, max_users: int, seed: int) -> Sequences:
    """The sequences of `max_users` users drawn without replacement, or all if there are fewer.

    Catalogue, events and context values stay whole.
    """
    if max_users >= sequences.n_users:
        return sequences
    rng = np.random.default_rng(seed)
    users = np.sort(rng.choice(sequences.n_users, max_users, replace=False))
    lengths = np.diff(sequences.offsets)
    chosen = np.isin(np.arange(sequences.n_users), users)
    rows = np.repeat(chosen, lengths)
    names = [sequences.user_ids[user] for user in users]
    return sequences.take(rows, names, np.concatenate([[0], np.cumsum(lengths[users])]))


def fingerprint(split: Split, cases: Cases) -> str:
    """SHA-256 of the cases' `user_id<TAB>target item_id` lines, in hexadecimal.

    Lines are sorted as (user_id, item_id) string pairs and joined by newlines, as for the
    published peers: figures are comparable only where these are equal.
    """
    sequences = split.sequences
    pairs = sorted(
        (sequences.user_ids[user], sequences.item_ids[item])
        for user, item in zip(cases.users, split.targets(cases), strict=True)
    )
    text = "\n".join(f"{user}\t{item}" for user, item in pairs)
    return hashlib.sha256(text.encode()).hexdigest()


_Parts = tuple[NDArray[np.bool_], Cases, Cases]


def _leave_one_out(sequences: Sequences) -> _Parts:
    lengths = np.diff(sequences.offsets)
    users = np.arange(sequences.n_users)
    train = np.ones(len(sequences.items), np.bool_)
    train[sequences.offsets[1:] - 1] = False
    train[sequences.offsets[1:] - 2] = False
    return train, Cases(users, lengths - 2), Cases(users, lengths - 1)


def _temporal(sequences: Sequences) -> _Parts:
    ordered = np.sort(sequences.times)
    n = len(ordered)
    # Integers, not 0.8 * n: a float product may fall just below a whole number.
    t80, t90 = ordered[8 * n // 10], ordered[9 * n // 10]
    train = sequences.times < t80
    a = _per_user(sequences, train)
    b = _per_user(sequences, sequences.times < t90)
    known = a >= 1
    lengths = np.diff(sequences.offsets)
    validation = np.flatnonzero(known & (b > a))
    test = np.flatnonzero(known & (lengths > b))
    return train, Cases(validation, a[validation]), Cases(test, b[test])


def _per_user(sequences: Sequences, rows: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Number of marked rows of each user, (n_users,)."""
    counts = np.concatenate([[0], np.cumsum(rows)])
    return np.asarray(np.diff(counts[sequences.offsets]), np.int64)


def _withheld(sequences: Sequences, seed: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Items withheld for test, and for validation: (n_items,) each."""
    draws = [drawn(f"{seed}\t{item_id}") for item_id in sequences.item_ids]
    order = np.argsort(draws, kind="stable")
    n_test = max(1, round(COLD_TEST_SHARE * sequences.n_items))
    n_validation = max(1, round(COLD_VALIDATION_SHARE * sequences.n_items))
    test, validation = np.zeros((2, sequences.n_items), np.bool_)
    test[order[:n_test]] = True
    validation[order[n_test : n_test + n_validation]] = True
    return test, validation


def _cold_items(
    sequences: Sequences, test: NDArray[np.bool_], validation: NDArray[np.bool_]
) -> _Parts:
    held_out, tested = _last_with(sequences, ~test), _last_with(sequences, test)
    train = ~(test | validation)[sequences.items] & _before(sequences, tested)
    train[sequences.target_rows(held_out)] = False
    return train, held_out, tested


def _before(sequences: Sequences, cases: Cases) -> NDArray[np.bool_]:
    """(N,) rows before their user's target; all rows of users without a case."""
    ends = sequences.offsets[1:].copy()
    ends[cases.users] = sequences.target_rows(cases)
    return np.arange(len(sequences.items)) < np.repeat(ends, np.diff(sequences.offsets))


def _last_with(sequences: Sequences, wanted: NDArray[np.bool_]) -> Cases:
    """Each user's last interaction with a wanted item (n_items,) that has something before it."""
    rows = np.flatnonzero(wanted[sequences.items])
    users = np.searchsorted(sequences.offsets, rows, side="right") - 1
    last = np.append(users[1:] != users[:-1], [True] * bool(len(users))).astype(np.bool_)
    cuts = rows[last] - sequences.offsets[users[last]]
    return Cases(users[last][cuts > 0], cuts[cuts > 0])
