"""Bounds what one person, or one address, can say to a learner in a while, and notes who would.

Leaves to others: what counts as a choice (serving/learning.py), how ids become keys.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Caps:
    """Counts choices by user and by address in windows of fixed length.

    A window begins at a multiple of its length, so around its end twice the cap can pass within
    one length.

    Args:
        per_user: choices of one user that count in a window; 0: no bound.
        per_address: of one address, whoever is said to be the user; 0: no bound.
        window_s: length of a window in seconds.
    """

    per_user: int
    per_address: int
    window_s: float
    window: int = -1
    """Number of the window that is counted now."""
    users: Counter[str] = field(default_factory=Counter)
    addresses: Counter[str] = field(default_factory=Counter)
    """Key → choices in this window, also those beyond the cap."""

    def take(self, user: str, address: str | None, at: float, answer: str | None = None) -> float:
        """Count a choice; what it counts: 1 / n, the n-th of a user in this window, 0 beyond a cap.

        What comes late, of a window that has ended, counts in the present one.

        Args:
            user: key of the user.
            address: key of where it came from; None: unknown, and not counted.
            at: seconds since 1970.
            answer: key of an answer that was given to nobody in particular, which anybody can say
                they were given; it has the cap of a user. None: it was given to the user.

        >>> caps = Caps(per_user=1, per_address=2, window_s=60)
        >>> [caps.take(user, "here", at) for user, at in [("a", 0), ("a", 1), ("b", 2), ("a", 60)]]
        [1.0, 0.0, 0.0, 1.0]
        """
        window = int(at // self.window_s)
        if window > self.window:
            self.window = window
            self.users.clear()
            self.addresses.clear()
        whose = [user] if answer is None else [user, answer]
        self.users.update(whose)
        if address is not None:
            self.addresses[address] += 1
        most = max(self.users[key] for key in whose)
        over_address = address is not None and _over(self.addresses[address], self.per_address)
        return 0.0 if over_address or _over(most, self.per_user) else 1 / most

    def flagged_users(self, at: float) -> dict[str, int]:
        """Users beyond the cap in the window of `at` (seconds since 1970) → their choices, most
        first.
        """
        return self._flagged(self.users, self.per_user, at)

    def flagged_addresses(self, at: float) -> dict[str, int]:
        """Addresses beyond the cap, likewise → choices from there."""
        return self._flagged(self.addresses, self.per_address, at)

    def _flagged(self, counts: Counter[str], cap: int, at: float) -> dict[str, int]:
        if at // self.window_s > self.window:  # it has ended, and nobody has chosen since
            return {}
        return {key: count for key, count in counts.most_common() if _over(count, cap)}


def _over(count: int, cap: int) -> bool:
    return 0 < cap < count
