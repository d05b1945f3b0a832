"""What a column's name and its first values say about its role in a recommendation data set.

Leaves to others: choosing one column per role and writing the domain (infer.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from crossrec.data.times import epoch_seconds
from crossrec.errors import DataError

WORDS: dict[str, frozenset[str]] = {
    role: frozenset(words.split())
    for role, words in {
        "user_id": "user users customer visitor member household account client reader reviewer"
        " uid session listener buyer person patient student player guest viewer username author",
        "item_id": "item items product movie film article book song track artist sku asin isbn"
        " restaurant venue place poi hotel recipe game course job listing news video business iid",
        "timestamp": "timestamp time date datetime ts when at created day unix epoch",
        "rating": "rating ratings score stars star rate vote grade overall",
        "event": "event action interaction behavior behaviour type kind verb activity",
        "title": "title name headline label heading caption",
        "text": "description text plot summary abstract body overview content about synopsis detail"
        " details review tagline",
        "category": "category categories genre genres tags tag class department cuisine cuisines"
        " topic topics section type kind theme keywords",
        "price": "price cost amount fee",
        "year": "year released release",
        "order": "order position step sequence rank index seq",
        "context": "weather device city channel season daypart platform os location country"
        " browser store weekday hour day month temperature companion mood occasion",
    }.items()
}
"""Words in the names of columns, by the role that they suggest."""

_CODE_WORDS = {"id", "code", "url", "link", "image", "img", "path", "file", "hash", "zip", "phone"}
_EARLIEST, _LATEST = 86_400_000, 4_102_444_800  # September 1972 and 2100, in seconds


@dataclass(frozen=True)
class Column:
    """One column of a file with its first values; facts are computed when asked for."""

    name: str
    sample: pl.Series
    kind: pl.DataType
    """Type of its values; for a text file, the type that its first rows suggest."""

    @cached_property
    def words(self) -> list[str]:
        """`unixReviewTime` → unix, review, time."""
        split = re.sub(r"([a-z0-9])([A-Z])", r"\1 \2", self.name)
        return [word.lower() for word in re.split(r"[^A-Za-z0-9]+", split) if word]

    @cached_property
    def texts(self) -> pl.Series:
        """Values given, as text."""
        if self.sample.dtype.is_nested():
            return self.sample.cast(pl.List(pl.String)).list.join("|").drop_nulls()
        return self.sample.cast(pl.String).drop_nulls()

    @cached_property
    def n_distinct(self) -> int:
        """Number of distinct values given."""
        return self.texts.n_unique()

    @cached_property
    def share_unique(self) -> float:
        """Distinct values among those given; 1 for a key."""
        return self.n_distinct / max(1, len(self.texts))

    @cached_property
    def median_chars(self) -> float:
        """Median length of its values in characters; 0 without values."""
        median = self.texts.str.len_chars().median()
        return float(median) if isinstance(median, int | float) else 0.0

    @property
    def is_text(self) -> bool:
        """Whether it holds text or lists."""
        return self.kind == pl.String or self.kind.is_nested()

    @cached_property
    def has_words(self) -> bool:
        """Whether its values are words: mostly letters, no addresses, not an id or a file name."""
        if not self.is_text or not len(self.texts) or _CODE_WORDS & set(self.words):
            return False
        letters = int(self.texts.str.count_matches(r"\p{L}").sum())
        addresses = self.texts.str.contains(r"^https?://|\.(jpe?g|png)$").sum()
        return letters > 0.6 * int(self.texts.str.len_chars().sum()) and addresses == 0

    @cached_property
    def numbers(self) -> pl.Series:
        """Values that are numbers, float64."""
        return self.texts.cast(pl.Float64, strict=False).drop_nulls().drop_nans()

    def named(self, role: str) -> float:
        """How much the name suggests the role: 1 whole name, .7 last word, .6 word, .4 start."""
        joined = "".join(self.words)
        known = WORDS[role]
        if joined in known or joined == role.replace("_", ""):
            return 1.0
        without_id = joined.removesuffix("id")
        if role.endswith("_id") and without_id != joined and without_id in known:
            return 1.0
        if self.words and self.words[-1] in known:
            return 0.7
        if known & set(self.words):
            return 0.6
        long_words = (word for word in known if len(word) >= 4)
        return 0.4 if any(joined.startswith(word) for word in long_words) else 0.0

    @cached_property
    def moments(self) -> pl.Series | None:
        """Its values as seconds since 1970, if most of them are plausible times; else None."""
        if not len(self.texts) or self.kind.is_nested():
            return None
        try:
            seconds, _ = epoch_seconds(self.name, self.sample, "sample")
        except DataError:
            return None
        values = self.sample.to_frame(self.name).select(seconds.alias("s"))["s"].drop_nulls()
        plausible = values.is_between(_EARLIEST, _LATEST).sum()
        return values if plausible > 0.9 * len(self.texts) else None

    def is_in(self, range_: tuple[float, float]) -> bool:
        """Whether all its values are numbers within the range."""
        if not len(self.numbers) or len(self.numbers) < len(self.texts):
            return False
        return bool(self.numbers.is_between(*range_).all())

    def separator(self) -> str | None:
        """The sign that most often parts several entries of one value, if any."""
        counts = {s: self.texts.str.contains(s, literal=True).sum() for s in "|;,/"}
        best = max(counts, key=counts.__getitem__)
        return best if counts[best] >= 0.05 * max(1, len(self.texts)) else None
