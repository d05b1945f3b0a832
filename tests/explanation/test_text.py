"""The sentence: names and kinds from the parts, in order of weight, nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossrec.explanation.text import contrast_sentence, part_label, rating_sentence, sentence
from crossrec.serving.messages import Part


def part(kind: str, label: str, value: float, name: str | None = None) -> Part:
    return Part.model_validate(
        {"kind": kind, "name": name or label, "label": label, "value": value}
    )


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            [("history", "Alien", 3), ("history", "Heat", 2), ("context", "weather = rain", 1.5)],
            "Because you chose “Alien” and “Heat” and weather is rain.",
        ),
        (
            [("request", "quiet", 3), ("request", "river", 2), ("history", "Heat", 1.3)],
            "Because you asked for “quiet” and “river” and you chose “Heat”.",
        ),
        (
            [("popularity", "popularity", 2), ("history", "Heat", 0.1)],
            "Because it is popular.",
        ),
        (  # many small ones count together, and the largest of them are named
            [("popularity", "popularity", 2), *[("history", f"H{i}", 0.5) for i in range(8)]],
            "Because you chose “H0” and “H1” and it is popular.",
        ),
        (
            [("history", "Heat", 2), ("history", "not Alien", -1.5)],
            "Because you chose “Heat”, although you turned down “Alien”.",
        ),
        (
            [("request", "cheap", 2), ("context", "hour = 23:00", -2)],
            "Because you asked for “cheap”, although the time being 23:00 speaks against it.",
        ),
        (
            [("request", "cheap", 2), ("popularity", "popularity", -3)],
            "Because you asked for “cheap”, although it is not popular.",
        ),
        (
            [("history", "Heat", -1), ("popularity", "popularity", -1)],
            "Nothing that is known of you speaks for it; it is here for lack of better ones.",
        ),
        (
            [("popularity", "popularity", -1), ("base", "base", 3)],
            "Nothing is known of you; this is the order for everybody.",
        ),
    ],
)
def test_sentences(parts: list[tuple[str, str, float]], expected: str) -> None:
    assert sentence([part(*one) for one in parts]) == expected


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (
            [("history", "Heat", -0.3), ("history", "Alien", -0.4), ("history", "Speed", 0.1)],
            "your opinions of “Alien” and “Heat” lower that to 3.4.",
        ),
        (
            [("history", "Heat", 0.4), ("request", "quiet", 0.3), ("context", "hour = 9:00", 0.3)],
            "your opinion of “Heat”, your words “quiet” and the time being 9:00 raise that to 5.0.",
        ),
        ([("history", "not Heat", -1)], "your opinion of “Heat” lowers that to 3.0."),
        ([("history", "Heat", 0.02)], "nothing that is known of you changes that."),
    ],
)
def test_sentences_about_a_rating(parts: list[tuple[str, str, float]], expected: str) -> None:
    known = [part(*one) for one in parts]
    told = rating_sentence([*known, part("popularity", "popularity", 0), part("base", "base", 4)])
    assert told == f"Somebody unknown would give it 4.0; {expected}"


def test_whoever_nothing_is_known_of_is_no_one_who_does_not_know_the_item() -> None:
    told = rating_sentence([part("base", "base", 4)], "zh")
    assert told == "对其一无所知的用户会给它4.0分；已知的信息不改变这一点。"


def test_older_items_are_named_only_when_no_other_speaks_for_it() -> None:
    older = part("history", "9 earlier items", 3, name="earlier")
    assert sentence([older]) == "Because you chose 9 earlier items."
    assert sentence([older, part("history", "Heat", 0.1)]) == "Because you chose “Heat”."


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["history", "request", "context", "popularity", "base"]),
            st.sampled_from(["aa", "bb", "cc", "dd"]),
            st.floats(-9, 9),
        ),
        max_size=8,
    )
)
def test_what_does_not_speak_for_the_item_is_no_reason(
    parts: list[tuple[str, str, float]],
) -> None:
    unique = {f"{label}{i}": (kind, value) for i, (kind, label, value) in enumerate(parts)}
    text = sentence([part(kind, label, value) for label, (kind, value) in unique.items()])
    assert text.endswith(".")
    reasons = text.partition(", although")[0]
    for label, (kind, value) in unique.items():
        if value <= 0 or kind in ("base", "popularity"):
            assert label not in reasons


HISTORY = [("history", "Alien", 0.4), ("history", "Heat", 0.35)]
FEWER = [("popularity", "popularity", 5), *HISTORY, *[("history", f"H{i}", 0.3) for i in range(8)]]


def test_words_that_give_more_than_any_film_named_are_named_too() -> None:
    wish = [("request", "a", 0.3), ("request", "space", 0.9), ("request", "robots", 0.7)]
    parts = [part(*one) for one in FEWER + wish]  # the words are less than a fifth of the whole
    assert sentence(parts) == (
        "Because it is popular, you chose “Alien” and “Heat” and you asked for “space” and"
        " “robots”."
    )
    assert sentence(parts, "zh") == (
        "因为它很受欢迎、您选择过“Alien”和“Heat”，并且您想要“space”和“robots”。"
    )


@pytest.mark.parametrize(
    "wish",
    [
        [("request", "space", 0.4)],  # no more than a film that is named
        [("request", "space", 0.9), ("request", "robots", -1)],  # as a whole against it
    ],
)
def test_other_words_are_named_only_as_a_fifth_of_the_whole(
    wish: list[tuple[str, str, float]],
) -> None:
    reasons = sentence([part(*one) for one in FEWER + wish]).partition(", although")[0]
    assert reasons.rstrip(".") == "Because it is popular and you chose “Alien” and “Heat”"


def test_clauses_are_joined_as_the_language_does() -> None:
    parts = [part("history", "Heat", 2), part("popularity", "popularity", 2)]
    assert sentence(parts) == "Because you chose “Heat” and it is popular."
    assert sentence(parts, "zh") == "因为您选择过“Heat”，并且它很受欢迎。"


def test_a_contrast_names_kinds_in_its_language() -> None:
    parts = [part("popularity", "popularity", 2), part("history", "Heat", -1.5)]
    assert contrast_sentence("A", "B", parts, "zh") == (
        "“A”比“B”高0.50，主要因为它的受欢迎程度，尽管“Heat”有利于后者。"
    )


def test_moments_are_named_in_both_languages() -> None:
    parts = [part("context", "weekday = Saturday", 3), part("context", "hour = 20:30", 2)]
    assert sentence(parts) == "Because the day is Saturday and the time is 20:30."
    assert sentence(parts, "zh") == "因为这一天为星期六、时间为20:30。"
    months = [part("context", "month = July", 3), part("context", "season = winter", 2)]
    assert sentence(months) == "Because the month is July and the season is winter."
    assert sentence(months, "zh") == "因为月份为七月、季节为冬季。"
    gap = [part("context", "weekday = Saturday", 3)]
    assert contrast_sentence("A", "B", gap) == (
        "“A” is above “B” by 3.00, mostly for the day being Saturday."
    )


def test_a_disliked_item_is_no_title_of_its_own_in_a_contrast() -> None:
    gap = [part("history", "not Heat", 2), part("history", "not Alien", -1.5)]
    assert contrast_sentence("A", "B", gap) == (
        "“A” is above “B” by 0.50, mostly for your dislike of “Heat”, although your dislike of"
        " “Alien” speaks for the other."
    )
    assert "主要因为您不喜欢“Heat”，尽管您不喜欢“Alien”有利于后者" in contrast_sentence(
        "A", "B", gap, "zh"
    )


@pytest.mark.parametrize(
    ("kind", "name", "label", "expected"),
    [
        ("context", "weekday", "weekday = Saturday", "这一天 = 星期六"),
        ("context", "place", "place = 48.86, 2.352", "place = 48.86, 2.352"),
        ("history", "i1", "Heat", "Heat"),
        ("history", "i1", "not Heat", "不喜欢：Heat"),
        ("history", "earlier", "9 earlier items", "更早的9项"),
        ("request", "quiet", "quiet", "quiet"),
        ("objective", "novelty", "novelty", "新颖性"),
        ("objective", "terrace", "terrace", "terrace"),
        ("popularity", "popularity", "popularity", "它的受欢迎程度"),
        ("base", "base", "base", "人人都有的基础分"),
    ],
)
def test_labels_of_parts_in_chinese(kind: str, name: str, label: str, expected: str) -> None:
    one = part(kind, label, 1.0, name=name)
    assert part_label(one, "zh") == expected
    assert part_label(one) == label


def test_what_objectives_gave_is_a_reason_and_no_rating() -> None:
    parts = [part("history", "Heat", 2), part("objective", "novelty", 3), part("base", "base", 4)]
    says = "Because it does well in novelty and you chose “Heat”."
    assert sentence(parts) == rating_sentence(parts) == says
    assert sentence(parts, "zh") == "因为它在新颖性方面表现好，并且您选择过“Heat”。"
