from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from crossrec.config import ModelConfig, RunConfig
from crossrec.errors import EncoderError, ReleaseError, UnknownDomainError
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.encoder_service import KEPT_VERSIONS, EncoderService
from crossrec.serving.shared_encoder import encoder_of
from tests.models.tiny import make_tiny_encoder
from tests.small_release import SmallDomain, make_small_domain


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder.load(make_tiny_encoder(tmp_path_factory.mktemp("tiny")), precision="fp32")


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> SmallDomain:
    return make_small_domain(tmp_path_factory.mktemp("data") / "books", "books")


@pytest.fixture
def store(tmp_path: Path) -> ReleaseStore:
    return ReleaseStore(tmp_path)


@pytest.fixture
def service(encoder: TextEncoder, store: ReleaseStore):
    found = EncoderService(encoder, store)
    yield found
    found.close()


def publish(domain: SmallDomain, store: ReleaseStore, encoder: TextEncoder) -> str:
    return domain.publish(store, encoder.name, encoder.fingerprint).version


def test_concurrent_texts_of_several_domains_come_back_to_who_asked(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films, books
):
    versions = {"films": publish(films, store, encoder), "books": publish(books, store, encoder)}
    service.load_current(["films", "books"])
    assert service.resident == [f"films@{versions['films']}", f"books@{versions['books']}"]
    asked = [("films" if n % 2 else "books", [f"text {n}", "more"][: 1 + n % 2]) for n in range(9)]

    async def all_at_once() -> list[np.ndarray]:
        jobs = [service.encode(texts, domain, versions[domain]) for domain, texts in asked]
        return await asyncio.gather(*jobs)

    for (_, texts), vectors in zip(asked, asyncio.run(all_at_once()), strict=True):
        np.testing.assert_allclose(vectors, encoder.encode(texts), atol=1e-5)


def test_texts_are_cut_where_the_release_was_trained_to_cut_them(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films, books
):
    config = RunConfig(model=ModelConfig(max_text_tokens=8))
    short = replace(books, model=replace(books.model, config=config))
    versions = {"films": publish(films, store, encoder), "books": publish(short, store, encoder)}
    text = "one film of space and horror after the other " * 3

    async def all_at_once() -> list[np.ndarray]:
        asked = ("films", "books", "books", "films")
        return await asyncio.gather(*(service.encode([text], n, versions[n]) for n in asked))

    whole, cut = encoder.encode([text]), encoder.encode([text], max_tokens=8)
    assert not np.allclose(whole, cut, atol=1e-3)
    for vectors, expected in zip(asyncio.run(all_at_once()), (whole, cut, cut, whole), strict=True):
        np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_a_release_that_was_not_resident_is_loaded_when_asked_for(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films
):
    version = publish(films, store, encoder)
    vectors = asyncio.run(service.encode(["hello"], "films", version))
    assert vectors.shape == (1, encoder.dim)
    assert service.resident == [f"films@{version}"]


def test_only_the_newest_versions_stay_resident(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films
):
    versions = [publish(films, store, encoder) for _ in range(KEPT_VERSIONS + 1)]
    for version in versions[:-1]:
        service.load("films", version)
    service.load("films", versions[0])  # is asked for still, though it came first
    service.load("films", versions[-1])
    gone = f"films@{versions[1]}"
    assert set(service.resident) == {f"films@{version}" for version in versions} - {gone}
    service.forget("films")
    assert service.resident == []


def test_nothing_is_encoded_for_whoever_has_gone(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films, monkeypatch
):
    version = publish(films, store, encoder)
    service.load("films", version)
    read: list[str] = []
    tokenize = encoder.tokenize
    monkeypatch.setattr(encoder, "tokenize", lambda t, *a: (read.extend(t), tokenize(t, *a))[1])

    async def asks() -> np.ndarray:
        first = asyncio.create_task(service.encode(["first"], "films", version))
        await asyncio.sleep(0)  # its batch is being made
        waits = [asyncio.create_task(service.encode([t], "films", version)) for t in ("a", "b")]
        await asyncio.sleep(0)
        waits[0].cancel()
        await first
        return await waits[1]

    assert asyncio.run(asks()).shape == (1, encoder.dim)
    assert "b" in read
    assert "a" not in read


def test_a_domain_whose_adapter_is_gone_does_not_keep_the_encoder_from_the_others(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films
):
    version = publish(films, store, encoder)
    service.load_current(["gone", "films"])
    assert service.resident == [f"films@{version}"]


def test_an_unknown_domain_or_version_is_never_answered_by_the_base_model(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films
):
    with pytest.raises(UnknownDomainError):
        asyncio.run(service.encode(["hello"], "films", "20260101-000000-000"))
    publish(films, store, encoder)
    with pytest.raises(ReleaseError, match="no release '20260101-000000-000'"):
        asyncio.run(service.encode(["hello"], "films", "20260101-000000-000"))


def test_a_release_of_another_encoder_is_refused(service: EncoderService, store, films):
    version = films.publish(store).version
    with pytest.raises(EncoderError, match="was made with the encoder word-counts"):
        service.load("films", version)
    assert service.resident == []


def test_an_error_reaches_all_who_were_in_the_batch_and_no_later_one(
    service: EncoderService, store: ReleaseStore, encoder: TextEncoder, films, monkeypatch
):
    version = publish(films, store, encoder)
    service.load("films", version)

    async def asks() -> list[object]:
        with monkeypatch.context() as patch:
            patch.setattr(encoder, "tokenize", lambda *_: 1 / 0)
            jobs = [service.encode([f"{n}"], "films", version) for n in range(3)]
            failed = await asyncio.gather(*jobs, return_exceptions=True)
        return [*failed, await service.encode(["well"], "films", version)]

    *failed, well = asyncio.run(asks())
    assert [type(error) for error in failed] == [ZeroDivisionError] * 3
    assert np.shape(well) == (1, encoder.dim)


def test_domains_of_different_encoders_are_not_served_together(store, encoder, films, books):
    publish(films, store, encoder)
    assert encoder_of(["films"], store) == encoder.name
    books.publish(store)
    with pytest.raises(ReleaseError, match="one service shares one encoder"):
        encoder_of(["films", "books"], store)
    with pytest.raises(UnknownDomainError, match="no domain to serve"):
        encoder_of([], store)


def test_several_threads_encode_what_one_would(
    store: ReleaseStore, encoder: TextEncoder, films, books
):
    versions = {"films": publish(films, store, encoder), "books": publish(books, store, encoder)}
    several = EncoderService(encoder, store, threads=3)
    several.load_current(["films", "books"])
    asked = [(("films", "books")[n % 2], f"text {n} {n}") for n in range(40)]

    async def rounds() -> None:
        for _ in range(3):  # workers end in between and begin anew
            jobs = [several.encode([text], domain, versions[domain]) for domain, text in asked]
            found = await asyncio.wait_for(asyncio.gather(*jobs), 60)
            expected = encoder.encode([text for _, text in asked])
            np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-5)
        assert several._n_working == 0

    asyncio.run(rounds())
    several.close()
