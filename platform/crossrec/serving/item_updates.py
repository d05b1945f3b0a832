"""New and changed items while a domain is served: kept, read by its encoder, made recommendable.

`Current` is what each replica answers from; it looks at the disk before every request. Leaves to
others: the store and the making of an edition (releases/), transport (http_api.py).
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from crossrec.errors import CrossrecError, RequestError, ServiceError, suggest
from crossrec.releases.added_items import AddedItem, AddedItems, items_folder
from crossrec.releases.conditions import ColumnKind
from crossrec.releases.editions import Editions
from crossrec.releases.store import LoadedRelease, Release
from crossrec.serving.gateway import App, Receive, Scope, Send
from crossrec.serving.messages import ItemsResponse, ItemUpsert
from crossrec.serving.recommender import Encode, Recommender

log = logging.getLogger(__name__)

TEXTS_AT_ONCE = 64
MAKE_EDITION = [sys.executable, "-m", "crossrec.releases.editions"]
MAKE_TIMEOUT_S = 300.0


def make_apart(release: Release) -> None:
    """Make an edition in a process of its own, for it needs libraries that a replica has no room
    for.

    Raises:
        ServiceError: it could not be made.
    """
    command = [*MAKE_EDITION, release.domain, release.version]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=MAKE_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as err:
        last = (getattr(err, "stderr", None) or str(err)).strip().splitlines()[-1:]
        log.error("no edition of '%s' was made: %s", release.domain, last)
        raise ServiceError(
            "the items are kept, but could not be made recommendable; the service's log has the"
            " reason", 500
        ) from err  # fmt: skip


class ItemUpdates:
    """Takes items for one domain.

    Args:
        domain: its name.
        make: makes an edition of a release, with all items that are kept.
    """

    def __init__(self, domain: str, make: Callable[[Release], object] = make_apart) -> None:
        self._folder = items_folder(domain)
        self._added = AddedItems(self._folder)
        self._make = make

    async def put(
        self, current: Current, items: Sequence[ItemUpsert], encode: Encode
    ) -> ItemsResponse:
        """Keep items and make an edition that has them; it is current when this returns.

        Args:
            current: what answers now.
            items: the batch.
            encode: the release's own encoder.

        Raises:
            RequestError: an item cannot be kept; nothing was.
            ServiceError: all are kept, but cannot be recommended yet.
        """
        loaded = current.recommender.loaded
        columns = loaded.catalogue.columns
        rows = [_checked(item, columns) for item in items]
        if len({row.item_id for row in rows}) < len(rows):
            raise RequestError("two items of the batch have the same id; send each once")
        known = loaded.model.vocabulary.item_idx
        updated = sum(row.item_id in known for row in rows)
        await asyncio.to_thread(self._added.put, rows)
        await self.catch_up(current.release, encode)
        await current.refresh()
        n_items = current.recommender.catalogue.n_items
        return ItemsResponse(added=len(rows) - updated, updated=updated, n_items=n_items)

    def is_behind(self, release: Release) -> bool:
        """Whether items are kept that the release's newest edition cannot have."""
        if not self._added:
            return False
        return not Editions(release).stamp() or bool(self._unread(release.version))

    async def catch_up(self, release: Release, encode: Encode) -> None:
        """Encode what the release's encoder has not read yet, and make an edition.

        Raises:
            ServiceError: the encoder does not answer, or the edition could not be made.
        """
        unread = await asyncio.to_thread(self._unread, release.version)
        for start in range(0, len(unread), TEXTS_AT_ONCE):
            batch = unread[start : start + TEXTS_AT_ONCE]
            try:
                vectors = await encode([item.text for item in batch])
            except ServiceError as err:
                raise ServiceError(
                    "the items are kept, but cannot be recommended before the encoder answers;"
                    " send them again", err.status or 503
                ) from err  # fmt: skip
            named = {item.item_id: vector for item, vector in zip(batch, vectors, strict=True)}
            await asyncio.to_thread(self._added.put_vectors, release.version, batch, named)
        await asyncio.to_thread(self._make_alone, release)

    def _unread(self, version: str) -> list[AddedItem]:
        read = self._added.vectors(version)
        return [item for item in self._added.all() if item.item_id not in read]

    def _make_alone(self, release: Release) -> None:
        """One maker of editions at a time, whatever the replica."""
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._make(release)


def _checked(item: ItemUpsert, columns: Mapping[str, ColumnKind]) -> AddedItem:
    for name, value in item.columns.items():
        if name not in columns or name == "category":
            raise RequestError(
                f"item '{item.item_id}': no item column '{name}': {suggest(name, columns)}"
            )
        if value is not None and not _fits(value, columns[name]):
            expected = {"number": "a number", "text": "text", "list": "a list of texts"}
            raise RequestError(
                f"item '{item.item_id}': column '{name}' got {str(value)[:40]!r}; expected"
                f" {expected[columns[name]]}"
            )
    text = item.text if item.text and item.text.strip() else _described(item)
    return AddedItem(item.item_id, item.title, text, item.category, dict(item.columns))


def _fits(value: Any, kind: ColumnKind) -> bool:
    if kind == "number":
        # The size first: an integer that no float holds cannot be asked whether it is finite.
        return isinstance(value, bool | int | float) and abs(value) < 2**63
    if kind == "text":
        return isinstance(value, str) and _is_text(value)
    return isinstance(value, list) and all(isinstance(v, str) and _is_text(v) for v in value)


def _is_text(value: str) -> bool:
    """Half a surrogate pair is none, which no file and no database takes."""
    return value.encode(errors="replace").decode() == value


def _described(item: ItemUpsert) -> str:
    return ". ".join(filter(None, [item.title, ", ".join(item.category)]))


class Current:
    """The newest edition of a release, as far as this replica has looked.

    Args:
        base: the release itself.
        answering: makes a recommender of the release, or of an edition of it.
    """

    def __init__(
        self, base: LoadedRelease, answering: Callable[[LoadedRelease], Recommender]
    ) -> None:
        self.release = base.release
        self._answering = answering
        self._editions = Editions(base.release)
        self._stamp = 0
        self._lock = asyncio.Lock()
        self.recommender = answering(base)

    async def refresh(self) -> None:
        """Answer from the edition that is current now; requests under way end on the old one.

        An edition that cannot be read is logged, and the one before goes on answering.
        """
        if self._editions.stamp() == self._stamp:
            return
        async with self._lock:
            while (stamp := self._editions.stamp()) != self._stamp:
                try:
                    loaded = await asyncio.to_thread(self._editions.load)
                    if loaded is not None:
                        self.recommender = self._answering(loaded)
                except (CrossrecError, OSError):
                    if self._editions.stamp() != stamp:
                        continue  # it went, for newer ones came while it was read
                    log.exception("the newest edition of '%s' was not taken", self.release.domain)
                self._stamp = stamp


class Refreshing:
    """ASGI app that lets a replica look for new items before each request."""

    def __init__(self, app: App, refresh: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._refresh = refresh

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look, then answer."""
        if scope["type"] == "http":
            await self._refresh()
        await self._app(scope, receive, send)
