"""The peer of serving: what a team would write for one domain, a process of its own.

FastAPI on uvicorn; the encoder by transformers with the domain's LoRA adapter merged by peft;
item vectors in a numpy array, exact search. It answers a request in words by the cosine to the
items, and a user by the mean of the vectors of the items liked: less than ours does, which also
reads the history in order and fuses signals. One thread of torch, as there are more processes
than cores. In bf16 where the processor computes in it, as ours.

Started by throughput.py: `service.py FOLDER PORT`, where FOLDER holds `service.json` (`encoder`,
`adapter`, `precision`, `max_tokens`, `titles`, `texts`, `item_ids`, `histories`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, HTTPException
from peft import PeftModel
from pydantic import BaseModel
from transformers import AutoModel, AutoTokenizer

BATCH = 32


class Asked(BaseModel):
    """A request in words, or a user."""

    text: str | None = None
    user_id: str | None = None
    k: int = 10


class Recommended(BaseModel):
    """One item."""

    item_id: str
    title: str
    score: float


class Answer(BaseModel):
    """The best first."""

    items: list[Recommended]


class Searcher:
    """A domain's merged encoder and its items."""

    def __init__(self, facts: dict[str, Any]) -> None:
        precision = torch.bfloat16 if facts["precision"] == "bf16" else torch.float32
        plain = AutoModel.from_pretrained(facts["encoder"], local_files_only=True)
        merged = PeftModel.from_pretrained(plain, facts["adapter"]).merge_and_unload()
        self.model = merged.to(precision).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(facts["encoder"], local_files_only=True)
        self.max_tokens = facts["max_tokens"]
        self.ids, self.titles = facts["item_ids"], facts["titles"]
        texts = facts["texts"]
        parts = [self.encode(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        self.items = np.concatenate(parts)
        self.histories = {user: np.array(seen) for user, seen in facts["histories"].items()}
        self.users = {user: self.items[seen].mean(0) for user, seen in self.histories.items()}

    def encode(self, texts: list[str]) -> np.ndarray:
        """(n, E) unit vectors."""
        tokens = self.tokenizer(
            texts, truncation=True, max_length=self.max_tokens, padding=True, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = self.model(**tokens).last_hidden_state.float()
            mask = tokens["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            return torch.nn.functional.normalize(mean, dim=-1).numpy()

    def best(self, asked: Asked) -> list[Recommended]:
        """Exact search, without what the user has seen."""
        if asked.text:
            scores = self.items @ self.encode([asked.text])[0]
        elif asked.user_id in self.users:
            scores = self.items @ self.users[asked.user_id]
            scores[self.histories[asked.user_id]] = -np.inf
        else:
            raise HTTPException(404, "nothing is known of this user")
        top = np.argpartition(-scores, asked.k)[: asked.k]
        top = top[np.argsort(-scores[top])]
        return [
            Recommended(item_id=self.ids[i], title=self.titles[i], score=float(scores[i]))
            for i in top
        ]


def main() -> None:
    """Load, then serve until the process is ended."""
    torch.set_num_threads(1)
    folder, port = Path(sys.argv[1]), int(sys.argv[2])
    searcher = Searcher(json.loads((folder / "service.json").read_text(encoding="utf-8")))
    app = FastAPI()

    @app.post("/recommendations")
    async def recommendations(asked: Asked) -> Answer:
        return Answer(items=searcher.best(asked))

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
