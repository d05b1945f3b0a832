"""Outside identifiers ↔ row numbers, as fitted in training and stored in the release.

Serving reads it and never rebuilds it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path


@dataclass(frozen=True)
class Vocabulary:
    """Catalogue, events and context values of one domain."""

    item_ids: list[str]
    events: list[str]
    context_values: dict[str, list[str]] = field(default_factory=dict)
    """Context field of kind category → its known values."""

    @cached_property
    def item_idx(self) -> dict[str, int]:
        """item_id → item_idx."""
        return {item_id: i for i, item_id in enumerate(self.item_ids)}

    @cached_property
    def event_idx(self) -> dict[str, int]:
        """Event name → index; unknown events are -1."""
        return {event: i for i, event in enumerate(self.events)}

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read what `save` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))
