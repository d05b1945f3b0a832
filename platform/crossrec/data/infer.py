"""Guesses a domain's YAML from a user's items and interactions files, with a reason for each guess.

Leaves to others: asking the user (cli.py), importing (importing.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from crossrec.data.column_roles import Column
from crossrec.data.read import SAMPLE_ROWS, Table, scan_table
from crossrec.domains.registry import domain_yaml
from crossrec.domains.spec import ContextField, Domain, Objective, TableSpec
from crossrec.errors import ConfigError, DataError, suggest
from crossrec.schema import CATEGORY, EVENT, ITEM_ID, RATING, TEXT, TIMESTAMP, TITLE, USER_ID

NOT_MAPPED = "-"
"""Value of an override that takes a role away from every column."""
ROLES = {
    "items": (ITEM_ID, TITLE, TEXT, CATEGORY),
    "interactions": (USER_ID, ITEM_ID, TIMESTAMP, EVENT, RATING),
}
"""Canonical columns that are guessed, and that overrides may name as `table.column`."""
MAX_CATEGORIES = 50
_CYCLES = {"hour": 24, "weekday": 7, "month": 12}
_SHOWN_ONLY = {"impression", "impressions", "shown", "exposure", "display", "displayed"}
_DISLIKED = {"dislike", "skip", "remove", "remove_from_cart", "unlike", "hide", "refund", "return"}


@dataclass(frozen=True)
class Guess:
    """What one column was taken for, and why."""

    table: str
    column: str
    """Name in the user's file."""
    role: str
    """Canonical column, `context …`, `objective …`, or `kept as it is`."""
    reason: str


@dataclass(frozen=True)
class Inference:
    """The domain as guessed, and the guesses, one a column in the order of the files."""

    domain: Domain
    guesses: list[Guess]


@dataclass
class _File:
    """A file under study: its columns and which of them have a role already."""

    table: str
    path: Path
    source: Table
    columns: dict[str, Column]
    roles: dict[str, str] = field(default_factory=dict)
    """Canonical column → the file's column."""
    guesses: dict[str, Guess] = field(default_factory=dict)

    def take(self, column: str, role: str, reason: str) -> None:
        if role in ROLES[self.table]:
            self.roles[role] = column
        self.guesses[column] = Guess(self.table, column, role, reason)

    @property
    def free(self) -> list[Column]:
        return [c for name, c in self.columns.items() if name not in self.guesses]


def infer_domain(
    name: str, items: Path, interactions: Path | None, overrides: dict[str, str] | None = None
) -> Inference:
    """Guess the domain called `name` from two files, or from its items alone.

    The item id is the pair of columns, one of each file, whose values match best; the other roles
    come from names, checked against the values.

    Args:
        interactions: None: nobody has used the domain yet.
        overrides: `table.column` (such as `interactions.user_id`) → the file's column, or `-`
            for none; these are not guessed.

    Raises:
        DataError: a file cannot be read, or has no column for a role that is required.
        ConfigError: an override names no role or no column.
    """
    catalogue = _open("items", items)
    log = None if interactions is None else _open("interactions", interactions)
    files = [catalogue] if log is None else [catalogue, log]
    unmapped = _apply_overrides(files, overrides or {})
    if log is None:
        _guess_item_id(catalogue)
    of_log = {} if log is None else _guess_interactions(catalogue, log, unmapped)
    template, objectives = _guess_items(catalogue, unmapped)
    values = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "tables": {file.table: _table_spec(file) for file in files},
        "text_template": template,
        "objectives": objectives,
        **of_log,
    }
    guesses = [_guess_of(file, column) for file in files for column in file.columns]
    return Inference(Domain.model_validate(values), guesses)


def _guess_interactions(catalogue: _File, log: _File, unmapped: set[str]) -> dict[str, Any]:
    """What they say of the domain: kind of time, context and events, as the YAML has them."""
    _match_item_ids(catalogue, log)
    _guess_user(log)
    time_kind = "none" if f"interactions.{TIMESTAMP}" in unmapped else _guess_time(log)
    _guess_rating(log, unmapped)
    _guess_event(log, unmapped)
    context = _guess_context(log, time_kind)
    return {"time_kind": time_kind, "context": context, **_event_lists(log)}


def _guess_item_id(catalogue: _File) -> None:
    """The column of distinct values that is named most like an id, where nothing refers to one."""
    if ITEM_ID in catalogue.roles:
        return
    distinct = [
        column
        for column in catalogue.free
        if column.share_unique == 1 and not column.kind.is_nested() and not column.kind.is_float()
    ]
    found = max(distinct, key=_named_id, default=None)
    if found is None or not _named_id(found):
        raise DataError(
            f"no column of {catalogue.path.name} looks like an item id (columns:"
            f" {', '.join(catalogue.columns)}); expected distinct values under such a name: name"
            " it, for example with items.item_id=sku"
        )
    catalogue.take(found.name, ITEM_ID, "its name, values are distinct")


def _named_id(column: Column) -> float:
    return max(column.named(ITEM_ID), float("id" in column.words))


def write_domain(domain: Domain, folder: Path) -> Path:
    """Write `<folder>/<name>.yaml` and return its path; a file there is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{domain.name}.yaml"
    head = (
        "# Guessed from the files below; correct what is wrong, then:"
        f" crossrec data import {domain.name}\n"
    )
    path.write_text(head + domain_yaml(domain), encoding="utf-8")
    return path


def _open(table: str, path: Path) -> _File:
    source = scan_table(path)
    sample = source.frame.head(SAMPLE_ROWS).collect()
    if sample.is_empty():
        raise DataError(f"{path} has no rows; expected at least one below the header")
    columns = {
        name: Column(name, sample[name], source.guessed.get(name, sample.schema[name]))
        for name in source.columns
    }
    return _File(table, path, source, columns)


def _apply_overrides(files: list[_File], overrides: dict[str, str]) -> set[str]:
    """Fix the roles that the user named; returns those that must stay without a column."""
    by_table = {file.table: file for file in files}
    known = [f"{table}.{role}" for table, roles in ROLES.items() for role in roles]
    unmapped: set[str] = set()
    for key, column in overrides.items():
        if key not in known:
            raise ConfigError(f"'{key}' is no role: {suggest(key, known)}")
        table, _, role = key.partition(".")
        if table not in by_table:
            raise ConfigError(f"'{key}' was named, but there is no file of {table}; give one")
        if column == NOT_MAPPED:
            unmapped.add(key)
        elif column not in by_table[table].columns:
            hint = suggest(column, by_table[table].columns)
            raise ConfigError(f"{by_table[table].path} has no column '{column}' for {key}: {hint}")
        else:
            by_table[table].take(column, role, "you said so")
    return unmapped


def _match_item_ids(catalogue: _File, log: _File) -> None:
    fixed_items, fixed_log = catalogue.roles.get(ITEM_ID), log.roles.get(ITEM_ID)
    keys = [catalogue.columns[fixed_items]] if fixed_items else catalogue.free
    references = [log.columns[fixed_log]] if fixed_log else log.free
    scored = [
        (_match_score(key, reference, catalogue), key, reference)
        for key in keys
        if fixed_items or (key.share_unique > 0.9 and not key.kind.is_nested())
        for reference in references
        if not reference.kind.is_nested()
    ]
    best = max(scored, key=lambda entry: entry[0][0], default=None)
    if best is None or (best[0][1] < 0.5 and not (fixed_items and fixed_log)):
        _expect_no_repeats(catalogue, log)
        raise DataError(
            f"no column of {log.path.name} holds ids of {catalogue.path.name}; expected one whose"
            " values are found in an id column of the items: name both, for example with"
            " items.item_id=sku and interactions.item_id=product"
        )
    (_, share), key, reference = best
    shown = f"{share:.0%} of its values are in '{key.name}' of {catalogue.path.name}"
    if not fixed_items:
        catalogue.take(key.name, ITEM_ID, f"values are distinct, '{reference.name}' refers to them")
    if not fixed_log:
        log.take(reference.name, ITEM_ID, shown)


def _expect_no_repeats(catalogue: _File, log: _File) -> None:
    """Raise where the items hold a column that the interactions have too, with repeated values."""
    names = {column.name for column in log.free}
    for key in catalogue.free:
        repeats = len(key.texts) - key.n_distinct
        if repeats and key.name in names and not key.kind.is_nested():
            value = key.texts.filter(key.texts.is_duplicated())[0]
            raise DataError(
                f"column '{key.name}' of {catalogue.path.name} holds '{value}' more than once"
                f" ({repeats} of {len(key.texts)} rows repeat one); expected one row an item:"
                " remove the repeated rows"
            )


def _match_score(key: Column, reference: Column, catalogue: _File) -> tuple[float, float]:
    """(score, share of the reference's values that are in the key column).

    Small whole numbers match by chance (ratings, user ids), so names and coverage count too.
    """
    ids = catalogue.source.frame.select(pl.col(key.name).cast(pl.String)).collect()[key.name]
    n_values = max(1, len(reference.texts))
    share = int(reference.texts.is_in(ids.implode()).sum()) / n_values
    coverage = min(1.0, reference.n_distinct / max(1, min(len(ids), n_values / 5)))
    names = (
        float(key.name == reference.name)
        + reference.named(ITEM_ID)
        + 0.5 * _named_id(key)
        - reference.named(USER_ID)
        - max(reference.named(RATING), reference.named(TIMESTAMP))
    )
    return 2 * share + coverage + names, share


def _best(columns: Iterable[Column], role: str, least: float = 0.4) -> Column | None:
    best = max(columns, key=lambda column: column.named(role), default=None)
    return best if best is not None and best.named(role) >= least else None


def _guess_user(log: _File) -> None:
    if USER_ID in log.roles:
        return
    repeated = [c for c in log.free if not c.kind.is_float() and not c.kind.is_nested()]
    found = _best(repeated, USER_ID)
    if found is None:
        raise DataError(
            f"no column of {log.path.name} looks like a user id (columns:"
            f" {', '.join(log.columns)}); name it, for example with interactions.user_id=customer"
        )
    log.take(found.name, USER_ID, f"its name, {found.n_distinct:,} distinct values in the sample")


def _guess_time(log: _File) -> str:
    if TIMESTAMP in log.roles:
        column = log.columns[log.roles[TIMESTAMP]]
        return "unix_seconds" if column.moments is not None else "order_index_per_user"
    candidates = [c for c in log.free if c.moments is not None]
    dates = [c for c in candidates if not c.kind.is_numeric()]  # a number needs the name too
    found = _best(candidates, TIMESTAMP) or next(iter(dates), None)
    if found is not None and found.moments is not None:
        days = pl.from_epoch(found.moments.sort(), "s").dt.strftime("%Y-%m-%d")
        log.take(found.name, TIMESTAMP, f"times, in the first rows from {days[0]} to {days[-1]}")
        return "unix_seconds"
    order = _best([c for c in log.free if c.kind.is_integer()], "order", least=0.7)
    if order is not None:
        log.take(order.name, TIMESTAMP, "its name and whole numbers: an order, no clock time")
        return "order_index_per_user"
    return "none"


def _guess_rating(log: _File, unmapped: set[str]) -> None:
    if RATING in log.roles or f"interactions.{RATING}" in unmapped:
        return
    found = _best([c for c in log.free if len(c.numbers) > 0.5 * len(c.texts)], RATING)
    if found is not None:
        steps = found.numbers.sort()
        log.take(found.name, RATING, f"its name, numbers from {steps[0]:g} to {steps[-1]:g}")


def _guess_event(log: _File, unmapped: set[str]) -> None:
    if EVENT in log.roles or f"interactions.{EVENT}" in unmapped:
        return
    found = _best([c for c in log.free if c.is_text and c.n_distinct <= MAX_CATEGORIES], EVENT)
    if found is not None:
        values = ", ".join(found.texts.unique().sort().head(4))
        log.take(found.name, EVENT, f"its name, few values ({values})")


def _event_lists(log: _File) -> dict[str, list[str]]:
    if EVENT not in log.roles:
        return {}
    values = log.columns[log.roles[EVENT]].texts.unique().sort().to_list()
    shown = [v for v in values if v.lower() in _SHOWN_ONLY]
    disliked = [v for v in values if v.lower() in _DISLIKED]
    lists = {"dropped_events": shown} if shown else {}
    if disliked:
        lists["positive_events"] = [v for v in values if v not in {*shown, *disliked}]
    return lists


def _guess_context(log: _File, time_kind: str) -> list[ContextField]:
    fields: list[ContextField] = []
    for column in log.free:
        kind = _context_kind(column)
        if kind is not None:
            period = _CYCLES.get(column.name.lower()) if kind == "cycle" else None
            values = {"name": column.name, "kind": kind, "period": period}
            fields.append(ContextField.model_validate(values))
            log.take(column.name, f"context {kind}", f"its name, {column.n_distinct} values")
    if time_kind == "unix_seconds":
        taken = {f.name for f in fields} | set(log.columns)
        moments = log.columns[log.roles[TIMESTAMP]].moments
        if moments is not None and (moments % 86_400 != 0).any() and "hour" not in taken:
            fields.append(ContextField(name="hour", kind="cycle", period=24, derive="hour"))
        if "weekday" not in taken:
            fields.append(ContextField(name="weekday", kind="cycle", period=7, derive="weekday"))
    return fields


def _context_kind(column: Column) -> str | None:
    """How a column that is named like a circumstance enters the context, if it does."""
    if column.named("context") < 0.6 or column.kind.is_nested():
        return None
    if column.name.lower() in _CYCLES and column.kind.is_integer():
        return "cycle"
    codes = column.is_text or column.kind.is_integer()
    if codes and column.n_distinct <= MAX_CATEGORIES:
        return "category"
    return "number" if column.kind.is_float() else None


def _guess_items(catalogue: _File, unmapped: set[str]) -> tuple[str | None, list[Objective]]:
    """Title, category and text of items; returns the text's template and the objectives."""
    texts = [c for c in catalogue.free if c.is_text]
    if TITLE not in catalogue.roles and f"items.{TITLE}" not in unmapped:
        title = _best([c for c in texts if c.kind == pl.String], TITLE, least=0.6) or max(
            (c for c in texts if c.has_words and c.named(CATEGORY) < 1),
            key=lambda column: column.n_distinct * column.median_chars,
            default=None,
        )
        if title is not None:
            catalogue.take(title.name, TITLE, f"words, {title.share_unique:.0%} of them distinct")
    if CATEGORY not in catalogue.roles and f"items.{CATEGORY}" not in unmapped:
        category = _best([c for c in catalogue.free if c.is_text], CATEGORY)
        if category is not None:
            parted = category.separator()
            how = f"entries parted by '{parted}'" if parted else f"{category.n_distinct} values"
            catalogue.take(category.name, CATEGORY, f"its name, {how}")
    template = _guess_template(catalogue, unmapped)
    return template, _guess_objectives(catalogue)


def _guess_template(catalogue: _File, unmapped: set[str]) -> str | None:
    if TEXT in catalogue.roles:
        return None
    describing = [] if f"items.{TEXT}" in unmapped else [c for c in catalogue.free if c.has_words]
    describing.sort(key=lambda column: column.median_chars)  # short properties first
    for column in describing:
        catalogue.take(column.name, "part of text", "words that describe the item")
    title = ["{title}."] if TITLE in catalogue.roles else []
    optional = ["[ {category}.]"] if CATEGORY in catalogue.roles else []
    optional += [f"[ {{{column.name}}}.]" for column in describing]
    if not title and not optional:
        raise DataError(
            f"no column of {catalogue.path.name} holds words that describe an item (columns:"
            f" {', '.join(catalogue.columns)}); name one, for example with items.title=name"
        )
    return "".join(title + optional)


def _guess_objectives(catalogue: _File) -> list[Objective]:
    objectives = [
        Objective(name="relevance", weight=1.0),
        Objective(name="popularity"),
        Objective(name="novelty"),
    ]
    numeric = [c for c in catalogue.free if c.kind.is_numeric()]
    price = _best(numeric, "price")
    if price is not None:
        objectives.append(Objective(name="price", column=price.name, higher_is_better=False))
        catalogue.take(price.name, "objective price", "its name, numbers; lower is better")
    year = _best([c for c in catalogue.free if c.is_in((1800, 2100))], "year")
    if year is not None:
        objectives.append(Objective(name="newness", column=year.name, unit="year"))
        catalogue.take(year.name, "objective newness", "its name, years")
    return objectives


def _table_spec(file: _File) -> TableSpec:
    columns = {role: column for role, column in file.roles.items() if role != column}
    for column in file.columns:  # a column that bears the name of a role, but is another one
        if column in ROLES[file.table] and column not in file.roles.values():
            columns[f"source_{column}"] = column
    separator = file.columns[file.roles[CATEGORY]].separator() if CATEGORY in file.roles else None
    return TableSpec(
        path=str(file.path.absolute()), columns=columns, list_separator=separator or "|"
    )


def _guess_of(file: _File, column: str) -> Guess:
    kept = Guess(file.table, column, "kept as it is", "no role was recognised")
    return file.guesses.get(column, kept)
