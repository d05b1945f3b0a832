"""`crossrec explain`: why an item is in the answer to a request.

Leaves to others: finding it out (serving/explaining.py), the request's options (asking.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.asking import (
    Context,
    Filters,
    History,
    Length,
    Objectives,
    User,
    Where,
    Words,
    asked,
)
from crossrec.commands.output import AsJson, OneDomain, out, print_json, print_table
from crossrec.commands.serving import ApiKey, Url
from crossrec.config import DEFAULT_URL
from crossrec.explanation.phrases import Language
from crossrec.shown.answers import Explanation


def explain(
    domain: OneDomain,
    item: Annotated[str, typer.Argument(help="Item id, one of the recommended.")],
    user: User = None,
    text: Words = None,
    history: History = None,
    context: Context = None,
    filters: Filters = None,
    where: Where = "",
    objectives: Objectives = None,
    k: Length = 10,
    against: Annotated[
        str | None, typer.Option(metavar="ITEM", help="Compare with this one, not the next.")
    ] = None,
    request_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Of the answer, from recommend --json: explain with its release and weights.",
        ),
    ] = None,
    language: Annotated[Language, typer.Option(help="Of the sentences.")] = "en",
    counterfactuals: Annotated[
        bool, typer.Option(help="Look for what would take it out; half of the time.")
    ] = True,
    text_parts: Annotated[
        bool, typer.Option(help="Say what the words of its own text give; needs the encoder.")
    ] = True,
    reword: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="Folder or name of a Hugging Face language model that rewords them, checked.",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
    as_json: AsJson = False,
) -> None:
    """Say why an item is recommended: parts of its score, what would take it out, contrast.

    \b
    crossrec explain movies 50 --user 196
    crossrec explain movies 50 --user 196 --against 181 --language zh
    """
    answer = verbs.explain(
        domain,
        item,
        against=against,
        request_id=request_id,
        language=language,
        counterfactuals=counterfactuals,
        text_parts=text_parts,
        reword=reword,
        url=url,
        api_key=api_key,
        **asked(user, text, history, context, filters, where, objectives, k),
    )
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        show_explanation(answer)


def show_explanation(answer: Explanation) -> None:
    """The sentences, then the parts of the score as a table."""
    out.print(f"{answer.rank}. {answer.title}  (score {answer.score:.3f})", markup=False)
    told = [answer.explanation, *answer.counterfactuals, answer.contrast, answer.similar_users]
    for one in [*told, *answer.paths]:
        if one is not None:
            out.print(f"  {one.sentence}", markup=False)
    if answer.wording is not None:
        out.print(f"  ({answer.wording})", markup=False)
    parts = sorted(answer.explanation.parts, key=lambda part: -abs(part.value))
    rows = [(part.kind, part.label, f"{part.value:+.3f}") for part in parts]
    print_table(("kind", "part", "score"), rows, "no parts")
    if answer.text_parts:
        words = [(part.word, f"{part.value:+.3f}") for part in answer.text_parts]
        print_table(("word of its text", "score"), words, "no words")
