"""A small domain with order in it: each user walks round one of three rings of ten items."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from crossrec.data.sequences import sequences_from
from crossrec.data.split import Split, split_sequences
from crossrec.domains.spec import Domain

N_ITEMS, N_USERS, N_STEPS = 33, 90, 7


@pytest.fixture(scope="session")
def rings() -> Split:
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        ring, start = user % 3, int(rng.integers(10))
        for step in range(N_STEPS):
            item = ring * 10 + (start + step) % 10
            if step == N_STEPS - 1 and user < 6:
                item = 30 + user % 3  # an item that never occurs in training
            rows.append((f"u{user:02d}", f"i{item:02d}", step))
    items = pl.DataFrame({"item_id": [f"i{n:02d}" for n in range(N_ITEMS)]})
    frame = pl.LazyFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    domain = Domain(name="rings", title="Rings")
    return split_sequences(sequences_from(items, frame, domain), "leave_one_out")
