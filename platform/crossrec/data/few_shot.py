"""A domain of which little is known: only a share of its users may be learned from.

Leaves to others: cutting the data (split.py), what is carried over from elsewhere (training/).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossrec.data.split import Cases, Split
from crossrec.errors import ConfigError


def few_shot(split: Split, share: float, seed: int) -> Split:
    """The split with the training rows and validation cases of some users only.

    All test cases stay, so figures for every share are of the same cases. What their users did
    before is still their history, but nothing was learned from it.

    Args:
        split: of any protocol.
        share: of the users, drawn by seed; 0: nobody (zero-shot), else at least one. The users of
            a smaller share are among those of a larger one.
        seed: of the draw.

    Raises:
        ConfigError: the share does not lie between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise ConfigError(f"got a share of {share} of the users; expected 0 to 1, such as 0.1")
    n_users = split.sequences.n_users
    n_known = max(round(share * n_users), int(share > 0))
    known = np.zeros(n_users, np.bool_)
    known[np.random.default_rng(seed).permutation(n_users)[:n_known]] = True
    train = split.train & np.repeat(known, np.diff(split.sequences.offsets))
    warm = np.zeros(split.sequences.n_items, np.bool_)
    warm[split.sequences.items[train]] = True
    asked = known[split.validation.users]
    validation = Cases(split.validation.users[asked], split.validation.cuts[asked])
    return replace(split, train=train, validation=validation, warm=warm)
