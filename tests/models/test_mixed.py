"""MixedEncoder: every row equals PEFT's own output; domains come and go without a trace."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from crossrec.config import AdapterConfig
from crossrec.errors import EncoderError, UnknownDomainError
from crossrec.models.encoder import TextEncoder, has_bf16
from crossrec.models.mixed import MixedEncoder
from tests.models.lora import peft_vectors, random_adapter
from tests.models.tiny import make_tiny_encoder

TEXTS = ["rain", "a film about a shark", "sushi by the sea", "a long walk home in the evening sun"]
CONFIGS = {
    "movies": AdapterConfig(),
    "grocery": AdapterConfig(rank=4, alpha=4, targets=["query", "key", "value", "dense"]),
    "travel": AdapterConfig(rank=8, n_layers=3, targets=["dense"]),
    "news": AdapterConfig(rank=33, n_layers=1),
    "music": AdapterConfig(),
    "books": None,
}


@pytest.fixture(scope="module")
def folders(
    minilm: TextEncoder, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path | None]:
    root = tmp_path_factory.mktemp("adapters")
    return {
        domain: config and random_adapter(minilm, root / domain, config, seed)
        for seed, (domain, config) in enumerate(CONFIGS.items())
    }


@pytest.fixture
def mixed(minilm: TextEncoder, folders: dict[str, Path | None]) -> MixedEncoder:
    encoder = MixedEncoder(minilm)
    for domain, folder in folders.items():
        encoder.add(domain, folder)
    return encoder


@pytest.fixture(scope="module")
def expected(
    minilm: TextEncoder, folders: dict[str, Path | None]
) -> dict[tuple[str, str], np.ndarray]:
    return {
        (text, domain): vector
        for domain, folder in folders.items()
        for text, vector in zip(TEXTS, peft_vectors(minilm, folder, TEXTS), strict=True)
    }


def test_every_row_of_a_mixed_batch_equals_peft_within_1e_5(
    mixed: MixedEncoder, expected: dict[tuple[str, str], np.ndarray]
) -> None:
    pairs = [(text, domain) for text in TEXTS for domain in CONFIGS]
    vectors = mixed.encode([t for t, _ in pairs], [d for _, d in pairs])
    np.testing.assert_allclose(vectors, [expected[pair] for pair in pairs], atol=1e-5)
    for text in TEXTS:  # and adapters do differ from each other
        rows = np.array([expected[text, domain] for domain in CONFIGS])
        assert np.triu(rows @ rows.T, 1).max() < 0.999


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(TEXTS), st.sampled_from(list(CONFIGS))), min_size=1, max_size=9
    ),
    st.integers(1, 60),
)
def test_any_mix_order_and_batch_size_gives_the_same_rows(
    shared: MixedEncoder,
    expected: dict[tuple[str, str], np.ndarray],
    pairs: list[tuple[str, str]],
    batch_tokens: int,
) -> None:
    vectors = shared.encode([t for t, _ in pairs], [d for _, d in pairs], batch_tokens=batch_tokens)
    np.testing.assert_allclose(vectors, [expected[pair] for pair in pairs], atol=1e-5)


@pytest.fixture(scope="module")
def shared(minilm: TextEncoder, folders: dict[str, Path | None]) -> MixedEncoder:
    encoder = MixedEncoder(minilm)
    for domain, folder in reversed(folders.items()):  # the order of registration matters to none
        encoder.add(domain, folder)
    return encoder


def test_a_domain_without_adapter_is_the_encoder_itself(
    mixed: MixedEncoder, minilm: TextEncoder
) -> None:
    np.testing.assert_allclose(mixed.encode(TEXTS, ["books"] * 4), minilm.encode(TEXTS), atol=1e-6)


def test_one_adapter_leaves_the_others_unchanged(
    mixed: MixedEncoder, minilm: TextEncoder, folders: dict[str, Path | None]
) -> None:
    others = [domain for domain in CONFIGS if domain != "movies"]

    def vectors() -> list[np.ndarray]:
        return [mixed.encode(TEXTS, [domain] * 4) for domain in others]

    before, base = vectors(), minilm.encode(TEXTS)
    old = mixed.encode(TEXTS, ["movies"] * 4)
    mixed.remove("movies")
    mixed.add("movies", folders["music"])
    assert np.abs(mixed.encode(TEXTS, ["movies"] * 4) - old).max() > 1e-3
    mixed.remove("movies")
    for one, two in zip(before, vectors(), strict=True):
        np.testing.assert_array_equal(one, two)
    mixed.add("movies", folders["movies"])
    np.testing.assert_array_equal(mixed.encode(TEXTS, ["movies"] * 4), old)
    for one, two in zip(before, vectors(), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(minilm.encode(TEXTS), base)


def test_domains_are_listed_and_unknown_ones_refused(mixed: MixedEncoder) -> None:
    assert mixed.domains == list(CONFIGS)
    with pytest.raises(UnknownDomainError, match="no domain 'movis': did you mean 'movies'"):
        mixed.encode(["rain"], ["movis"])
    with pytest.raises(UnknownDomainError, match="'nowhere'"):
        mixed.remove("nowhere")
    with pytest.raises(EncoderError, match="2 texts and 1 domains"):
        mixed.encode(["rain", "sun"], ["movies"])


def test_no_texts_blank_texts_and_repeats(mixed: MixedEncoder) -> None:
    assert mixed.encode([], []).shape == (0, 384)
    vectors = mixed.encode(["", "rain", "rain"], ["movies", "movies", "movies"])
    assert not vectors[0].any()
    np.testing.assert_array_equal(vectors[1], vectors[2])


def _break_weights(folder: Path) -> None:
    (folder / "adapter_model.safetensors").write_bytes(b"not a tensor file")


def _break_shape(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    name = next(key for key in tensors if "lora_A" in key)
    save_file(tensors | {name: tensors[name][:, :-1].clone()}, folder / "adapter_model.safetensors")


def _add_tensor(folder: Path) -> None:
    tensors = load_file(folder / "adapter_model.safetensors")
    save_file(
        tensors | {"extra": next(iter(tensors.values())).clone()},
        folder / "adapter_model.safetensors",
    )


def _use_dora(folder: Path) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"use_dora": True}))


def _lose_config(folder: Path) -> None:
    (folder / "adapter_config.json").unlink()


def _other_encoder(folder: Path) -> None:
    (folder / "encoder.json").write_text('{"name": "other", "fingerprint": "0"}')


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_break_weights, "is damaged"),
        (_break_shape, "does not fit"),
        (_add_tensor, "5 .* pairs and nothing else|9 tensors, 4 pairs"),
        (_use_dora, "use_dora=True.*only plain LoRA"),
        (_lose_config, "has no adapter_config.json"),
        (_other_encoder, "was trained on encoder 'other'"),
    ],
)
def test_after_a_failed_add_all_is_as_before(
    mixed: MixedEncoder, minilm: TextEncoder, tmp_path: Path, damage, message: str
) -> None:
    folder = random_adapter(minilm, tmp_path / "new", AdapterConfig(), seed=9)
    damage(folder)
    before = mixed.encode(TEXTS, ["movies", "grocery", "travel", "books"])
    with pytest.raises(EncoderError, match=message):
        mixed.add("new", folder)
    assert mixed.domains == list(CONFIGS)
    after = mixed.encode(TEXTS, ["movies", "grocery", "travel", "books"])
    np.testing.assert_array_equal(before, after)


def test_a_domain_is_not_added_twice(mixed: MixedEncoder, folders: dict[str, Path | None]) -> None:
    with pytest.raises(EncoderError, match="'music' has an adapter already; remove it first"):
        mixed.add("music", folders["movies"])


def test_encoding_goes_on_while_adapters_come_and_go(
    mixed: MixedEncoder,
    folders: dict[str, Path | None],
    expected: dict[tuple[str, str], np.ndarray],
) -> None:
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            mixed.remove("news")
            mixed.add("news", folders["movies"])
            mixed.remove("music")
            mixed.add("music", folders["music"])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(10):
            vectors = mixed.encode(TEXTS, ["movies", "grocery", "travel", "books"])
            rows = zip(TEXTS, ["movies", "grocery", "travel", "books"], strict=True)
            np.testing.assert_allclose(vectors, [expected[row] for row in rows], atol=1e-5)
    finally:
        stop.set()
        thread.join()


def test_two_encoders_over_the_same_weights_do_not_meet(
    minilm: TextEncoder, folders: dict[str, Path | None], mixed: MixedEncoder
) -> None:
    other = MixedEncoder(minilm)
    other.add("movies", None)
    np.testing.assert_allclose(other.encode(TEXTS, ["movies"] * 4), minilm.encode(TEXTS), atol=1e-6)


def test_rank_stabilised_lora_is_scaled_as_peft_does(tiny: TextEncoder, tmp_path: Path) -> None:
    folder = random_adapter(tiny, tmp_path / "rs", AdapterConfig(rank=4), seed=0)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    mixed = MixedEncoder(tiny)
    mixed.add("a", folder)
    np.testing.assert_allclose(
        mixed.encode(TEXTS, ["a"] * 4), peft_vectors(tiny, folder, TEXTS), atol=1e-5
    )


def test_serving_adapters_does_not_import_peft(tiny: TextEncoder, tmp_path: Path) -> None:
    folder = random_adapter(tiny, tmp_path / "adapter", AdapterConfig(), seed=0)
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from crossrec.models.encoder import TextEncoder\n"
        "from crossrec.models.mixed import MixedEncoder\n"
        "mixed = MixedEncoder(TextEncoder.load(sys.argv[1], device='cpu'))\n"
        "mixed.add('a', Path(sys.argv[2]))\n"
        "assert mixed.encode(['rain'], ['a']).any()\n"
        "assert 'peft' not in sys.modules, 'peft was imported'\n"
    )
    subprocess.run([sys.executable, "-c", code, tiny.name, str(folder)], check=True, timeout=120)


def test_adapters_of_any_encoder_are_served(tmp_path: Path) -> None:
    encoder = TextEncoder.load(
        make_tiny_encoder(tmp_path / "deep", n_layers=5), device="cpu", precision="fp32"
    )
    mixed = MixedEncoder(encoder)
    for rank in (1, 2):
        folder = tmp_path / f"rank{rank}"
        mixed.add(f"d{rank}", random_adapter(encoder, folder, AdapterConfig(rank=rank), seed=rank))
    vectors = mixed.encode(["rain", "rain"], ["d1", "d2"])
    for row, rank in enumerate((1, 2)):
        reference = peft_vectors(encoder, tmp_path / f"rank{rank}", ["rain"])[0]
        np.testing.assert_allclose(vectors[row], reference, atol=1e-5)


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="no bf16 here")
def test_bf16_stays_near_peft_in_fp32(
    folders: dict[str, Path | None], expected: dict[tuple[str, str], np.ndarray]
) -> None:
    mixed = MixedEncoder(TextEncoder.load(device="cpu", precision="bf16"))
    for domain, folder in folders.items():
        mixed.add(domain, folder)
    pairs = [(text, domain) for text in TEXTS for domain in CONFIGS]
    vectors = mixed.encode([t for t, _ in pairs], [d for _, d in pairs])
    assert (vectors * [expected[pair] for pair in pairs]).sum(1).min() > 0.99
