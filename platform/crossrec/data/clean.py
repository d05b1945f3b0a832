"""Plans how a source's table becomes canonical, and which rows are set aside, all of it lazily.

Leaves to others: opening files (read.py), running the plan and writing Parquet (importing.py).
A value that means "not given" (a NaN rating, words in a numeric column) becomes null and is counted
as a repair; a row that breaks a rule of the schema is rejected with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from crossrec.data.columns import (
    Draft,
    as_text,
    categories,
    draft_side_columns,
    from_template,
    require,
    sources_of,
)
from crossrec.data.read import Table
from crossrec.data.times import derived, epoch_seconds, order_index
from crossrec.domains.spec import Domain, TableSpec
from crossrec.errors import DataError, suggest
from crossrec.schema import (
    CATEGORY,
    DEFAULT_EVENT,
    EVENT,
    FEATURES,
    ITEM_ID,
    RATING,
    REASON,
    TABLES,
    TEXT,
    TIMESTAMP,
    TITLE,
    VECTOR,
    TableSchema,
)

TITLE_CHARS = 80
"""An item without a title is called by the first characters of its text."""
KEY = "key"
_ROW = "__row"
_CODE = "__code"  # number of the rule that a row breaks
_GOOD = -1
_MISSING_WORDS = ["", "na", "n/a", "nan", "null", "none"]


@dataclass(frozen=True)
class Plan:
    """What will be computed, as lazy frames; the three share one pass over the source."""

    kept: pl.LazyFrame
    """Canonical columns, then side columns, in the order of the source's rows."""
    rejected: pl.LazyFrame
    """table, row (1 = first after the header), reason, source_row (JSON), key (of `unique`)."""
    counts: pl.LazyFrame
    """One line: `rows` in the source, and how many rows each repair changed."""


@dataclass(frozen=True)
class KnownItems:
    """Ids of the items table, for the tables that refer to it."""

    kept: pl.Series
    rejected: pl.Series


def schema_of(name: str) -> TableSchema:
    """The schema of a canonical table, `features_<modality>` included."""
    return FEATURES if name.startswith("features_") else TABLES[name]


def plan_table(
    name: str, table: Table, domain: Domain, items: KnownItems | None, canonical: bool = False
) -> Plan:
    """How `table` becomes the canonical table `name` of `domain`.

    Args:
        items: ids that other tables may refer to; None: nothing is checked against items.
        canonical: the table has canonical names already, the domain's mapping is not applied.

    Raises:
        DataError: a column is missing (near matches are named) or has an impossible type.
    """
    spec = TableSpec() if canonical else domain.tables.get(name, TableSpec())
    schema = schema_of(name)
    draft = Draft(table, sources_of(name, table, spec))
    if name == "items":
        _draft_items(draft, spec, None if canonical else domain.text_template)
    elif name == "interactions":
        _draft_interactions(draft, domain)
    elif schema is FEATURES:
        _draft_features(draft)
    else:
        _draft_plain(draft, schema)
    if schema is not FEATURES:
        draft_side_columns(draft, _numeric_columns(name, domain))
    if items is not None:
        for column in schema.item_columns:
            _refer_to_items(draft, column, items)
    return _plan(name, draft, schema.unique)


def _plan(name: str, draft: Draft, unique: tuple[str, ...]) -> Plan:
    frame = draft.table.frame.with_row_index(_ROW, offset=1)
    for step in draft.steps:
        frame = frame.with_columns(step)
    reasons = [reason for reason, _ in draft.rules]
    code = pl.lit(_GOOD)  # numbers: texts for every row would take most of the time
    for number, (_, bad) in reversed(list(enumerate(draft.rules))):
        code = pl.when(bad).then(number).otherwise(code)
    frame = frame.with_columns(code.cast(pl.Int8).alias(_CODE))
    key = draft.outputs[unique[0]] if unique else pl.lit(None, pl.String)
    if unique:
        candidate = pl.when(pl.col(_CODE) == _GOOD).then(key)
        is_again = (pl.col(_CODE) == _GOOD) & ~candidate.is_first_distinct()
        code = pl.when(is_again).then(len(reasons)).otherwise(pl.col(_CODE))
        frame = frame.with_columns(code.cast(pl.Int8).alias(_CODE))
        reasons.append(f"duplicate {unique[0]}")
    good = pl.col(_CODE) == _GOOD
    rejected = frame.filter(~good).select(
        pl.lit(name).alias("table"),
        pl.col(_ROW).cast(pl.Int64).alias("row"),
        pl.col(_CODE)
        .replace_strict(list(range(len(reasons))), reasons, return_dtype=pl.String)
        .alias(REASON),
        pl.struct(draft.table.columns).struct.json_encode().alias("source_row"),
        key.alias(KEY),
    )
    kept = frame.filter(good).select(e.alias(column) for column, e in draft.outputs.items())
    changed = [(good & e).sum().alias(what) for what, e in draft.repairs.items()]
    return Plan(kept, rejected, frame.select(pl.len().alias("rows"), *changed))


def _draft_text(draft: Draft, name: str) -> None:
    """A text column without which the row means nothing."""
    require(draft, name)
    text = as_text(draft, name)
    draft.outputs[name] = text
    draft.rules.append((f"missing {name}", text.is_null() | (text.str.strip_chars() == "")))


def _draft_plain(draft: Draft, schema: TableSchema) -> None:
    for name in schema.required:
        _draft_text(draft, name)
    for name in schema.optional:
        if name in draft.source:
            draft.outputs[name] = as_text(draft, name)


def _draft_items(draft: Draft, spec: TableSpec, template: str | None) -> None:
    _draft_text(draft, ITEM_ID)
    if template is None and TITLE not in draft.source and TEXT not in draft.source:
        require(draft, TITLE)
    title = as_text(draft, TITLE) if TITLE in draft.source else pl.lit(None, pl.String)
    if template is not None:
        text = from_template(draft, template, spec.list_separator)
    else:
        text = as_text(draft, TEXT) if TEXT in draft.source else title
    text = pl.when(text.str.strip_chars() == "").then(None).otherwise(text)
    text = pl.coalesce(text, title, pl.lit(""))
    draft.outputs[TITLE] = pl.coalesce(title, text.str.slice(0, TITLE_CHARS))
    draft.outputs[TEXT] = text
    draft.outputs[CATEGORY] = categories(draft, spec.list_separator)
    draft.rules.append(("item without any text", text.str.strip_chars() == ""))


def _draft_interactions(draft: Draft, domain: Domain) -> None:
    for name in TABLES["interactions"].required:
        if name != TIMESTAMP:
            _draft_text(draft, name)
    moment = _draft_timestamp(draft, domain)
    event = as_text(draft, EVENT) if EVENT in draft.source else pl.lit(None, pl.String)
    event = pl.when(event.str.strip_chars() == "").then(None).otherwise(event)
    draft.outputs[EVENT] = event.fill_null(DEFAULT_EVENT)
    draft.outputs[RATING] = _rating(draft)
    for context in domain.context:
        if context.derive not in (None, "last_item") and context.name not in draft.source:
            draft.outputs[context.name] = derived(context.derive, moment)


def _draft_timestamp(draft: Draft, domain: Domain) -> pl.Expr:
    if TIMESTAMP not in draft.source and domain.time_kind != "unix_seconds":
        moment = pl.col(_ROW).cast(pl.Int64)  # the order of the file, so that a sort is stable
    else:
        require(draft, TIMESTAMP)
        if domain.time_kind == "unix_seconds":
            moment, repairs = epoch_seconds(
                draft.source[TIMESTAMP], draft.sample(TIMESTAMP), draft.table.label, draft.keep
            )
            draft.repairs.update(repairs)
        else:
            moment = order_index(draft.source[TIMESTAMP])
        raw = draft.raw(TIMESTAMP)
        draft.rules.append(("missing timestamp", raw.is_null()))
        draft.rules.append(("timestamp is no time", moment.is_null()))
    draft.outputs[TIMESTAMP] = moment
    return moment


def _rating(draft: Draft) -> pl.Expr:
    """float32; NaN and words such as NA become null, other words and infinity reject the row."""
    if RATING not in draft.source:
        return pl.lit(None, pl.Float32)
    raw = draft.raw(RATING)
    is_text = draft.type_of(RATING) == pl.String
    text = raw.str.strip_chars() if is_text else raw
    number = draft.keep("rating", text.cast(pl.Float32, strict=False))
    missing = number.is_nan().fill_null(False)
    if is_text:
        word = pl.when(number.is_null()).then(raw).str.strip_chars().str.to_lowercase()
        missing = missing | word.is_in(_MISSING_WORDS).fill_null(False)
    missing = draft.keep("rating_missing", missing)
    draft.repairs["rating not given (NaN, NA), set to null"] = missing
    finite = number.is_finite().fill_null(False)
    draft.rules.append(("rating is no number", raw.is_not_null() & ~missing & ~finite))
    return pl.when(finite).then(number)


def _draft_features(draft: Draft) -> None:
    """`vector` from a list or array column, else from all numeric columns, in their order."""
    _draft_text(draft, ITEM_ID)
    lists = [c for c in draft.source if draft.type_of(c).is_nested()]
    numbers = [c for c in draft.source if c != ITEM_ID and draft.type_of(c).is_numeric()]
    if VECTOR not in draft.source and len(lists) != 1 and not numbers:
        require(draft, VECTOR)
    if VECTOR in draft.source or len(lists) == 1:
        vector = draft.raw(VECTOR if VECTOR in draft.source else lists[0])
        vector = vector.cast(pl.List(pl.Float32))
    else:
        vector = pl.concat_list([draft.raw(c).cast(pl.Float32) for c in numbers])
    draft.outputs[VECTOR] = vector
    length = vector.list.len()
    draft.rules += [
        ("missing vector", vector.is_null()),
        (
            "vector with a null or NaN",
            vector.list.eval(~pl.element().is_finite().fill_null(False)).list.any(),
        ),
        ("vector as long as no other", length != length.mode().first()),
    ]


def _numeric_columns(name: str, domain: Domain) -> set[str]:
    """Side columns that the domain uses as numbers."""
    places = [c for c in domain.context if c.kind == "place"]
    if name == "items":
        columns = {o.column for o in domain.objectives if o.column and o.reads_numbers}
        columns |= {column for modality in domain.modalities for column in modality.columns}
        return columns | {column for place in places for column in place.item_columns}
    if name == "interactions":
        numbers = [c for c in domain.context if c.kind != "category"]
        return {column for c in numbers for column in (c.columns or [c.name])}
    return set()


def _refer_to_items(draft: Draft, column: str, items: KnownItems) -> None:
    value = draft.outputs[column]
    unknown = ~value.is_in(items.kept.implode())
    if len(items.rejected):
        of_rejected = unknown & value.is_in(items.rejected.implode())
        draft.rules.append((f"{column} of a rejected item", of_rejected))
    draft.rules.append((f"unknown {column}", unknown))


def check_declared(domain: Domain, columns: Mapping[str, list[str]]) -> None:
    """Check that the columns which the domain's YAML names are in its canonical tables.

    Args:
        columns: canonical table → its columns.

    Raises:
        DataError: one is missing; near matches are named.
    """
    for table, column, use in _declared(domain):
        if table in columns and column not in columns[table]:
            raise DataError(
                f"the domain '{domain.name}' names column '{column}' as {use}, but its table"
                f" '{table}' has no such column: {suggest(column, columns[table])}"
            )


def _declared(domain: Domain) -> list[tuple[str, str, str]]:
    """(table, column, what for) of each column that the YAML names."""
    found = [("items", o.column, f"objective '{o.name}'") for o in domain.objectives if o.column]
    found += [("items", column, "a card column") for column in domain.card_columns]
    found += [("items", c, f"modality '{m.name}'") for m in domain.modalities for c in m.columns]
    found += [("users", column, "an audit column") for column in domain.audit_columns]
    template = domain.profile_template or ""
    found += [("users", c, "part of a profile") for c in re.findall(r"{([^{}]*)}", template)]
    if domain.pool_column:
        found.append(("items", domain.pool_column, "the pool column"))
    for context in domain.context:
        use = f"context field '{context.name}'"
        if context.derive != "last_item":
            found += [("interactions", c, use) for c in context.columns or [context.name]]
        found += [("items", c, use) for c in context.item_columns]
        if context.restricts:
            found.append(("items", context.restricts, f"what {use} restricts"))
    return found
