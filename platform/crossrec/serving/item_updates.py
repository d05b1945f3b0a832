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
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from crossrec.errors import RequestError, ServiceError, suggest
from crossrec.models.domain_model import DomainModel
from crossrec.models.text_signals import RequestSignal
from crossrec.ranking.objectives import undated
from crossrec.releases.added_items import AddedItem, AddedItems, Reading, items_folder
from crossrec.releases.conditions import ColumnKind
from crossrec.releases.editions import Editions
from crossrec.releases.store import LoadedRelease, Release
from crossrec.serving.gateway import App, Receive, Scope, Send
from crossrec.serving.memory import give_back_memory
from crossrec.serving.messages import ItemsResponse, ItemUpsert
from crossrec.serving.recommender import Recommender

log = logging.getLogger(__name__)

TEXTS_AT_ONCE = 64
MAKE_EDITION = [sys.executable, "-m", "crossrec.releases.editions"]
MAKE_TIMEOUT_S = 300.0
RETRY_S = 5.0
"""Between two attempts to take an edition that could not be taken."""


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
        # Whoever waits for another replica's edition holds no thread that others need.
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="editions")

    async def put(
        self, current: Callable[[], Current], items: Sequence[ItemUpsert]
    ) -> ItemsResponse:
        """Keep items and make an edition that has them; it is current when this returns.

        Args:
            current: what answers now; another after a release was swapped in.
            items: the batch.

        Raises:
            RequestError: an item cannot be kept; nothing was.
            ServiceError: all are kept, but cannot be recommended yet.
        """
        served = current()
        loaded = served.recommender.loaded
        if not takes_items(loaded.model):
            raise RequestError(
                f"the release of '{served.release.domain}' keeps no vectors of item texts, so"
                " items cannot be added to it; train it to rank, with requests"
            )
        rows = [_checked(item, loaded) for item in items]
        if len({row.item_id for row in rows}) < len(rows):
            raise RequestError("two items of the batch have the same id; send each once")
        known = loaded.model.vocabulary.item_idx
        updated = sum(row.item_id in known for row in rows)
        await asyncio.to_thread(self._added.put, rows)
        wanted = await self.catch_up(served)
        while (now := current()) is not served:  # a release was swapped in meanwhile
            served = now
            wanted = await self.catch_up(served)
        if served.holds < wanted:
            raise ServiceError(
                "the items are kept, but no edition that has them could be taken; the service's"
                " log has the reason", 500
            )  # fmt: skip
        n_items = served.recommender.catalogue.n_items
        return ItemsResponse(added=len(rows) - updated, updated=updated, n_items=n_items)

    def is_behind(self, current: Current) -> bool:
        """Whether something is kept that the release's newest edition has not."""
        if not self._added or not takes_items(current.recommender.model):
            return False
        version = current.release.version
        behind = self._added.newest(version) > Editions(current.release).holds()
        return behind or bool(self._added.unread(version))

    async def keep_up(self, current: Current) -> None:
        """Catch up where that is needed; without the items where it fails, which is logged."""
        try:
            if await asyncio.to_thread(self.is_behind, current):
                await self.catch_up(current)
        except Exception:
            domain = current.release.domain
            log.exception("'%s' answers without the newest items added to it", domain)

    async def catch_up(self, current: Current) -> float:
        """Encode what the release's encoder has not read yet, make an edition, look for it.

        Returns:
            what `current.holds` reaches where the edition was taken.

        Raises:
            ServiceError: the encoder does not answer, or the edition could not be made.
        """
        release = current.release
        unread = await asyncio.to_thread(self._added.unread, release.version)
        for start in range(0, len(unread), TEXTS_AT_ONCE):
            batch = unread[start : start + TEXTS_AT_ONCE]
            try:
                vectors = await current.recommender.encode([item.text for item in batch])
            except ServiceError as err:
                raise ServiceError(
                    "the items are kept, but cannot be recommended before the encoder answers;"
                    " send them again", err.status or 503
                ) from err  # fmt: skip
            readings = [Reading(*pair) for pair in zip(batch, vectors, strict=True)]
            await asyncio.to_thread(self._added.put_readings, release.version, readings)
        loop = asyncio.get_running_loop()
        wanted = await loop.run_in_executor(self._maker, self._make_alone, release)
        await current.refresh()
        return wanted

    def _make_alone(self, release: Release) -> float:
        """One maker of editions at a time, whatever the replica; none where another has made what
        was to be made. Up to which change it has all, see `Editions.holds`.
        """
        editions = Editions(release)
        with (self._folder / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            newest = self._added.newest(release.version)
            if editions.holds() < newest:
                self._make(release)
        return newest


def takes_items(model: DomainModel) -> bool:
    """Whether items can be added: without the vectors of their texts nobody can say what new ones
    are like.
    """
    return isinstance(model.signals_by_name.get(RequestSignal.name), RequestSignal)


def _checked(item: ItemUpsert, loaded: LoadedRelease) -> AddedItem:
    columns = loaded.catalogue.columns
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
    if reason := undated(loaded.model.domain, item.columns):
        raise RequestError(f"item '{item.item_id}': {reason}")
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
        self._failed = (0, 0.0)  # stamp of what could not be taken, and when
        self._lock = asyncio.Lock()
        self.recommender = answering(base)
        self.holds = 0.0
        """Up to which change of the added items it has all; see `Editions.holds`."""

    @property
    def edition(self) -> int:
        """Of the items that were added, the state that answers; 0: none were."""
        return self._stamp

    async def refresh(self) -> None:
        """Answer from the edition that is current now; requests under way end on the old one.

        An edition that cannot be taken is logged, and tried again after RETRY_S; the one before
        goes on answering.
        """
        if not self._is_due(self._editions.stamp()):
            return
        async with self._lock:
            while self._is_due(stamp := self._editions.stamp()):
                try:
                    await self._take()
                except Exception:
                    if self._editions.stamp() != stamp:
                        continue  # it went, for newer ones came while it was read
                    log.exception("the newest edition of '%s' was not taken", self.release.domain)
                    self._failed = (stamp, time.monotonic())
                else:
                    self._stamp = stamp

    def _is_due(self, stamp: int) -> bool:
        failed, moment = self._failed
        waits = stamp == failed and time.monotonic() < moment + RETRY_S
        return stamp != self._stamp and not waits

    async def _take(self) -> None:
        holds = self._editions.holds()  # first: what is read may be newer, never older
        loaded = await asyncio.to_thread(self._editions.load)
        if loaded is not None:
            try:
                self.recommender = self._answering(loaded)
            except BaseException:
                loaded.close()
                raise
            self.holds = holds
            give_back_memory()


class Refreshing:
    """ASGI app, behind the gateway, that lets a replica look for new items before each request."""

    def __init__(self, app: App, refresh: Callable[[], Awaitable[None]]) -> None:
        self._app = app
        self._refresh = refresh

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look, then answer."""
        if scope["type"] == "http":
            await self._refresh()
        await self._app(scope, receive, send)
