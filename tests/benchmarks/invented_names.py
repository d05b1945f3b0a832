"""Sentences that name something the figures do not hold: row `invented_names`.

1,000 sentences of every kind that explanations have, in both languages, as a service says them:
reasons, contrasts, counterfactuals of history and of context, users alike and ways through the
knowledge graph of movies; ratings of restaurants_context. Users ask plainly, in words, with
objectives, with context and after disliking something. Every fifth sentence is reworded by a small
language model that was made here, on titles of the catalogue, to invent names: what it says has to
be caught. The judge here is another than the one that catches: it strikes out what the figures
hold, and looks in the rest for numbers, quotations and titles of the catalogue.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from crossrec.explanation.phrases import LANGUAGES, PHRASES, Language
from crossrec.explanation.reword import PROMPTS, Reworder
from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.explaining import Explainer
from crossrec.serving.explanation_messages import ExplainRequest, ExplainResponse
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import FeedbackEvent, Part, RecommendRequest
from crossrec.serving.recommender import Recommender
from tests.benchmarks.explain_cost import WORDS, encoding
from tests.benchmarks.explanations import Row, Subject, subject
from tests.benchmarks.rows import write_rows

DOMAIN, RATED = "movies", "restaurants_context"
N_SENTENCES = 1000
OF_RATED = 150
"""Sentences about ratings and what else RATED has."""
EACH = 200
"""Sentences of one kind and domain, at most."""
EVERY = 5
"""One sentence of so many of a kind is reworded."""
MIN_TITLE = 5
"""Letters of a title that is looked for in what is left: shorter ones are words."""
ROOM = 60
KINDS = ("reason", "rating", "contrast", "history", "context", "similar users", "path")


@dataclass(frozen=True)
class Told:
    """A sentence and all that it may name."""

    kind: str
    text: str
    names: frozenset[str]
    numbers: frozenset[str]
    language: Language


def told(
    found: ExplainResponse, language: Language, n_items: int, k: int, *, rated: bool
) -> list[Told]:
    """Every sentence of an explanation, with the figures it is made of."""

    def one(kind: str, text: str, names: Sequence[str], *numbers: object) -> Told:
        return Told(kind, text, frozenset(names), frozenset(map(str, numbers)), language)

    parts = found.explanation.parts
    numbers = re.findall(r"\d+", " ".join(p.label for p in parts if p.name == "earlier"))
    kind = "reason"
    if rated and all(part.kind != "objective" for part in parts):
        usual = sum(part.value for part in parts if part.kind in ("base", "popularity"))
        kind, numbers = "rating", [f"{usual:.1f}", f"{sum(p.value for p in parts):.1f}", *numbers]
    names = _names(parts)
    sentences = [one(kind, found.explanation.sentence, names, *numbers)]
    for out in found.counterfactuals:
        sentences.append(one(out.kind, out.sentence, out.labels, out.rank, k))
    if found.contrast is not None:
        both, gap = [*names, *_names(found.contrast.parts)], f"{abs(found.contrast.gap):.2f}"
        titles = [found.title, found.contrast.title]
        sentences.append(one("contrast", found.contrast.sentence, both + titles, *numbers, gap))
    if found.similar_users is not None:
        of = found.similar_users
        sentences.append(one("similar users", of.sentence, [], of.n, of.common, of.chose))
    for path in found.paths:
        shared = [*path.labels, path.entity, path.relation]
        sentences.append(one("path", path.sentence, shared, path.n, n_items))
    return sentences


def _names(parts: Sequence[Part]) -> list[str]:
    """Labels as sentences show them."""
    bare = [re.sub(r"^(not |不喜欢：)", "", part.label) for part in parts]
    return [name for label in bare for name in label.split(" = ")]


def wrong(of: Told, titles: list[str]) -> list[str]:
    """What the figures behind a sentence do not hold."""
    rest = of.text
    numeric = {name for name in of.names if re.fullmatch(r"[\d.,]*", name)}  # `temperature = 1`
    for name in sorted(of.names - numeric, key=len, reverse=True):
        rest = rest.replace(name, "□")
    allowed = of.numbers | numeric
    found = [n for n in re.findall(r"\d+(?:\.\d+)?", rest) if n not in allowed]
    found += [quoted for quoted in re.findall(r"“([^”]*)”", rest) if quoted.strip("□")]
    own = " ".join(str(value) for value in vars(PHRASES[of.language]).values()).lower()
    for title in titles:
        bare = re.sub(r" \(\d{4}\)$", "", title)
        if len(bare) >= MIN_TITLE and bare.lower() not in own:
            pattern = rf"(?<!\w){re.escape(bare.lower())}(?!\w)"
            found += [bare] * bool(re.search(pattern, rest.lower()))
    return found


def requests(recommender: Recommender) -> Iterator[RecommendRequest]:
    """Users ask in five ways in turn; every fifth has disliked what came first."""
    fields = {field.name for field in recommender.domain.context}
    when = {name: value for name, value in {"hour": 20, "weekday": 5}.items() if name in fields}
    for n, user in enumerate(recommender.catalogue.example_users(recommender.catalogue.n_items)):
        plain = RecommendRequest(user_id=user, k=10)
        if n % 5 == 4:
            [first] = asyncio.run(recommender.recommend(plain.model_copy(update={"k": 1}))).items
            key = f"{user} {first.item_id}"
            asyncio.run(
                recommender.feedback(
                    [
                        FeedbackEvent(
                            event_id=key, user_id=user, item_id=first.item_id, event="dislike"
                        )
                    ]
                )
            )
        changes = [
            {},
            {"text": WORDS[n // 5 % len(WORDS)]},
            {"objectives": {"novelty": 0.6, "popularity": 0.4}},
            {"context": when},
            {},
        ]
        yield plain.model_copy(update=changes[n % 5])


def sentences(domain: str, folder: Path) -> Iterator[Told]:
    """Sentences about the first and the last item of lists, in both languages; at most EACH of a
    kind.
    """
    loaded = ReleaseStore().load(domain)
    log = FeedbackLog(folder / f"{domain}.db")
    encode = encoding(TextEncoder.load(loaded.release.manifest.encoder))
    recommender = Recommender(loaded, encode, log)
    explainer, counts = Explainer(recommender), Counter[str]()
    n_items, rated = loaded.catalogue.n_items, loaded.model.domain.task == "rate"
    for request in requests(recommender):
        items = asyncio.run(recommender.recommend(request)).items
        for item in items[:: max(len(items) - 1, 1)]:
            for language in LANGUAGES:
                asked = ExplainRequest(request=request, item_id=item.item_id, language=language)
                found = asyncio.run(explainer.explain(asked))
                for one in told(found, language, n_items, request.k, rated=rated):
                    counts[one.kind] += 1
                    if counts[one.kind] <= EACH:
                        yield one
    log.close()


def inventive_model(folder: Path, titles: list[str]) -> str:
    """A tiny causal model that has learnt to tell of films of the catalogue, whatever is asked."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    rng, prompts = np.random.default_rng(0), list(PROMPTS.values())
    lines = []
    for n, title in enumerate(titles[:200]):
        sentence = " ".join(rng.choice(titles, rng.integers(1, 8)))  # of any length
        asked = prompts[n % len(prompts)].format(sentence=sentence)
        lines.append(f"{asked} You chose “{title}” and 7 more .")
    words = ["<end>", "<unk>", *dict.fromkeys(word for line in lines for word in line.split())]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>", pad_token="<end>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 512}
    ends = {"eos_token_id": 0, "bos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(words), **sizes, **ends))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    texts = [line + " <end>" for line in lines]
    for step in range(200):
        some = [texts[(step * 8 + n) % len(texts)] for n in range(8)]
        batch = fast(some, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        loss = model(**{k: batch[k] for k in ("input_ids", "attention_mask")}, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(folder)
    return str(folder)


@dataclass
class Counts:
    """What became of sentences, by kind."""

    said: Counter[str]
    given: Counter[str]
    """To the model."""
    invented: Counter[str]
    """By the model, as the judge here finds."""


def count(of: Iterator[Told], titles: list[str], reword: Reworder) -> tuple[Counts, list[str]]:
    """Counts, and the sentences with something invented."""
    counts, bad = Counts(Counter(), Counter(), Counter()), list[str]()
    for one in of:
        counts.said[one.kind] += 1
        text = one.text
        if counts.said[one.kind] % EVERY == 1:
            counts.given[one.kind] += 1
            raw = reword.generate(PROMPTS[one.language].format(sentence=text), ROOM) or ""
            counts.invented[one.kind] += bool(wrong(replace(one, text=raw), titles))
            text = reword(one.text, one.language)
        if wrong(replace(one, text=text), titles):
            bad.append(text)
    return counts, bad


def row(of: Subject, counts: Counts, bad: list[str]) -> Row:
    """The count; nothing is shown by kinds that did not occur or by a model that did not invent.

    Raises:
        ValueError: there is such a kind.
    """
    lacking = [kind for kind in KINDS if not counts.said[kind] or not counts.invented[kind]]
    if lacking:
        raise ValueError(
            f"no sentences, or none that the model invented in, of {lacking}: {counts}"
        )
    kinds = ", ".join(f"{kind} {counts.said[kind]}" for kind in KINDS)
    protocol = (
        f"{counts.said.total()} sentences ({kinds}; ratings and {OF_RATED} sentences in all are of"
        f" {RATED}) in {' and '.join(LANGUAGES)}; {counts.given.total()} of them given to a model"
        f" made to invent, which did in {counts.invented.total()}, some of each kind"
    )
    return of.row("invented_names", len(bad), "sentences", counts.said.total(), protocol)


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=N_SENTENCES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    of, _ = subject(DOMAIN), subject(RATED)  # both trained where there is no release
    catalogues = [ReleaseStore().load(name).catalogue for name in (DOMAIN, RATED)]
    titles = [title for one in catalogues for title in one.titles(list(range(one.n_items)))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reword = Reworder(inventive_model(folder / "model", titles))
        every = [
            *islice(sentences(RATED, folder), OF_RATED),
            *islice(sentences(DOMAIN, folder), given.sentences - OF_RATED),
        ]
        counts, bad = count(iter(every), titles, reword)
    for text in bad[:10]:
        print("invented:", text)
    write_rows("invented_names", [row(of, counts, bad)])


if __name__ == "__main__":
    main()
