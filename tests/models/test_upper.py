"""Cached lower layers: equal to the whole model, computed once, LoRA the only parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModel

from crossrec.config import AdapterConfig
from crossrec.errors import EncoderError
from crossrec.models import upper as upper_module
from crossrec.models.encoder import TextEncoder, has_bf16
from crossrec.models.upper import LayerCache, UpperEncoder
from tests.models.lora import peft_vectors
from tests.models.tiny import make_tiny_encoder

TEXTS = ["rain", "a film about a shark", "", "rain", "sushi by the sea and a long walk home"]


def randomise(upper: UpperEncoder, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in upper.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)


@pytest.mark.parametrize("n_layers", [1, 2, 6])
def test_upper_layers_over_the_cache_equal_peft_within_1e_5(
    minilm: TextEncoder, fresh_home: Path, tmp_path: Path, n_layers: int
) -> None:
    cache = LayerCache.build(minilm, TEXTS, n_layers)
    upper = UpperEncoder(minilm, AdapterConfig(n_layers=n_layers), seed=0)
    randomise(upper)
    upper.save(tmp_path / "adapter")
    indices = [4, 1, 0, 3, 2, 4]
    vectors = upper(cache.batch(indices, batch_tokens=20)).detach().numpy()
    expected = peft_vectors(minilm, tmp_path / "adapter", TEXTS)
    expected[2] = 0  # the blank text
    np.testing.assert_allclose(vectors, expected[indices], atol=1e-5)
    assert np.abs(expected[0] - minilm.encode(["rain"])[0]).max() > 1e-3


def test_gradients_equal_those_of_the_whole_model(tiny: TextEncoder, fresh_home: Path) -> None:
    cache = LayerCache.build(tiny, TEXTS, 2)
    upper = UpperEncoder(tiny, AdapterConfig(), seed=3)
    randomise(upper)
    target = torch.randn(4, tiny.dim, generator=torch.Generator().manual_seed(1))
    (upper(cache.batch([0, 1, 3, 4])) * target).sum().backward()
    everything = LayerCache.build(tiny, TEXTS, 3)  # from the embeddings on
    deep = UpperEncoder(tiny, AdapterConfig(n_layers=3), seed=3)  # its lowest adapter stays 0
    assert len(list(deep.parameters())) == 3 * 4
    with torch.no_grad():
        for name, weight in deep.named_parameters():
            source = dict(upper.named_parameters()).get(name)
            weight.copy_(torch.zeros_like(weight) if source is None else source)
    (deep(everything.batch([0, 1, 3, 4])) * target).sum().backward()
    for name, weight in upper.named_parameters():
        reference = dict(deep.named_parameters())[name].grad
        np.testing.assert_allclose(weight.grad, reference, atol=1e-5)


def test_parameters_and_state_are_lora_only(tiny: TextEncoder) -> None:
    upper = UpperEncoder(tiny, AdapterConfig(rank=2, targets=["query"]), seed=0)
    assert [tuple(p.shape) for p in upper.parameters()] == [(2, 32), (32, 2)] * 2
    assert all("lora" in name for name in upper.state_dict())
    again = UpperEncoder(tiny, AdapterConfig(rank=2, targets=["query"]), seed=1)
    again.load_state_dict(upper.state_dict())
    for one, two in zip(upper.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, two)


def test_training_moves_vectors_and_only_the_adapter(tiny: TextEncoder, fresh_home: Path) -> None:
    before = tiny.encode(TEXTS)
    cache = LayerCache.build(tiny, TEXTS, 2)
    upper = UpperEncoder(tiny, AdapterConfig(dropout=0.1), seed=0).train()
    optimiser = torch.optim.Adam(upper.parameters(), lr=1e-2)
    first = last = 0.0
    for step in range(15):
        vectors = upper(cache.batch([0, 1, 4]))
        loss = (vectors[0] * vectors[1]).sum()  # push two texts apart
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        first, last = (loss.item() if step == 0 else first), loss.item()
    assert last < first - 0.05
    np.testing.assert_array_equal(tiny.encode(TEXTS), before)


def test_only_adapter_dropout_follows_train_and_eval(tiny: TextEncoder, fresh_home: Path) -> None:
    batch = LayerCache.build(tiny, TEXTS, 2).batch([0, 1])
    upper = UpperEncoder(tiny, AdapterConfig(dropout=0.5), seed=0)
    randomise(upper)
    torch.testing.assert_close(upper.eval()(batch), upper(batch))
    torch.manual_seed(0)
    assert not torch.allclose(upper.train()(batch), upper(batch))
    plain = UpperEncoder(tiny, AdapterConfig(dropout=0.0), seed=0).train()
    torch.testing.assert_close(plain(batch), plain(batch))  # the encoder's own dropout is off


def test_activations_are_computed_once(
    tiny: TextEncoder, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = LayerCache.build(tiny, TEXTS, 2)
    kept = list((fresh_home / "cache" / "layers").glob("*/hidden.npy"))
    with monkeypatch.context() as patch:
        patch.setattr(upper_module, "_compute", lambda *_: pytest.fail("computed again"))
        again = LayerCache.build(tiny, TEXTS, 2)
    torch.testing.assert_close(first.batch([1]).parts[0].hidden, again.batch([1]).parts[0].hidden)
    # unique texts only: 2 + letters of each text, cut at 64 tokens; the blank one has none
    letters = sum(2 + len(text.replace(" ", "")) for text in (TEXTS[0], TEXTS[1], TEXTS[4]))
    assert np.load(kept[0], mmap_mode="r").shape == (letters, 32)
    LayerCache.build(tiny, TEXTS, 1)
    LayerCache.build(tiny, TEXTS[:2], 2)
    LayerCache.build(tiny, TEXTS, 2, max_tokens=8)
    assert len(list((fresh_home / "cache" / "layers").glob("*/hidden.npy"))) == 4


def test_a_build_that_broke_off_is_done_again(
    tiny: TextEncoder, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(upper_module, "_to_stored", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            LayerCache.build(tiny, TEXTS, 2)
    batch = LayerCache.build(tiny, TEXTS, 2).batch([0])
    vectors = UpperEncoder(tiny, AdapterConfig(), seed=0)(batch).detach().numpy()
    np.testing.assert_allclose(vectors, tiny.encode(["rain"]), atol=1e-5)


def test_blank_texts_only_give_zeros(tiny: TextEncoder, fresh_home: Path) -> None:
    cache = LayerCache.build(tiny, ["", " "], 2)
    assert not UpperEncoder(tiny, AdapterConfig(), seed=0)(cache.batch([0, 1])).any()


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="no bf16 here")
def test_bf16_stays_near_fp32_and_trains(minilm: TextEncoder, fresh_home: Path) -> None:
    fast = TextEncoder.load(device="cpu")
    cache = LayerCache.build(fast, TEXTS, 2)
    upper = UpperEncoder(fast, AdapterConfig(), seed=0)
    vectors = upper(cache.batch([0, 1, 4]))
    exact = minilm.encode([TEXTS[0], TEXTS[1], TEXTS[4]])
    assert (vectors.detach().numpy() * exact).sum(1).min() > 0.99
    vectors[0, 0].backward()
    assert all(p.dtype == torch.float32 and p.grad is not None for p in upper.parameters())


SIZES = {"vocab_size": 64, "num_hidden_layers": 3, "max_position_embeddings": 128}
WIDTHS = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2}


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        ("mpnet", ["q", "v"]),
        ("roberta", ["query", "value"]),
        ("modernbert", ["Wqkv"]),
        ("deberta-v2", ["query_proj"]),
        ("distilbert", ["q_lin"]),
    ],
)
def test_other_encoders_are_adapted_alike(
    kind: str, targets: list[str], tmp_path: Path, fresh_home: Path
) -> None:
    folder = make_tiny_encoder(tmp_path / "encoder")
    widths = WIDTHS if kind != "distilbert" else {"dim": 32, "n_heads": 2, "hidden_dim": 48}
    special = {f"{name}_token_id": i for i, name in enumerate(("pad", "bos", "cls", "sep"))}
    config = AutoConfig.for_model(kind, **SIZES, **widths, **special, eos_token_id=3)
    torch.manual_seed(0)
    AutoModel.from_config(config).save_pretrained(folder)
    encoder = TextEncoder.load(folder, device="cpu", precision="fp32")
    cache = LayerCache.build(encoder, TEXTS, 2)
    upper = UpperEncoder(encoder, AdapterConfig(targets=targets), seed=0)
    randomise(upper)
    upper.save(tmp_path / "adapter")
    vectors = upper(cache.batch([0, 1, 4])).detach().numpy()
    expected = peft_vectors(encoder, tmp_path / "adapter", [TEXTS[0], TEXTS[1], TEXTS[4]])
    np.testing.assert_allclose(vectors, expected, atol=1e-5)


def test_layers_that_read_more_than_the_layer_below_are_refused(tmp_path: Path) -> None:
    folder = make_tiny_encoder(tmp_path / "t5")
    torch.manual_seed(0)
    config = AutoConfig.for_model("t5", vocab_size=64, d_model=32, d_kv=16, d_ff=48, num_layers=3)
    AutoModel.from_config(config).save_pretrained(folder)
    encoder = TextEncoder.load(folder, device="cpu", precision="fp32")
    assert encoder.encode(["rain"]).shape == (1, 32)  # frozen mode works
    with pytest.raises(EncoderError, match="read more than the layer below"):
        UpperEncoder(encoder, AdapterConfig(targets=["q"]), seed=0)  # all use the first one's bias
