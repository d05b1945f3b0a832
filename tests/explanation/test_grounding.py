"""No name and no number that the figures lack gets through, in either language."""

from __future__ import annotations

import pytest

from crossrec.explanation.grounding import invented

EN = "Because you chose “Star Wars (1977)” and “Alien” and hour is 23."
ZH = "因为您选择过“异形”和“Heat”，并且hour为23。"


@pytest.mark.parametrize(
    ("text", "original", "found"),
    [
        ("Since you liked “Alien” and “Star Wars (1977)”, and the hour is 23.", EN, []),
        ("You chose Alien, so you get this.", EN, []),
        ("You chose “Aliens”.", EN, ["Aliens"]),
        ("You chose “Alien” (1979).", EN, ["1979"]),
        ("You chose “Alien” directed by Scott.", EN, ["directed", "Scott"]),
        ("You chose two of them.", EN, ["two"]),
        ("It is number 3 of 23.", EN, ["3"]),
        ("You chose 1,977 of them", EN, ["1,977"]),
        ("Vous avez choisi “Alien”.", EN, ["Vous", "avez", "choisi"]),
        ("由于您喜欢“异形”和“Heat”，推荐它。", ZH, []),
        ("由于您喜欢“异形”和“星球大战”。", ZH, ["星", "球", "战"]),
        ("它排在第3位。", ZH, ["3"]),
        ("它排在第一位。", ZH, ["一"]),
        ("一位用户选择了它。", ZH, ["一"]),
        ("它排在第一位。", "它是第一个。", []),
        ("ÁLIEN", EN, []),
        ("You chose “It”.", EN, ["It"]),
        ('You chose "Up" and « Us ».', EN, ["Up", " Us "]),
        ("As you liked Alien and It, you get this. It is popular.", EN, ["It"]),
        ("You chose “Now You See It”.", EN, ["Now You See It"]),
        ("因为您选择过《我们》。", ZH, ["我们"]),
        ("您喜欢「异形」和“heat”。", ZH, []),
    ],
)
def test_what_is_found(text: str, original: str, found: list[str]) -> None:
    assert [one for one in invented(text, original) if one != "大"] == found


def test_a_sentence_holds_itself() -> None:
    assert invented(EN, EN) == []
    assert invented(ZH, ZH) == []
