"""Which words of an item's text carry its score: occlusion beside integrated gradients.

Rows `item_words` of movies: the deletion test on the words of the best item's text. Words go in the
order that each way gives them, most important first; after each the text is encoded again and
compared with the user's history, as the signal `text` does. Area under the score, less that of the
text without any word, over that of random orders. Integrated gradients (Sundararajan et al. 2017)
by captum, over word embeddings, from padding, summed over the tokens of a word.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch
from captum.attr import LayerIntegratedGradients
from numpy.typing import NDArray

from crossrec.explanation.item_words import text_scores
from crossrec.explanation.things import MAX_WORDS, without_each
from crossrec.models.encoder import TextEncoder
from crossrec.models.passes import mean_pool
from crossrec.models.query import Queries
from crossrec.models.text_signals import RequestSignal, TextSignal
from crossrec.releases.store import ReleaseStore
from tests.benchmarks.explanations import N_DRAWS, Row, Subject, subject
from tests.benchmarks.rows import write_rows

DOMAIN = "movies"
N_USERS = 100
N_RANDOM = 5
N_STEPS = 24
WAYS = (
    "occlusion",
    "mean of occlusion and of the word alone",
    "integrated gradients (captum)",
)
Order = NDArray[np.int64]
Score = Callable[[Sequence[str]], NDArray[np.float64]]


def score_of(of: Subject, query: Queries, encoder: TextEncoder) -> Score:
    """Texts → raw scores of the signal `text` for one user."""

    def score(texts: Sequence[str]) -> NDArray[np.float64]:
        vectors = encoder.encode(texts, max_tokens=of.model.config.model.max_text_tokens)
        found = text_scores(of.model, query, TextSignal.name, vectors)
        assert found is not None
        return found

    return score


def gradients(
    of: Subject, query: Queries, encoder: TextEncoder, text: str, words: list[str]
) -> Order:
    """(n,) integrated gradients of the cosine with the user's history, summed over each word."""
    signal = of.model.signals_by_name[TextSignal.name]
    centre = of.model.signals_by_name[RequestSignal.name]
    assert isinstance(signal, TextSignal)
    assert isinstance(centre, RequestSignal)
    # the signal is linear in W x / |W x|, so scores of unit vectors give the direction it likes
    likes = _direction(of, query, signal)
    limit = of.model.config.model.max_text_tokens
    made = encoder.tokenizer(
        text, truncation=True, max_length=limit, return_offsets_mapping=True, return_tensors="pt"
    )
    ids, mask, offsets = made["input_ids"], made["attention_mask"], made["offset_mapping"][0]
    common, middle = torch.tensor(signal.common), torch.tensor(centre.centre)

    def forward(tokens: torch.Tensor) -> torch.Tensor:
        hidden = encoder.model(input_ids=tokens, attention_mask=mask.expand(len(tokens), -1))
        x = torch.nn.functional.normalize(
            mean_pool(hidden.last_hidden_state, mask) - middle, dim=-1
        )
        seen = x @ common
        return (x @ likes) / (1 - (seen * seen).sum(-1)).clamp(min=1e-12).sqrt()

    padding = torch.full_like(ids, encoder.tokenizer.pad_token_id)
    padding[:, 0], padding[:, -1] = ids[:, 0], ids[:, -1]
    way = LayerIntegratedGradients(forward, encoder.model.embeddings.word_embeddings)
    found = way.attribute(ids, baselines=padding, n_steps=N_STEPS, internal_batch_size=8)
    tokens = found.sum(-1)[0].detach().numpy()
    values, start = np.zeros(len(words)), 0
    for n, word in enumerate(words):
        start = text.index(word, start)
        end = start + len(word)
        inside = (offsets[:, 0] >= start) & (offsets[:, 1] <= end) & (offsets[:, 1] > offsets[:, 0])
        values[n] = tokens[inside.numpy()].sum()
        start = end
    return values


def _direction(of: Subject, query: Queries, signal: TextSignal) -> torch.Tensor:
    """(E,) d with score = x·d / |W x|, from the scores of the catalogue by least squares."""
    lengths = signal._lengths
    scores = signal.score(query)[0] * lengths
    found, *_ = np.linalg.lstsq(signal.vectors.astype(np.float64), scores, rcond=None)
    assert np.abs(signal.vectors @ found - scores).max() < 1e-3
    return torch.from_numpy(found.astype(np.float32))


def area(score: Score, words: list[str], order: Order) -> float:
    """Mean score while words go, less that of no words."""
    texts = []
    for n in range(len(order) + 1):
        gone = set(order[:n].tolist())
        texts.append(" ".join(word for i, word in enumerate(words) if i not in gone) or ".")
    found = score(texts)
    return float((found - found[-1]).mean())


def measure(of: Subject, encoder: TextEncoder, texts: list[str], n_users: int) -> list[Row]:
    """A row a way."""
    rng = np.random.default_rng(0)
    areas: list[list[float]] = []
    for asked in of.asked(n_users):
        words, left = without_each(texts[asked.best[0]])
        if len(words) < 3:
            continue
        text = " ".join(words)
        score = score_of(of, asked.query, encoder)
        scores = score([text, ".", *left, *words])
        losses, alone = scores[0] - scores[2 : 2 + len(words)], scores[2 + len(words) :] - scores[1]
        ways = (losses, losses + alone, gradients(of, asked.query, encoder, text, words))
        drawn = [area(score, words, rng.permutation(len(words))) for _ in range(N_RANDOM)]
        ordered = [area(score, words, np.argsort(-way, kind="stable")) for way in ways]
        areas.append([*ordered, float(np.mean(drawn))])
    found = np.array(areas)
    draws = rng.integers(len(found), size=(N_DRAWS, len(found)))
    rows = []
    for column, way in enumerate(WAYS):
        ratios = found[draws, column].sum(axis=1) / found[draws, -1].sum(axis=1)
        ours, theirs = found[:, column].mean(), found[:, -1].mean()
        rows.append(
            of.row(
                "item_words",
                float(ours),
                "area under the score curve",
                len(found),
                f"{way}; words of the best item's text, in {MAX_WORDS} runs at most, compared with"
                " the history by the signal text; ci95 is of the ratio, over users",
                peer=f"random orders ({N_RANDOM} each)",
                peer_value=float(theirs),
                ratio=float(ours / theirs),
                ci95=np.quantile(ratios, [0.025, 0.975]).tolist(),
            )
        )
    return rows


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=N_USERS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    of = subject(DOMAIN)
    loaded = ReleaseStore().load(DOMAIN)
    encoder = TextEncoder.load(loaded.release.manifest.encoder, precision="fp32")
    cards = loaded.catalogue.cards(list(range(loaded.catalogue.n_items)), [])
    write_rows("item_words", measure(of, encoder, [card.text for card in cards], given.users))


if __name__ == "__main__":
    main()
