"""Why one item is above another: what each part of theirs differs by.

Leaves to others: the parts (contributions.py), the sentence (text.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from crossrec.serving.messages import Part


def differences(ours: Sequence[Part], theirs: Sequence[Part]) -> list[Part]:
    """Each part of one item less the same part of the other, largest first; they sum to the
    difference of the scores. A part that only one of them has counts as 0 for the other.

    >>> a = [Part(kind="history", name="1", label="Heat", value=3.0)]
    >>> b = [Part(kind="history", name="1", label="Heat", value=1.0)]
    >>> differences(a, b)[0].value
    2.0
    """
    values: dict[tuple[str, str], float] = {}
    first: dict[tuple[str, str], Part] = {}
    for parts, sign in ((ours, 1), (theirs, -1)):
        for part in parts:
            key = (part.kind, part.name)
            first.setdefault(key, part)
            values[key] = values.get(key, 0.0) + sign * part.value
    found = [first[key].model_copy(update={"value": value}) for key, value in values.items()]
    return sorted(found, key=lambda part: -part.value)
