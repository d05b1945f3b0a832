"""What a service, or a test in its place, wrote into its log."""

from __future__ import annotations

import json
from typing import Any

from crossrec.config import home


def logged(request_id: str | None = None) -> list[dict[str, Any]]:
    """All lines below `$CROSSREC_HOME`; of a request, where it is given."""
    texts = [path.read_text(encoding="utf-8") for path in (home() / "logs").glob("*.jsonl")]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    return [one for one in lines if request_id in (None, one["request_id"])]
