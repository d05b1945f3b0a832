"""Replicas of `films` in one home, with the items that were added, without Ray."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from crossrec.releases.editions import Editions
from crossrec.releases.store import LoadedRelease, Release, ReleaseStore
from crossrec.serving.auth import KeyRing
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.http_api import domain_app
from crossrec.serving.item_updates import Current, ItemUpdates
from crossrec.serving.messages import ItemsResponse, ItemUpsert
from crossrec.serving.recommender import Recommender
from tests.serving.conftest import NOW, WordCounter

NEW = {
    "item_id": "new/1",
    "title": "The new horror",
    "text": "A horror of yesterday",
    "category": ["horror"],
    "columns": {"year": 2024, "price": 2.5, "tags": ["fresh"]},
}


@dataclass
class Replica:
    """What a domain's process holds, without Ray."""

    current: Current
    updates: ItemUpdates
    feedback_log: FeedbackLog
    encoder: WordCounter

    @property
    def recommender(self) -> Recommender:
        return self.current.recommender

    async def put_items(self, items: list[ItemUpsert]) -> ItemsResponse:
        return await self.updates.put(lambda: self.current, items)

    async def look(self) -> None:
        await self.current.refresh()

    def ask(self, method: str, path: str, keys: KeyRing | None = None, **options) -> httpx.Response:
        app = domain_app(self, keys, "films", self.look)

        async def one() -> httpx.Response:
            transport = httpx.ASGITransport(
                app, client=("127.0.0.1", 1), raise_app_exceptions=False
            )
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as http:
                return await http.request(method, path, **options)

        return asyncio.run(one())

    def put(self, *items: dict[str, Any], **options) -> httpx.Response:
        return self.ask("PUT", "/items", json={"items": list(items)}, **options)

    def ids(self, **fields) -> list[str]:
        answer = self.ask("POST", "/recommendations", json=fields)
        return [item["item_id"] for item in answer.json()["items"]]


def make_here(release: Release) -> None:
    """What a process of its own does, without its start."""
    Editions(release).make()


def replica(log: FeedbackLog, make: Callable[[Release], None] = make_here) -> Replica:
    encoder = WordCounter()

    def answering(loaded: LoadedRelease) -> Recommender:
        return Recommender(loaded, encoder, log, clock=lambda: NOW)

    current = Current(ReleaseStore().load("films"), answering)
    asyncio.run(current.refresh())
    return Replica(current, ItemUpdates("films", make), log, encoder)
