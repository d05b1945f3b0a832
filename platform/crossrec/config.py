"""All settings of a run, each written once: type, default, range, meaning.

Two trees: `RunConfig` defines the result (hashed, compared, stored in the release);
`Placement` says where it runs and changes a figure by rounding alone. A YAML gives values, the
command line overrides by dotted path, a domain's own YAML may say where it begins, a typo is an
error.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crossrec.errors import ConfigError, suggest


def home() -> Path:
    """Folder of everything crossrec keeps: `$CROSSREC_HOME`, else `~/.crossrec`.

    Below it: `domains/` (the user's YAMLs), `data/<domain>/`, `downloads/`, `cache/`,
    `runs/<run>/`, `releases/<domain>/<version>/`, `reports/` (evaluations), `transfers/`,
    `feedback.db`, `feedback/` (exports), `learners/<domain>/` and `learning.db` (weights learned
    online, the answers they come from), `keys.json`, `users.json` (the key of pseudonyms),
    `audit.jsonl`, `logs/` (of the service's processes).
    """
    return Path(os.environ.get("CROSSREC_HOME") or Path.home() / ".crossrec").absolute()


DEFAULT_URL = "http://127.0.0.1:8000"
"""Where a service listens that was told nothing else."""


def mirror() -> Path | None:
    """`$CROSSREC_DATA_MIRROR`: a folder of canonical tables, one sub-folder a domain, or None."""
    value = os.environ.get("CROSSREC_DATA_MIRROR")
    return Path(value).absolute() if value else None


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class AdapterConfig(_Settings):
    """LoRA on the encoder (Hu et al. 2021, arXiv:2106.09685); used in `adapted` mode."""

    rank: int = Field(8, ge=1, le=64)
    alpha: float = Field(16.0, gt=0)
    """Scale of the update is alpha / rank."""
    dropout: float = Field(0.0, ge=0, lt=1)
    targets: list[str] = ["query", "value"]
    """Linear layers adapted, by the end of their module name."""
    n_layers: int = Field(2, ge=1)
    """Upper layers adapted; the activations below them are computed once and cached."""
    texts_per_step: int = Field(64, ge=1)
    """Item texts of a batch that are encoded anew, with gradients, in a step."""


Part = Literal[
    "item_text",
    "short_term",
    "long_term",
    "gaps",
    "events",
    "requests",
    "follows",
    "lending",
    "sequence",
    "collaborative",
    "neighbours",
    "text",
    "wording",
    "popularity",
]
"""What `ModelConfig.without` can leave out."""


class ModelConfig(_Settings):
    """Item and user model."""

    dim: int = Field(128, ge=8, le=1024)
    """Width D of item and user vectors."""
    n_blocks: int = Field(2, ge=1, le=8)
    n_heads: int = Field(2, ge=1, le=16)
    history_length: int = Field(50, ge=1, le=500)
    """Most recent interactions the user model reads."""
    dropout: float = Field(0.2, ge=0, lt=1)
    id_dropout: float = Field(0.1, ge=0, le=1)
    """Chance that an item's id embedding is left out of a training step, so that an item
    without one (a cold item) still works."""
    use_ids: bool = True
    """False: an item is what is said of it, no more; what is learned fits other catalogues."""
    use_context: bool = True
    without: list[Part] = []
    """Parts left out, to see what they are worth (ids, context and modalities have settings of
    their own). Of the towers: item_text (an item is its id alone), short_term and long_term
    interest, gaps in time, kinds of events. requests: whatever is said in words. Of the
    neighbours: follows (what follows what; cosine alone), lending (items without interactions
    are lent nothing). Of the fusion a signal by its name: sequence, collaborative, neighbours,
    text, wording, popularity."""
    modalities: Literal["all", "none"] | list[str] = "all"
    """Which of the domain's modalities (pictures, sound, prices) the item model reads; a list
    takes those of these names."""
    modality_dropout: float = Field(0.0, ge=0, lt=1)
    """Chance that an item's modality is left out of a training step."""
    max_text_tokens: int = Field(64, ge=8, le=512)

    @field_validator("modalities", mode="before")
    @classmethod
    def _all_none_or_names(cls, given: Any) -> Any:
        if given not in ("all", "none") and not isinstance(given, list | tuple):
            raise ValueError(f"'{given}' is neither all, none, nor a list of names such as [image]")
        return given

    @model_validator(mode="after")
    def _heads_share_the_width(self) -> ModelConfig:
        if self.dim % self.n_heads:
            raise ValueError(
                f"dim {self.dim} cannot be shared by {self.n_heads} heads; expected a multiple"
            )
        return self


class TrainingConfig(_Settings):
    """The loop."""

    mode: Literal["frozen", "adapted", "auto"] = "frozen"
    """frozen: item texts are encoded once; adapted: LoRA trains along; auto: frozen first, then
    adapting is tried from there, within a bounded number of encoded tokens, and kept only where
    validation says that it is better by more than a standard error. Domains that lend their
    weights (transfer) are frozen then."""
    max_epochs: int = Field(30, ge=1)
    patience: int = Field(3, ge=1)
    """Epochs without a better validation NDCG@10 before it stops."""
    batch_size: int = Field(128, ge=1)
    """Sequences a step, over all workers together."""
    learning_rate: float = Field(2e-3, gt=0)
    adapter_learning_rate: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    temperature: float = Field(0.15, gt=0)
    """tau in the softmax over u·v / tau. UniSRec's .07 fits histories too closely."""
    cold_case_weight: float = Field(3.0, gt=0)
    """How often a validation case whose target is a cold item counts when the fusion is learned.
    1: items nobody has had rank where the log says, which is low, for nobody was shown them."""
    rarity_weight: float = Field(0.0, ge=0, le=1)
    """How much more a rare target counts in the softmax: each target by (1 / its item's count) to
    this power, scaled to a mean of 1. 0: all alike; 1: every item, or label, alike in sum."""
    popularity_correction: float = Field(0.0, ge=0, le=1)
    """Logit adjustment (Menon et al. 2021, arXiv:2007.07314, eq. 10): while the towers train, so
    much of log(count) is added to an item's logit and left out when it is scored, so that they
    need not learn popularity. The signal of popularity stays in the fusion."""
    synonym_share: float = Field(0.0, ge=0, le=1)
    """Chance that a word of a request is replaced by one of like meaning (to the encoder, out of
    the domain's own words) while the towers train: in made-up requests, and of what people really
    said in a second wording that half of the steps hear."""
    passed_over_weight: float = Field(0.0, ge=0)
    """Weight of a second loss where the source records what was shown and not taken (impressions
    without a click, offers turned down): -log p of the target among itself and a few of those.
    0: they are not read."""
    seed: int = 0
    max_users: int | None = Field(None, ge=1)
    """Train and judge on this many users, drawn by seed; None: all. Said in the metrics."""

    @property
    def epochs_at_most(self) -> int:
        """Of a whole training: `auto` may train frozen, and then adapted."""
        return self.max_epochs * (2 if self.mode == "auto" else 1)


class SearchConfig(_Settings):
    """How the best of very many items are found in answers; evaluations always score all items."""

    kind: Literal["ivf", "exact"] = "ivf"
    """ivf: FAISS' inverted lists, from `exact_up_to` items on; exact: all items are scored, always.
    Releases that predict ratings score all as well."""
    exact_up_to: int = Field(100_000, ge=1)
    """Items, of a catalogue or of what filters leave of it, that are all scored."""
    effort: float = Field(0.25, gt=0, le=1)
    """Share of the lists that a look-up reads; 1: all of them."""
    n_candidates: int = Field(1000, ge=100, le=100_000)
    """Items that each signal names, which are then scored exactly by everything."""


OF_RANKING = (
    *("temperature", "cold_case_weight", "rarity_weight", "popularity_correction"),
    "passed_over_weight",
)
"""Settings of training that shape the softmax and the fusion; the task `rate` has neither."""


class RunConfig(_Settings):
    """Everything that defines a result besides the data itself."""

    encoder: str = "all-MiniLM-L6-v2"
    """Name or path of a Hugging Face encoder; the default comes from an installed package."""
    protocol: Literal["leave_one_out", "temporal", "cold_items", "requests", "profiles"] = (
        "leave_one_out"
    )
    """How training, validation and test are cut; a domain without interactions is always cut by
    its requests or labelled texts. profiles: users known by a sentence alone."""
    task: Literal["rank", "rate", "classify"] | None = None
    """What the head learns; None: the task of the domain."""
    candidates: Literal["all", "restricted"] = "all"
    """What a test case is judged among. restricted: what the case's context leaves of the catalogue
    (`restricts` in the YAML); the model is the same, and its figures are not those of peers."""
    model: ModelConfig = ModelConfig()
    adapter: AdapterConfig = AdapterConfig()
    training: TrainingConfig = TrainingConfig()
    search: SearchConfig = SearchConfig()

    def above(self, defaults: Mapping[str, Any]) -> RunConfig:
        """These settings, and where one of them was never given that of `defaults`.

        >>> given = load_config(overrides=["adapter.rank=4"])
        >>> given.above({"adapter": {"rank": 16, "n_layers": 3}}).adapter.n_layers
        3
        >>> given.above({"adapter": {"rank": 16}}).adapter.rank
        4
        """
        return run_config(_merged(defaults, self.model_dump(exclude_unset=True)))

    def changed(self) -> dict[str, Any]:
        """Dotted path → value of each setting that is not as it comes.

        >>> load_config(overrides=["training.mode=auto", "model.dim=128"]).changed()
        {'training.mode': 'auto'}
        """
        return dict(_flat(self.model_dump(mode="json", exclude_defaults=True)))

    def digest(self) -> str:
        """First 12 hex digits of the SHA-256 of all values that a training depends on (`search` is
        none of them); equal configs, equal digests.
        """
        text = json.dumps(self.model_dump(mode="json", exclude={"search"}), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Placement(_Settings):
    """Where a run happens; hashed and compared nowhere. Of what is here `precision` moves a figure,
    by rounding.
    """

    workers: int = Field(1, ge=1)
    address: str | None = None
    """Ray address (`auto`, `ray://…`); None: a local cluster that ends with the run."""
    use_gpu: bool | Literal["auto"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """auto: bf16 where the processor has it."""
    threads_per_worker: int = Field(1, ge=1)


def load_config(path: Path | None = None, overrides: list[str] | None = None) -> RunConfig:
    """A `RunConfig` from an optional YAML and `a.b=value` overrides (values are YAML).

    Raises:
        ConfigError: no such file, no such key (near matches named), or a value out of range.

    >>> load_config(overrides=["model.dim=64"]).model.dim
    64
    """
    values: dict[str, Any] = {}
    if path is not None:
        values = _read_yaml(path)
    for override in overrides or []:
        _override(values, override)
    try:
        return run_config(values)
    except ValueError as err:
        raise ConfigError(f"{path or 'settings'}: {err}") from err


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """Settings from nested values.

    Raises:
        ValueError: no such key (near matches named), or a value out of range; in words.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as err:
        raise ValueError("; ".join(_in_words(one) for one in err.errors())) from err


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both, nested; where both have a value that of `above`."""
    merged = dict(below)
    for key, value in above.items():
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = _merged(merged[key], value) if nested else value
    return merged


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and value of each leaf."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def setting_titles(names: Sequence[str]) -> list[str]:
    """Each setting as a heading: the last word of its path, or the whole path where two of them
    would read alike.

    >>> setting_titles(["model.dropout", "adapter.dropout", "training.learning_rate"])
    ['model.dropout', 'adapter.dropout', 'learning rate']
    """
    last = [name.rsplit(".", 1)[-1].replace("_", " ") for name in names]
    return [
        short if last.count(short) == 1 else name for name, short in zip(names, last, strict=True)
    ]


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"no config file at {path}; expected a YAML of settings")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise ConfigError(f"{path} is not valid YAML: {err}") from err
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds a {type(values).__name__}; expected settings by name")
    return values


def _in_words(error: Any) -> str:
    """One Pydantic error as `key: what is wrong`; of an unknown key the near ones are named."""
    *parents, leaf = error["loc"] or ("settings",)
    key = ".".join(map(str, error["loc"])) or "settings"
    if error["type"] != "extra_forbidden":
        return f"{key}: {error['msg']}"
    known: Any = RunConfig
    for parent in parents:
        known = known.model_fields[parent].annotation
    return f"no setting is called {key}: {suggest(str(leaf), known.model_fields)}"


def _override(values: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator:
        raise ConfigError(f"override '{override}' has no '='; expected for example model.dim=64")
    *parents, leaf = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values[leaf] = yaml.safe_load(text)
