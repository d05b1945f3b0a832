"""Sentences that name something the figures do not hold: rows `invented_names`, of movies.

1,000 sentences of explanations, counterfactuals and contrasts, in both languages; every fifth is
reworded by a small language model that was made here, on titles of the catalogue, to invent names:
what it says has to be caught. The judge here is another than the one that catches: it strikes out
what the figures hold, and looks in the rest for numbers, quotations and titles of the catalogue.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from crossrec.explanation.contrast import differences
from crossrec.explanation.contributions import explain
from crossrec.explanation.counterfactuals import Race, counterfactuals
from crossrec.explanation.phrases import LANGUAGES, PHRASES, Language
from crossrec.explanation.reword import Reworder
from crossrec.explanation.text import (
    contrast_sentence,
    sentence,
    unknown_sentence,
    without_sentence,
)
from crossrec.releases.store import ReleaseStore
from tests.benchmarks.explanations import Asked, K, Row, Subject, subject
from tests.benchmarks.rows import write_rows

DOMAIN = "movies"
N_SENTENCES = 1000
EVERY = 5
"""One sentence of so many is reworded."""
MIN_TITLE = 5
"""Letters of a title that is looked for in what is left: shorter ones are words."""


@dataclass(frozen=True)
class Told:
    """A sentence and all that it may name."""

    text: str
    names: frozenset[str]
    numbers: frozenset[str]
    language: Language


def sentences(of: Subject, asked: Asked, titles: list[str]) -> Iterator[Told]:
    """All sentences about the list of one user, in both languages."""

    def named(items: list[int]) -> list[str]:
        return [titles[item] for item in items]

    found = explain(of.model, asked.query, asked.best, named, rescorer=of.rescorer)
    race = Race(of.model, of.rescorer, asked.query, asked.allowed, K)
    shown = [titles[item] for item in asked.best]
    for language in LANGUAGES:
        for place, one in enumerate(found):
            labels = frozenset(_words(part.label) for part in one.parts)
            counts = frozenset(re.findall(r"^\d+", " ".join(labels)))
            names = frozenset(name for label in labels for name in label.split(" = "))
            yield Told(sentence(one.parts, language), names, counts, language)
            if place + 1 < len(found):
                gap = differences(one.parts, found[place + 1].parts)
                text = contrast_sentence(shown[place], shown[place + 1], gap, language)
                told = f"{sum(part.value for part in gap):.2f}"
                both = names | {shown[place], shown[place + 1]}
                yield Told(text, both, counts | {told}, language)
        for out in counterfactuals(race, asked.best[-1]):
            numbers = frozenset({str(out.rank), str(K)})
            if out.kind == "context":
                text = unknown_sentence(out.field, out.rank, K, language)
                yield Told(text, frozenset({out.field}), numbers, language)
            else:
                gone = named([int(asked.query.items[0, step]) for step in out.places])
                text = without_sentence(gone, out.rank, K, language)
                yield Told(text, frozenset(gone), numbers, language)


def _words(label: str) -> str:
    """A label as sentences show it."""
    return re.sub(r" earlier items$", "", label.removeprefix("not "))


def wrong(told: Told, titles: list[str]) -> list[str]:
    """What the figures behind a sentence do not hold."""
    rest = told.text
    numeric = {name for name in told.names if re.fullmatch(r"[\d.,]*", name)}  # `hour = 1`
    for name in sorted(told.names - numeric, key=len, reverse=True):
        rest = rest.replace(name, "□")
    allowed = told.numbers | numeric
    found = [n for n in re.findall(r"\d+(?:\.\d+)?", rest) if n not in allowed]
    found += [quoted for quoted in re.findall(r"“([^”]*)”", rest) if quoted.strip("□")]
    own = " ".join(str(value) for value in vars(PHRASES[told.language]).values()).lower()
    for title in titles:
        bare = re.sub(r" \(\d{4}\)$", "", title)
        if len(bare) >= MIN_TITLE and bare.lower() not in own:
            pattern = rf"(?<!\w){re.escape(bare.lower())}(?!\w)"
            found += [bare] * bool(re.search(pattern, rest.lower()))
    return found


def inventive_model(folder: Path, titles: list[str]) -> str:
    """A tiny causal model that has learnt to tell of films of the catalogue, whatever is asked."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    lines = [f"In other words: You chose “{title}” and 7 more ." for title in titles[:200]]
    words = ["<end>", "<unk>", *dict.fromkeys(word for line in lines for word in line.split())]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<end>", unk_token="<unk>", pad_token="<end>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"n_embd": 32, "n_layer": 1, "n_head": 2, "n_positions": 256}
    ends = {"eos_token_id": 0, "bos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(vocab_size=len(words), **sizes, **ends))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    texts = [line + " <end>" for line in lines]
    for step in range(150):
        some = [texts[(step * 8 + n) % len(texts)] for n in range(8)]
        batch = fast(some, return_tensors="pt", padding=True)
        labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
        loss = model(**{k: batch[k] for k in ("input_ids", "attention_mask")}, labels=labels).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval().save_pretrained(folder)
    return str(folder)


def measure(of: Subject, titles: list[str], n: int, model: str) -> Row:
    """Count sentences with something invented."""
    reword = Reworder(model)
    bad: list[str] = []
    said = inventive = reworded = 0
    for asked in of.asked(n):
        for told in sentences(of, asked, titles):
            if said == n:
                break
            said += 1
            text = told.text
            if said % EVERY == 0:
                reworded += 1
                raw = Told(reword.generate(text), told.names, told.numbers, told.language)
                inventive += bool(wrong(raw, titles))
                text = reword(told.text, told.language)
            if wrong(Told(text, told.names, told.numbers, told.language), titles):
                bad.append(text)
    for text in bad[:10]:
        print("invented:", text)
    protocol = (
        f"{said} sentences of reasons, contrasts and counterfactuals, in {' and '.join(LANGUAGES)};"
        f" {reworded} of them given to a model made to invent, which did in {inventive}"
    )
    return of.row("invented_names", len(bad), "sentences", said, protocol)


def main() -> None:
    """Measure and write the row."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=N_SENTENCES)
    given = parser.parse_args()
    torch.set_num_threads(1)
    of = subject(DOMAIN)
    catalogue = ReleaseStore().load(DOMAIN).catalogue
    titles = catalogue.titles(list(range(catalogue.n_items)))
    with tempfile.TemporaryDirectory() as folder:
        model = inventive_model(Path(folder), titles)
        write_rows("invented_names", [measure(of, titles, given.sentences, model)])


if __name__ == "__main__":
    main()
