"""What a domain with little data gains from others: zero-shot and few-shot, from every start.

Leaves to others: learning the starts (carrying.py), cutting the data (data/few_shot.py), the
training and fusion of one domain (loop.py, assemble.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from crossrec.config import Placement, RunConfig
from crossrec.data.dataset import Dataset
from crossrec.data.few_shot import few_shot
from crossrec.data.sequences import load_sequences
from crossrec.data.split import Split, expect_cases, unused_split
from crossrec.errors import ConfigError
from crossrec.evaluation.protocols import Evaluation, difference, judge, known
from crossrec.models import baselines
from crossrec.models.encoder import TextEncoder
from crossrec.training.assemble import assemble
from crossrec.training.carrying import average, learn_carried, nearness, source_config
from crossrec.training.loop import fit
from crossrec.training.network import State
from crossrec.training.pipeline import judge_model
from crossrec.training.prepare import Prepared, prepare, split_for

SHARES = (0.0, 0.01, 0.05, 0.1, 0.25)
NEAR = 0.6
"""Nearness above which a start is used though no case of the target can say whether it helps.
Among the built-in domains films are .92 and .62 near each other, where carried towers helped; of
all other pairs, at most .47, most hurt (rows `transfer_pair`, and ARCHITECTURE.md)."""

SCRATCH, AVERAGE, SHARED = "scratch", "average", "shared"
MAIN = "ndcg@10"

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Attempt:
    """One start tried on a share of the target's users."""

    share: float
    start: str
    """`scratch`: nothing taken over; a source; `average` of the sources; `shared` by them."""
    validation: Evaluation | None
    """On the validation cases of that share; None where nobody is known."""
    test: Evaluation
    seconds: float


@dataclass(frozen=True)
class Peer:
    """A baseline learned from the same users."""

    name: str
    validation: Evaluation | None
    """On the same cases; None where nobody is known."""
    test: Evaluation


class Gain(NamedTuple):
    """What a start has more than scratch in NDCG@10 on test, and the ends of the 95 % interval of
    that over users.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """Signed, in brackets where the interval holds 0, so that it may be noise.

        >>> print(Gain(0.02, 0.01, 0.03), Gain(-0.02, -0.05, 0.01))
        +0.0200 (-0.0200)
        """
        signed = f"{self.value:+.4f}"
        return f"({signed})" if self.low <= 0 <= self.high else signed


@dataclass(frozen=True)
class ShareReport:
    """All starts and peers on one share of the users."""

    share: float
    n_users: int
    attempts: list[Attempt]
    peers: list[Peer]
    nearest: str
    near: bool

    @property
    def chosen(self) -> Attempt:
        """The start that is best on validation, if it is better than scratch by more than one
        standard error of the difference (a rule of Breiman et al. 1984, sec. 3.4.3): few cases
        make some start look best. Without any case the nearest source, if it is near.
        """
        by_name = {attempt.start: attempt for attempt in self.attempts}
        scratch = by_name[SCRATCH]
        if self.share == 0:
            return by_name[self.nearest] if self.near else scratch
        best = max(self.attempts, key=_validation)
        assert best.validation is not None, "somebody is known"
        assert scratch.validation is not None, "somebody is known"
        gain = best.validation.values(MAIN) - scratch.validation.values(MAIN)
        return best if gain.mean() > gain.std() / np.sqrt(len(gain)) else scratch

    @cached_property
    def gains(self) -> dict[str, Gain]:
        """Of each start by its name; scratch itself has none."""
        scratch = next(attempt for attempt in self.attempts if attempt.start == SCRATCH)
        return {
            one.start: Gain(*difference(one.test, scratch.test, MAIN))
            for one in self.attempts
            if one is not scratch
        }

    def said(self, one: Attempt) -> str:
        """NDCG@10 of a start on test and its gain, as in `0.0840 (+0.0030)`."""
        gain = self.gains.get(one.start) if one.test.n else None
        return figure(one) + (f" {gain}" if gain is not None else "")

    @property
    def best_peer(self) -> Peer:
        """By validation; frozen text where nobody is known."""
        return max(self.peers, key=_validation)


@dataclass(frozen=True)
class TransferReport:
    """What came of taking weights over from the sources."""

    target: str
    sources: list[str]
    data_hash: str
    seed: int
    nearness: dict[str, float]
    shares: list[ShareReport]
    starts: dict[str, State] = field(repr=False)
    release: str | None = None
    """Version that was published from the chosen start, if one was asked for."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "target": self.target,
            "sources": self.sources,
            "data_hash": self.data_hash,
            "seed": self.seed,
            "nearness": {name: round(value, 3) for name, value in self.nearness.items()},
            "shares": [_share_dict(one) for one in self.shares],
            "release": self.release,
        }


def _share_dict(one: ShareReport) -> dict[str, Any]:
    ends = {
        start: {"gain_ci95": [known(gain.low), known(gain.high)]}
        for start, gain in one.gains.items()
    }
    return {
        "share": one.share,
        "n_users": one.n_users,
        "chosen": one.chosen.start,
        "best_peer": one.best_peer.name,
        "starts": {
            a.start: _figures(a) | ends.get(a.start, {}) | {"seconds": round(a.seconds, 1)}
            for a in one.attempts
        },
        "peers": {peer.name: _figures(peer) for peer in one.peers},
    }


def _figures(one: Attempt | Peer) -> dict[str, float | None]:
    validation = None if one.validation is None else one.validation.mean(MAIN)
    return {"validation": validation, "test": known(one.test.mean(MAIN))}


def figure(one: Attempt | Peer) -> str:
    """NDCG@10 on test in four digits; `none` where there is no case."""
    return f"{one.test.mean(MAIN):.4f}" if one.test.n else "none"


def _validation(one: Attempt | Peer) -> float:
    return -1.0 if one.validation is None else one.validation.mean(MAIN)


def transfer(
    sources: Sequence[Dataset],
    target: Dataset,
    config: RunConfig,
    shares: Sequence[float] = SHARES,
    *,
    source_users: int | None = 2000,
    starts: dict[str, State] | None = None,
    together: bool = True,
    placement: Placement | None = None,
    tell: Tell = lambda step: None,
) -> TransferReport:
    """Try every start on every share of the target's users, beside baselines of the same users.

    Args:
        sources: domains to take over from; their encoder is the config's.
        config: of the target; sources train without ids and modalities.
        shares: of the target's users who are learned from; 0: nobody.
        source_users: users drawn of each source; None: all.
        starts: weights known already by name; the others are learned now.
        together: also learn weights on all sources at once, which costs as much as each alone.
        tell: told each step in words.

    Raises:
        ConfigError: no source, a source that is the target, or a share out of range.
        DataError: the protocol does not fit the data.
    """
    _expect_sources([source.domain.name for source in sources], target.domain.name)
    encoder = TextEncoder.load(config.encoder)
    split = split_for(target, config)
    if any(shares):
        expect_cases(split, target.domain.name)
    few = {share: few_shot(split, share, config.training.seed) for share in shares}
    given = source_config(config, source_users)
    prepared = [prepare(source, given, encoder=encoder) for source in sources]
    for source in prepared:
        expect_cases(source.split, source.domain.name)
    starts = learn_starts(prepared, starts or {}, placement, tell, together=together)
    near: dict[str, float] = {}
    found = []
    for share, cut in few.items():
        made = prepare(target, config, encoder=encoder, split=cut)
        near = near or {p.domain.name: nearness(made.text, p.text) for p in prepared}
        found.append(_try_share(share, made, split, starts, near, placement, tell))
    return TransferReport(
        target.domain.name,
        [source.domain.name for source in sources],
        target.content_hash,
        config.training.seed,
        near,
        found,
        starts,
    )


def zero_shot_split(target: Dataset, config: RunConfig) -> Split:
    """What a release without the target's users is made from: none of its interactions is read.

    Of requests in words, which have no such table, nobody's is learned from.
    """
    if target.has("interactions"):
        return unused_split(load_sequences(target, nobody=True), config.protocol)
    return few_shot(split_for(target, config), 0.0, config.training.seed)


def _expect_sources(sources: list[str], target: str) -> None:
    if not sources or target in sources or len(set(sources)) < len(sources):
        raise ConfigError(
            f"got {', '.join(sources) or 'nothing'} to take over from, for {target};"
            " expected one or more other domains, each once"
        )


def learn_starts(
    sources: Sequence[Prepared],
    known: dict[str, State],
    placement: Placement | None = None,
    tell: Tell = lambda step: None,
    *,
    together: bool = True,
) -> dict[str, State]:
    """Each source's own weights by its name and, of several, their average and shared ones.

    Args:
        sources: prepared with `carrying.source_config`.
        known: those that need not be learned any more.
        together: whether there is to be a shared one.
    """

    def learned(name: str, of: Sequence[Prepared]) -> State:
        return learn_carried(
            of,
            placement=placement,
            on_epoch=lambda epoch: tell(
                f"{name}: epoch {epoch.number}, "
                + ", ".join(f"{n} {value:.4f}" for n, value in epoch.figures.items())
            ),
        )

    names = [source.domain.name for source in sources]
    starts = {
        name: known[name] if name in known else learned(name, [source])
        for name, source in zip(names, sources, strict=True)
    }
    if len(sources) > 1:
        starts[AVERAGE] = average([starts[name] for name in names])
    if len(sources) > 1 and together:
        starts[SHARED] = known[SHARED] if SHARED in known else learned(SHARED, sources)
    return starts


def _try_share(
    share: float,
    made: Prepared,
    whole: Split,
    starts: dict[str, State],
    near: dict[str, float],
    placement: Placement | None,
    tell: Tell,
) -> ShareReport:
    attempts = []
    for name, state in {SCRATCH: None, **starts}.items():
        started = time.perf_counter()
        validation, test = _attempt(made, state, placement)
        attempts.append(Attempt(share, name, validation, test, time.perf_counter() - started))
        tell(f"{share:.0%} of the users, {name}: NDCG@10 {figure(attempts[-1])}")
    peers = _peers(made, whole, share)
    nearest = max(near, key=lambda name: near[name])
    owner = np.repeat(
        np.arange(made.split.sequences.n_users), np.diff(made.split.sequences.offsets)
    )
    n_users = len(np.unique(owner[made.split.train]))
    return ShareReport(share, n_users, attempts, peers, nearest, near[nearest] >= NEAR)


def _attempt(
    made: Prepared, state: State | None, placement: Placement | None
) -> tuple[Evaluation | None, Evaluation]:
    """One start on the validation cases, if anybody is known, and on the test cases."""
    fitted = fit(made, placement=placement, start=state)
    model = assemble(made, fitted)
    known = bool(made.split.train.any())
    validation = judge_model(made, fitted, model, "validation") if known else None
    return validation, judge_model(made, fitted, model)


def _peers(made: Prepared, whole: Split, share: float) -> list[Peer]:
    """The package's baselines, learned from the same users.

    Where nobody is known there is frozen text alone; it is given the decay and the centring that
    are best on all validation cases of the domain, which it would not know.
    """
    if share == 0:
        text = baselines.tune("frozen_text", whole, made.text)
        return [Peer("frozen_text", None, judge(text.score, made.split))]
    tuned = baselines.tune_all(made.split, made.text)
    return [
        Peer(
            name,
            judge(model.score, made.split, "validation"),
            judge(model.score, made.split),
        )
        for name, model in tuned.items()
    ]
