"""A domain's deployment, as Serve makes and configures it, but in this process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from crossrec.errors import EncoderError
from crossrec.releases.added_items import AddedItem, AddedItems, items_folder
from crossrec.releases.store import Release, ReleaseStore
from crossrec.serving.deployments import DomainDeployment, ShadowDeployment
from crossrec.serving.item_updates import Current, ItemUpdates
from tests.serving.replicas import make_here
from tests.small_release import N_ITEMS, SmallDomain, encode_words

OLD = AddedItem("new/1", "The new horror", "A horror of yesterday")


class Films(DomainDeployment):
    """Words are counted in the place of the encoder's application."""

    broken = False

    async def _encode(self, texts: list[str], version: str):
        if self.broken:
            raise EncoderError("no adapter")
        return encode_words(texts)


@pytest.fixture
def release(films: SmallDomain, fresh_home: Path) -> Release:
    return films.publish(ReleaseStore())


def configure(one: DomainDeployment, release: Release) -> None:
    asyncio.run(one.reconfigure({"version": release.version}))


def test_an_encoder_that_fails_costs_the_added_items_and_not_the_release(
    release: Release, monkeypatch: pytest.MonkeyPatch
):
    AddedItems(items_folder("films")).put([OLD])
    films = Films("films", "loopback")
    monkeypatch.setattr(films, "_items", ItemUpdates("films", make_here))
    films.broken = True
    configure(films, release)
    assert films.recommender.catalogue.n_items == N_ITEMS
    films.broken = False
    configure(films, release)
    assert films.recommender.catalogue.n_items == N_ITEMS + 1
    films.feedback_log.close()


class PutMeanwhile(ItemUpdates):
    """Another replica's caller sends an item once the new release has looked for some."""

    async def keep_up(self, current: Current) -> None:
        await super().keep_up(current)
        added = AddedItems(items_folder("films"))
        if not added:
            added.put([OLD])


def test_an_item_that_is_put_while_a_release_is_swapped_in_is_not_lost(release: Release):
    films = Films("films", "loopback")
    films._items = PutMeanwhile("films", make_here)
    configure(films, release)
    assert films.recommender.catalogue.n_items == N_ITEMS + 1
    films.feedback_log.close()


def test_a_shadow_does_not_say_that_it_serves(release: Release):
    served, shadow = Films("films", "loopback"), ShadowDeployment("films")
    for one in (served, shadow):
        configure(one, release)
    described = {"crossrec_release_info", "crossrec_release_quality", "crossrec_items"}
    for one, names in ((served, described), (shadow, set())):
        assert {name for name, _, _ in one.metrics.snapshot()} & described == names
        one.feedback_log.close()
