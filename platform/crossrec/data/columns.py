"""Columns of a source's table: found by name or mapping, and turned into canonical types, lazily.

Leaves to others: which table needs which columns, and what makes a row bad (clean.py).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from crossrec.data.read import SAMPLE_ROWS, Table
from crossrec.data.times import Repairs
from crossrec.domains.spec import TableSpec
from crossrec.errors import DataError, suggest
from crossrec.schema import CATEGORY


@dataclass
class Draft:
    """A table under way: where columns come from, what they become, what makes a row bad."""

    table: Table
    source: dict[str, str]
    """Output column → column of the source."""
    outputs: dict[str, pl.Expr] = field(default_factory=dict)
    rules: list[tuple[str, pl.Expr]] = field(default_factory=list)
    """Reason → whether the row is bad for it; the first that holds is reported."""
    repairs: Repairs = field(default_factory=dict)
    steps: list[pl.Expr] = field(default_factory=list)
    """Intermediate columns, in the order in which they build on each other."""

    def keep(self, name: str, expression: pl.Expr) -> pl.Expr:
        """Compute `expression` once, as an intermediate column, and refer to it from now on."""
        column = f"__{name}"
        self.steps.append(expression.alias(column))
        return pl.col(column)

    def type_of(self, name: str) -> pl.DataType:
        """Type that the source's column for `name` has."""
        return self.table.frame.collect_schema()[self.source[name]]

    def raw(self, name: str) -> pl.Expr:
        """The source's column for `name`, unchanged."""
        return pl.col(self.source[name])

    def sample(self, name: str) -> pl.Series:
        """First values of the source's column for `name`."""
        column = self.source[name]
        return self.table.frame.select(column).head(SAMPLE_ROWS).collect()[column]


def sources_of(name: str, table: Table, spec: TableSpec) -> dict[str, str]:
    """Output column → source column; mapped columns first, the others under their own name."""
    for column, source in spec.columns.items():
        if source not in table.columns:
            raise DataError(
                f"{table.label} has no column '{source}', which tables.{name}.columns maps to"
                f" '{column}': {suggest(source, table.columns)}"
            )
    mapped = dict(spec.columns)
    taken = set(mapped.values())
    for column in table.columns:
        if column in mapped and mapped[column] != column and column not in taken:
            raise DataError(
                f"{table.label} has a column '{column}', but '{mapped[column]}' is mapped to that"
                f" name; map it to another one: tables.{name}.columns.source_{column}: {column}"
            )
        if column not in taken:
            mapped[column] = column
    return mapped


def require(draft: Draft, column: str) -> None:
    """Check that there is a column for `column`.

    Raises:
        DataError: there is none; near matches are named.
    """
    if column in draft.source:
        return
    raise DataError(
        f"{draft.table.label} has no column '{column}'"
        f" ({_near(column, draft.table.columns)}it has: {', '.join(draft.table.columns)});"
        " map it under tables in the domain's YAML, or let crossrec domain init write one"
    )


def _near(column: str, columns: list[str]) -> str:
    hint = suggest(column, columns)
    return f"{hint} " if hint.startswith("did you mean") else ""


def as_text(draft: Draft, name: str) -> pl.Expr:
    """Ids and words as text; 12.0 becomes 12, as a column of ids with gaps is often stored."""
    kind = draft.type_of(name)
    if kind.is_nested():
        raise DataError(
            f"{draft.table.label}: column '{draft.source[name]}' is {kind}; expected text"
        )
    if kind.is_float():
        whole = draft.raw(name).cast(pl.Int64, strict=False)
        text = draft.raw(name).cast(pl.String)
        return pl.when(whole == draft.raw(name)).then(whole.cast(pl.String)).otherwise(text)
    return draft.raw(name).cast(pl.String)


def categories(draft: Draft, separator: str) -> pl.Expr:
    """List of texts; empty where there is none. Text is split at `separator`."""
    empty = pl.lit([], dtype=pl.List(pl.String))
    if CATEGORY not in draft.source:
        return empty
    if isinstance(draft.type_of(CATEGORY), pl.List | pl.Array):
        return draft.raw(CATEGORY).cast(pl.List(pl.String)).fill_null(empty)
    entries = as_text(draft, CATEGORY).str.split(separator)
    entries = entries.list.eval(pl.element().str.strip_chars())
    return entries.list.eval(pl.element().filter(pl.element() != "")).fill_null(empty)


def from_template(draft: Draft, template: str, separator: str) -> pl.Expr:
    """The template filled in; empty where every column it names is empty.

    Args:
        separator: splits text in the column `category`.

    Raises:
        DataError: it names a column that is not there.
    """
    sections: list[pl.Expr] = []
    filled: list[pl.Expr] = []
    for optional, plain in re.findall(r"\[([^\[\]]*)\]|([^\[\]]+)", template):
        text, values = _section(draft, optional or plain, separator)
        filled += [value != "" for value in values]
        if optional and values:
            given = pl.all_horizontal(value != "" for value in values)
            text = pl.when(given).then(text).otherwise(pl.lit(""))
        sections.append(text)
    text = pl.concat_str(sections).str.replace_all(r"\s+", " ").str.strip_chars()
    text = text.str.replace_all(r"([.!?])\.( |$)", "$1$2")  # the value ended the sentence itself
    return pl.when(pl.any_horizontal(filled)).then(text).otherwise(pl.lit("")) if filled else text


def _section(draft: Draft, template: str, separator: str) -> tuple[pl.Expr, list[pl.Expr]]:
    """A part of the template filled in, and the values it holds."""
    pieces: list[pl.Expr] = []
    values: list[pl.Expr] = []
    for literal, column in re.findall(r"([^{}]*)(?:\{([^{}]*)\})?", template):
        pieces.append(pl.lit(literal))
        if column:
            require(draft, column)
            values.append(_words(draft, column, separator))
            pieces.append(values[-1])
    return pl.concat_str(pieces), values


def _words(draft: Draft, column: str, separator: str) -> pl.Expr:
    if column == CATEGORY:
        return categories(draft, separator).list.join(", ")
    if draft.type_of(column).is_nested():
        return draft.raw(column).cast(pl.List(pl.String)).list.join(", ").fill_null("")
    return as_text(draft, column).str.strip_chars().fill_null("")


def draft_side_columns(draft: Draft, numeric: set[str]) -> None:
    """Keep all other columns; those of text files get the type that all their rows have.

    Args:
        numeric: columns that the domain uses as numbers; words in them become null and count as
            repairs.
    """
    side = [c for c in draft.source if c not in draft.outputs]
    types = _settled_types(
        draft.table, {draft.source[c] for c in side} & draft.table.guessed.keys()
    )
    for name in side:
        raw = draft.raw(name)
        if draft.source[name] in types:
            draft.outputs[name] = _cast_text(raw, types[draft.source[name]])
        elif name in numeric and draft.type_of(name) == pl.String:
            number = raw.str.strip_chars().cast(pl.Float64, strict=False)
            draft.outputs[name] = number
            draft.repairs[f"{name} is no number, set to null"] = (
                raw.is_not_null() & number.is_null()
            )
        else:
            draft.outputs[name] = raw


def _settled_types(table: Table, columns: set[str]) -> Mapping[str, pl.DataType]:
    """Guessed types that hold in every row of a text file; a guess that fails is widened.

    One streaming pass over the file, only if there is a column to settle.
    """
    guesses = {c: table.guessed[c] for c in sorted(columns) if table.guessed[c] != pl.String}
    if not guesses:
        return {}
    fails = [
        (pl.col(c).is_not_null() & _cast_text(pl.col(c), kind).is_null())
        .any()
        .alias(f"{c}\t{kind}")
        for c, guess in guesses.items()
        for kind in {guess, pl.Float64()}
    ]
    failed = table.frame.select(fails).collect(engine="streaming").row(0, named=True)
    settled: dict[str, pl.DataType] = {}
    for column, guess in guesses.items():
        for kind in (guess, pl.Float64()):
            if not failed[f"{column}\t{kind}"]:
                settled[column] = kind
                break
    return settled


def _cast_text(text: pl.Expr, kind: pl.DataType) -> pl.Expr:
    if kind == pl.Boolean:
        words = {"true": True, "false": False}
        return text.str.to_lowercase().replace_strict(words, default=None, return_dtype=pl.Boolean)
    return text.str.strip_chars().cast(kind, strict=False)
