"""The verbs that read a release: list, judge one, watch a stream of texts with one.

Leaves to others: doing it (releases/, evaluation/, monitoring/), serving one (serving.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.domains import load_domain
from crossrec.errors import DataError
from crossrec.verbs.data import dataset
from crossrec.verbs.progress import bar, both

if TYPE_CHECKING:
    import polars as pl

    from crossrec.data.dataset import Dataset
    from crossrec.data.split import Split
    from crossrec.evaluation.detail import CaseNotes
    from crossrec.evaluation.protocols import Part
    from crossrec.evaluation.report import Report
    from crossrec.models.encoder import TextEncoder
    from crossrec.monitoring.alarm import Rule
    from crossrec.releases import store
    from crossrec.shown.judged import Judged
    from crossrec.shown.releases import Release, Releases
    from crossrec.shown.watched import Watched


def list_releases(domain: str | None = None) -> Releases:
    """All releases, or those of one domain, oldest first.

    Raises:
        UnknownDomainError: no domain has that name.
    """
    from crossrec.releases.store import ReleaseStore
    from crossrec.shown.base import shown_as
    from crossrec.shown.releases import Release, Releases

    found = Releases(shown_as(Release, one) for one in ReleaseStore().list(domain))
    if not found and domain is not None:
        load_domain(domain)  # a misspelt name has no releases either
    return found


def release(domain: str, version: str = "current") -> Release:
    """One release of a domain, by version, or the one that is current.

    `with crossrec.release("movies").open() as answers: …` answers in this process, without a
    service.

    Raises:
        UnknownDomainError: the domain has no release.
        ReleaseError: it has no such version.
    """
    from crossrec.releases.store import ReleaseStore
    from crossrec.shown.base import shown_as
    from crossrec.shown.releases import Release

    return shown_as(Release, ReleaseStore().show(domain, version))


def evaluate(
    domain: str,
    *,
    release: str = "current",
    baselines: Sequence[str] | None = None,
    part: Part = "test",
    reasons: int = 0,
    on_step: Callable[[str], None] | None = None,
    progress: bool = False,
) -> Judged:
    """Judge a release beside baselines that are fitted now and the peers' published figures.

    The cases are those of the release's own protocol, seed and sample of users. What was found is
    kept below `<home>/reports`, case by case, for the app's pages (test cases only).

    Args:
        baselines: names out of `models.baselines.NAMES`; None: all.
        reasons: test users with whom the deletion test of explanations is run; 0: not run.
        on_step: called with the name of each model that is done.
        progress: draw a bar of the models.

    Raises:
        ReleaseError: there is no such release, or it is damaged.
        DataError: the data were never imported, or are others than the release was made from.
    """
    from crossrec.data.split import expect_cases
    from crossrec.evaluation.detail import CaseNotes
    from crossrec.evaluation.report import report
    from crossrec.models.baselines import NAMES
    from crossrec.models.encoder import TextEncoder
    from crossrec.releases.store import ReleaseStore
    from crossrec.shown.base import shown_as
    from crossrec.shown.judged import Judged
    from crossrec.training.prepare import encode_cached, split_for

    loaded = ReleaseStore().load(domain, release)
    data = dataset(domain)
    _expect_same_data(data, loaded.release)
    config = loaded.model.config
    training = config.training
    split = split_for(data, config)
    expect_cases(split, domain)
    sampled = [f"{training.max_users} users, drawn"] if training.max_users else []
    encoder, tokens = TextEncoder.load(config.encoder), config.model.max_text_tokens
    texts, said = data.catalogue()["text"].to_list(), split.sequences.requests
    vectors = encode_cached(encoder, texts, tokens, progress=False)
    notes = CaseNotes(len(getattr(split, part)))
    wanted = NAMES if baselines is None else baselines
    with bar(f"judging {domain}", 1 + len(wanted), progress) as draw:
        made = report(
            data,
            split,
            {"crossrec": loaded.model.score},
            part=part,
            baselines=wanted,
            text_vectors=vectors,
            request_dim=vectors.shape[1],
            requests=None if said is None else encode_cached(encoder, said, tokens, progress=False),
            own_requests=None if said is None else _adapted(loaded, encoder, said),
            task=loaded.model.task,
            notes=[f"release {loaded.release.version}, seed {training.seed}", *sampled],
            on_step=both(draw, on_step),
            watch=notes,
        )
    if part == "test":
        _keep(loaded, data, split, notes, made, reasons)
    return shown_as(Judged, made)


def _keep(
    loaded: store.LoadedRelease,
    data: Dataset,
    split: Split,
    notes: CaseNotes,
    made: Report,
    reasons: int,
) -> None:
    """Save the report with its single cases, for comparisons and audits."""
    from crossrec.data.traits import provider_column, providers, traits
    from crossrec.evaluation.detail import Detail, figures
    from crossrec.evaluation.saved import save
    from crossrec.explanation.faithfulness import deletion_test

    detail = Detail.of(split, "test", notes, loaded.model.task)
    item_ids = loaded.model.vocabulary.item_ids
    found = figures(detail, traits(data, detail.users), providers(data, item_ids))
    model = loaded.model
    found["deletion"] = deletion_test(model, split, reasons, model.request_dim) if reasons else None
    titles = loaded.catalogue.titles(list(range(len(item_ids))))
    save(
        loaded.release.domain,
        loaded.release.version,
        {"report": made.to_dict(), "provider_column": provider_column(data.domain), **found},
        detail,
        list(zip(item_ids, titles, strict=True)),
    )


def _expect_same_data(data: Dataset, release: store.Release) -> None:
    if data.content_hash != release.manifest.data_hash:
        raise DataError(
            f"'{release.domain}' {release.version} was made from data"
            f" {release.manifest.data_hash[:12]}, imported are {data.content_hash[:12]}:"
            f" train again, or import the former data"
        )


def _adapted(loaded: store.LoadedRelease, encoder: TextEncoder, said: list[str]) -> Any:
    """(R, E) of what was said, by the release's own adapter; None where it has none."""
    from crossrec.models.mixed import encode_adapted

    adapter = loaded.release.adapter_folder
    if adapter is None:
        return None
    return encode_adapted(encoder, adapter, said, loaded.model.config.model.max_text_tokens)


def watch(
    domain: str,
    texts: Path | str | pl.DataFrame,
    *,
    release: str = "current",
    label: str = "negative",
    every: str = "1d",
    topics: Mapping[str, Sequence[str]] | None = None,
    rule: Rule | None = None,
    n_topics: int = 10,
    progress: bool = False,
) -> Watched:
    """Label a stream of dated texts by a released classifier; say when a label's share is unusual.

    `crossrec.watch("finance_sentiment", "tweets.jsonl").alarms` has a row for each topic and
    period whose share of negative texts lies above its usual range.

    Args:
        texts: a file, `-` for standard input, or a frame: `text`, `timestamp` and, if there is
            one, `topic`; see `monitoring.stream.read_stream`.
        label: the label that is watched.
        every: length of a period, e.g. `6h`.
        topics: name → words that make a text be about it; None: its `topic`, and tickers in it.
        rule: what counts as unusual.
        n_topics: topics with the most texts that are watched.
        progress: show how many texts are labelled.

    Raises:
        ReleaseError: there is no such release, or it is damaged.
        ConfigError: the domain does not classify, or has no such label.
        DataError: the texts cannot be read.
    """
    from crossrec.monitoring.polarity import Classifier
    from crossrec.monitoring.watching import watch_texts
    from crossrec.releases.store import ReleaseStore
    from crossrec.shown.base import shown_as
    from crossrec.shown.watched import Watched

    load_domain(domain)
    with bar(f"labelling texts with {domain}", None, progress) as draw:
        found = watch_texts(
            Classifier.open(ReleaseStore().load(domain, release)),
            texts,
            label=label,
            every=every,
            topics=topics,
            rule=rule,
            n_topics=n_topics,
            progress=lambda done, total: draw(f"{done:,} of {total:,} distinct texts"),
        )
    return shown_as(Watched, found)
