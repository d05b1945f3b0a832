"""Recommendations, and the explanation of one, as a notebook shows them.

Leaves to others: making them (serving/), what goes over HTTP (serving/messages.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crossrec.serving.explanation_messages import ExplainResponse
from crossrec.serving.messages import Part, Recommendation, RecommendResponse
from crossrec.shown import html
from crossrec.shown.base import Shown, drawn

if TYPE_CHECKING:
    import polars as pl

    from crossrec.chart_parts import Chart

OF_TEXT = "Words of its own text"
MAX_COUNTED = 3
"""Similar users, paths: as many are said."""


class Recommendations(Shown, RecommendResponse):
    """An answer: ranked items, what each signal gave, and the reasons where they were asked for."""

    @classmethod
    def of(cls, answer: RecommendResponse) -> Recommendations:
        """The same answer, shown."""
        return cls.model_construct(**dict(answer))

    def headline(self) -> str:
        """How many of what, and what they rest on."""
        return f"{len(self.items)} of {self.domain}, based on {', '.join(self.based_on)}"

    def facts(self) -> dict[str, Any]:
        """Where the answer comes from, and the weights it was given."""
        given = [f"{name} {value:g}" for name, value in self.weights.items()]
        return {
            "release": self.release,
            "user known": self.user_known,
            "weights": given if len(given) > 1 else None,
        }

    def sentences(self) -> list[str]:
        """What was not used."""
        return list(self.ignored)

    def to_polars(self) -> pl.DataFrame:
        """Columns `rank`, `item_id`, `title`, `category`, `score`; a column a measure (a price, a
        distance) where they count, and `reason` where explanations were asked for.
        """
        import polars as pl

        measures = list(dict.fromkeys(name for item in self.items for name in item.measures))
        explained = any(item.explanation is not None for item in self.items)
        rows = [_row(item, measures, explained) for item in self.items]
        kinds: dict[str, Any] = {
            "rank": pl.Int64,
            "item_id": pl.String,
            "title": pl.String,
            "category": pl.List(pl.String),
            "score": pl.Float64,
            **dict.fromkeys(measures, pl.Float64),
            **({"reason": pl.String} if explained else {}),
        }
        return pl.DataFrame(rows, kinds, orient="row")

    def signals(self) -> pl.DataFrame:
        """Columns `rank`, `title`, `signal`, `value`: they sum to an item's relevance."""
        import polars as pl

        rows = [
            (item.rank, item.title, name, value)
            for item in self.items
            for name, value in item.signals.items()
        ]
        kinds = {"rank": pl.Int64, "title": pl.String, "signal": pl.String, "value": pl.Float64}
        return pl.DataFrame(rows, kinds, orient="row")

    def parts(self) -> pl.DataFrame:
        """Columns `rank`, `title`, `kind`, `name`, `label`, `value`: they sum to an item's score;
        no rows where explanations were not asked for.
        """
        import polars as pl

        rows = [
            (item.rank, item.title, part.kind, part.name, part.label, part.value)
            for item in self.items
            if item.explanation is not None
            for part in item.explanation.parts
        ]
        texts = ("title", "kind", "name", "label")
        kinds = {"rank": pl.Int64, **dict.fromkeys(texts, pl.String), "value": pl.Float64}
        return pl.DataFrame(rows, kinds, orient="row")

    def chart(self) -> Chart | None:
        """What each signal gives to each item; None where the release has none."""
        from crossrec import plots

        table = self.signals()
        return None if table.is_empty() else plots.signals(table)

    def rows_shown(self) -> pl.DataFrame:
        """The table without identifiers."""
        return self.to_polars().drop("item_id")


def _row(item: Recommendation, measures: list[str], explained: bool) -> tuple[Any, ...]:
    said = item.explanation.sentence if item.explanation else None
    figures = (item.measures.get(name) for name in measures)
    reason = (said,) if explained else ()
    return (item.rank, item.item_id, item.title, item.category, item.score, *figures, *reason)


class Explanation(Shown, ExplainResponse):
    """Why one item is where it is: parts that add up to its score, what would change it, and what
    the words of its own text give.
    """

    wording: str | None = None
    """Of how many sentences a model of the caller's found other words; None: none was asked."""

    @classmethod
    def of(cls, answer: ExplainResponse) -> Explanation:
        """The same explanation, shown."""
        return cls.model_construct(**dict(answer))

    def headline(self) -> str:
        """The item, its place and its score."""
        return f"{self.title}: rank {self.rank} of {self.domain}, score {self.score:.4f}"

    def facts(self) -> dict[str, Any]:
        """Whose words the sentences are, where a model was to reword them."""
        return {"wording": self.wording}

    def sentences(self) -> list[str]:
        """All that can be said of it in words, from its figures."""
        said = [self.explanation.sentence, *(one.sentence for one in self.counterfactuals)]
        if self.contrast is not None:
            said.append(self.contrast.sentence)
        if self.similar_users is not None:
            said.append(self.similar_users.sentence)
        return said + [one.sentence for one in self.paths[:MAX_COUNTED]]

    def to_polars(self) -> pl.DataFrame:
        """Columns `kind`, `name`, `label`, `value`, the largest first; they sum to the score."""
        return _parts(self.explanation.parts)

    def chart(self) -> Chart | None:
        """Waterfall of the parts."""
        from crossrec import plots

        table = self.to_polars()
        return None if table.is_empty() else plots.explanation(table)

    def words(self) -> pl.DataFrame:
        """Columns `label` (a word of the item's own text, or a run of words), `value`, in the order
        of the text: they sum to the signals that read texts. No rows where none reads them.
        """
        import polars as pl

        rows = [(one.word, one.value) for one in self.text_parts]
        return pl.DataFrame(rows, {"label": pl.String, "value": pl.Float64}, orient="row")

    def words_chart(self) -> Chart | None:
        """Bars of `words`; None where there are none."""
        from crossrec import release_plots

        table = self.words()
        return None if table.is_empty() else release_plots.words(table)

    def rows_shown(self) -> pl.DataFrame:
        """The parts without identifiers."""
        return self.to_polars().drop("name")

    def _repr_html_(self) -> str:
        table = self.words()
        if table.is_empty():
            return super()._repr_html_()
        chart = drawn(self.words_chart)
        shown = (
            html.heading(OF_TEXT),
            html.table(table, n_rows=table.height),
            "" if chart is None else html.picture(chart, f"words of the text of {self.title}"),
        )
        return super()._repr_html_() + "".join(shown)

    def __str__(self) -> str:
        table = self.words()
        return super().__str__() + ("" if table.is_empty() else f"\n{OF_TEXT}\n{table}")


def _parts(parts: list[Part]) -> pl.DataFrame:
    import polars as pl

    rows = [(part.kind, part.name, part.label, part.value) for part in parts]
    kinds = {**dict.fromkeys(("kind", "name", "label"), pl.String), "value": pl.Float64}
    frame = pl.DataFrame(rows, kinds, orient="row")
    return frame.sort(pl.col("value").abs(), descending=True, maintain_order=True)
