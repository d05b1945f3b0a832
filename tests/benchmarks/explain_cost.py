"""Cost of explaining 10 recommended items over recommending them alone (rows `explain_cost`).

In one process, without HTTP, which would add the same to both sides, and in processor time: nothing
waits here but for the processor, and on a shared one the clock on the wall would say how often each
side was interrupted. The sides alternate user by user, each with a recommender of its own, so that
neither profits from what the other remembers. Users asked for the first time and users asked for
again are rows of their own, as are questions in words, with the encoder in the same process.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from crossrec.models.encoder import TextEncoder
from crossrec.releases.store import ReleaseStore
from crossrec.serving.feedback_log import FeedbackLog
from crossrec.serving.messages import RecommendRequest
from crossrec.serving.recommender import Encode, Recommender
from tests.benchmarks.rows import write_rows
from tests.benchmarks.served import DOMAIN, on_one_thread, trained

N_ROUNDS = 7
N_USERS = 200
WORDS = (
    "a dark space adventure",
    "funny family film with animals",
    "war drama",
    "romance in Paris",
)
Row = dict[str, Any]
Times = dict[bool, list[float]]
"""With explanations or without → ms of each answer, processor time."""


def encoding(encoder: TextEncoder) -> Encode:
    """What stands for the encoder's application."""

    async def encode(texts: list[str]) -> NDArray[np.float32]:
        return encoder.encode(texts)

    return encode


async def one_round(
    sides: dict[bool, Recommender], requests: list[RecommendRequest], again: bool
) -> Times:
    """Each request once a side, the sides in turn first; `again`: each was asked before."""
    found: Times = {True: [], False: []}
    for asked in range(1 + again):
        for number, request in enumerate(requests):
            for explain in (True, False) if number % 2 else (False, True):
                told = request.model_copy(update={"explain": explain})
                start = time.process_time()
                await sides[explain].recommend(told)
                if asked == again:
                    found[explain].append((time.process_time() - start) * 1000)
    return found


def measure(
    store: ReleaseStore, folder: Path, encode: Encode, kind: str, n_users: int, n_rounds: int
) -> list[Times]:
    """Rounds of one kind: first, again or words."""
    rounds = []
    for number in range(n_rounds + 1):  # the first warms up
        log = FeedbackLog(folder / f"{kind}{number}.db")
        sides = {side: Recommender(trained(store), encode, log) for side in (True, False)}
        users = sides[True].catalogue.example_users(n_users + 1)
        requests = [RecommendRequest(user_id=user) for user in users]
        if kind == "words":
            texts = [WORDS[n % len(WORDS)] for n in range(len(users))]
            requests = [
                request.model_copy(update={"text": f"{text} {n}"})  # no text is asked twice
                for n, (request, text) in enumerate(zip(requests, texts, strict=True))
            ]
        warm_up, *rest = requests
        asyncio.run(one_round(sides, [warm_up], again=False))
        found = asyncio.run(one_round(sides, rest, again=kind == "again"))
        rounds += [found] * (number > 0)
        for side in sides.values():
            side.loaded.close()
        log.close()
    return rounds


HOW = {
    "first": "users asked for the first time",
    "again": "users asked for again, whose histories are remembered",
    "words": "users asked for the first time, with 3 to 6 words, the encoder in the same process",
}


def row(kind: str, rounds: list[Times], data_hash: str) -> Row:
    """p50 over p50; the interval is the smallest and largest round."""
    p50 = {
        side: statistics.median([taken for found in rounds for taken in found[side]])
        for side in (True, False)
    }
    each = [statistics.median(found[True]) / statistics.median(found[False]) for found in rounds]
    return {
        "name": "explain_cost",
        "domain": DOMAIN,
        "value": round(p50[True], 3),
        "unit": "ms",
        "peer": "the same answers without explanations",
        "peer_value": round(p50[False], 3),
        "ratio": round(p50[True] / p50[False], 3),
        "n": sum(len(found[True]) for found in rounds),
        "ci95": [round(min(each), 3), round(max(each), 3)],
        "protocol": f"{HOW[kind]}, p50 of answers with 10 items, each with its parts and sentence"
        " or without (counterfactuals are searched when somebody asks for one), in process,"
        " processor time, one thread; ci95 is the range of the ratio over"
        f" {len(rounds)} rounds, sides alternate",
        "data_hash": data_hash,
    }


def main() -> None:
    """Measure and write the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=N_USERS)
    parser.add_argument("--rounds", type=int, default=N_ROUNDS)
    given = parser.parse_args()
    on_one_thread()
    torch.set_num_threads(1)
    store = ReleaseStore()
    manifest = trained(store).release.manifest
    encode = encoding(TextEncoder.load(manifest.encoder))
    with tempfile.TemporaryDirectory() as folder:
        rows = [
            row(
                kind,
                measure(store, Path(folder), encode, kind, given.users, given.rounds),
                manifest.data_hash,
            )
            for kind in HOW
        ]
    write_rows("explain_cost", rows)


if __name__ == "__main__":
    main()
