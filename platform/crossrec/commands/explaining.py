"""`crossrec explain`: why an item is in the answer to a request.

Leaves to others: finding it out (serving/explaining.py), the request's options (serving.py).
"""

from __future__ import annotations

from typing import Annotated

import typer

from crossrec import verbs
from crossrec.commands.output import AsJson, OneDomain, out, print_json, print_table
from crossrec.commands.serving import ApiKey, Url, pairs
from crossrec.config import DEFAULT_URL
from crossrec.explanation.phrases import Language
from crossrec.serving.explanation_messages import ExplainResponse
from crossrec.serving.messages import MAX_K


def explain(
    domain: OneDomain,
    item: Annotated[str, typer.Argument(help="Item id, one of the recommended.")],
    user: Annotated[str | None, typer.Option(help="User id.")] = None,
    text: Annotated[str | None, typer.Option(help="A wish in words.")] = None,
    history: Annotated[
        list[str] | None, typer.Option(help="Item id the user had before; repeatable.")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(metavar="FIELD=VALUE", help="Of this moment; repeatable.")
    ] = None,
    objectives: Annotated[
        list[str] | None,
        typer.Option("--objective", metavar="NAME=WEIGHT", help="What counts; repeatable."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, max=MAX_K, help="Length of the list.")] = 10,
    against: Annotated[
        str | None, typer.Option(metavar="ITEM", help="Compare with this one, not the next.")
    ] = None,
    language: Annotated[Language, typer.Option(help="Of the sentences.")] = "en",
    reword: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="A Hugging Face language model that rewords them."),
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
        language=language,
        reword=reword,
        url=url,
        api_key=api_key,
        user_id=user,
        text=text,
        history=[{"item_id": item_id} for item_id in history or []],
        context=pairs("--context", context),
        objectives=pairs("--objective", objectives),
        k=k,
    )
    if as_json:
        print_json(answer.model_dump(mode="json"))
    else:
        show_explanation(answer)


def show_explanation(answer: ExplainResponse) -> None:
    """The sentences, then the parts of the score as a table."""
    out.print(f"{answer.rank}. {answer.title}  (score {answer.score:.3f})", markup=False)
    told = [answer.explanation, *answer.counterfactuals, answer.contrast, answer.similar_users]
    for one in [*told, *answer.paths]:
        if one is not None:
            out.print(f"  {one.sentence}", markup=False)
    parts = sorted(answer.explanation.parts, key=lambda part: -abs(part.value))
    rows = [(part.kind, part.label, f"{part.value:+.3f}") for part in parts]
    print_table(("kind", "part", "score"), rows, "no parts")
    if answer.text_parts:
        words = [(part.word, f"{part.value:+.3f}") for part in answer.text_parts]
        print_table(("word of its text", "score"), words, "no words")
