"""Finds names and numbers in a text that the figures behind it do not hold.

Leaves to others: writing the text (text.py, reword.py). Whoever rewords may use plain words and the
words of the original; everything else counts as a name, because nothing tells a name from a word
in all languages. Digits and number words have to be the original's, and so has what is quoted, and
plain words with a capital inside a sentence: there are films called “It” and “Us”.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from crossrec.explanation.phrases import EN, ZH

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]|[^\W\d_\u3040-\u30ff\u3400-\u9fff]+")
_QUOTED = re.compile(r"“([^”]*)”|\"([^\"]*)\"|「([^」]*)」|『([^』]*)』|《([^》]*)》|«([^»]*)»")
_BEGINNING = re.compile(r"(?:^|[.!?:;…])[\s(]*$")
"""What stands before the first word of a sentence."""
_IDEOGRAPH = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")

_PLAIN_EN = """
a about above after again all along also although among an and another any are as asked at away be
because been before being below better between both but by can choose chose chosen come comes could
did do does done down enjoy enjoyed even ever few fits for from further gave get gets give given
gives go goes good had has have having here how however i if in instead into is it item its itself
just kept known last less let like liked likes list look made make makes match matched matches may
mentioned might more most mostly much must no nor not nothing now of off on one only or other others
our out over own part picked place popular position put ranked ranking ranks rather reason reasons
recommend recommended requested said same saw see seen should show shown shows since so some
speaking still such suggest suggested suggestion take taken than that the their them then there
these they this those though thus to together too took top towards turned under until up upon us
user users very want wanted was way we well were what when where whether which while who whom whose
why will wish with within without would yet you your yours
"""
_PLAIN_ZH = "的了是在您你我们它他她这那有和与也都就而但因为所以由于以及还更最很不没无为对到从被让使得着过会能可要想喜欢选择推荐看到项目物品排名位前后高低好受迎热门根据基于之其中此如果则将把给说话词语理由原评价分不同相似符合"  # noqa: E501

_NUMBER_WORDS_EN = """
zero one once both first double single two three four five six seven eight nine ten eleven twelve
thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty
seventy eighty ninety hundred thousand million billion half twice thrice dozen second third fourth
fifth sixth seventh eighth ninth tenth
"""
_NUMBER_WORDS_ZH = "零〇一二两三四五六七八九十百千万亿半双"
"""Also part of plain words (一点): whoever wants those finds them in the original."""
_OWN = " ".join(
    part
    for phrases in (EN, ZH)
    for value in vars(phrases).values()
    for part in ([value] if isinstance(value, str) else value if isinstance(value, tuple) else [])
)


def invented(text: str, original: str) -> list[str]:
    """Names and numbers of `text` that `original` does not hold, in their order.

    >>> invented("As you liked “Alien”, you get it at number 3.", "Because you chose “Alien”.")
    ['3']
    >>> invented("You chose “Alien” by Ridley Scott.", "Because you chose “Alien”.")
    ['Ridley', 'Scott']
    >>> invented("You chose “It”, and Us.", "Because you chose “Alien”.")
    ['It', 'Us']
    """
    told = {number.strip(".,") for number in _NUMBER.findall(original)}
    known = _words(original) | _plain()
    wrong: list[tuple[int, str]] = []
    for match in _NUMBER.finditer(text):
        if match.group().strip(".,") not in told:
            wrong.append((match.start(), match.group()))
    for match in _TOKEN.finditer(text):
        if _folded(match.group()) not in known:
            wrong.append((match.start(), match.group()))
    wrong += _plain_titles(text, original)
    return [found for _, found in sorted(wrong)]


def _plain_titles(text: str, original: str) -> list[tuple[int, str]]:
    """Places of quotations and of capital words that consist of plain words, and are not the
    original's.
    """
    quoted = {_quotation(match) for match in _QUOTED.finditer(original)}
    found: list[tuple[int, str]] = []
    for match in _QUOTED.finditer(text):
        if _quotation(match) not in quoted and _words(match.group()) <= _plain():
            found.append((match.start() + 1, match.group()[1:-1]))
    as_written = {"I", *_TOKEN.findall(original)}
    unquoted = _QUOTED.sub(lambda match: "_" * len(match.group()), text)
    for match in _TOKEN.finditer(unquoted):
        token, inside = match.group(), not _BEGINNING.search(unquoted[: match.start()])
        if inside and token[0].isupper() and token not in as_written and _folded(token) in _plain():
            found.append((match.start(), token))
    return found


def _quotation(match: re.Match[str]) -> str:
    return _folded("".join(filter(None, match.groups())).strip(" .,"))


def _words(text: str) -> set[str]:
    return {_folded(token) for token in _TOKEN.findall(text)}


@cache
def _plain() -> set[str]:
    """Words that say nothing by themselves; number words are none of them."""
    words = _words(_PLAIN_EN) | _words(_PLAIN_ZH) | _words(re.sub(r"\{\w*\}", " ", _OWN))
    return words - _words(_NUMBER_WORDS_EN) - _words(_NUMBER_WORDS_ZH)


def _folded(token: str) -> str:
    """Lower case without accents; Chinese as it is."""
    if _IDEOGRAPH.match(token):
        return token
    letters = unicodedata.normalize("NFKD", token.lower())
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
