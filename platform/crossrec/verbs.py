"""What crossrec does, as plain functions: the command line's verbs, and a notebook's.

`import crossrec; crossrec.train("movies")`. Leaves to others: doing it (the rooms), talking about
it (cli.py). Rooms are imported when a verb is used, so that importing this stays light.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossrec.config import Placement, RunConfig, home, load_config
from crossrec.domains import domain_names as domain_names
from crossrec.domains import load_domain
from crossrec.domains.spec import NAME_PATTERN, Domain
from crossrec.errors import ConfigError, DataError

if TYPE_CHECKING:
    import polars as pl

    from crossrec.data.dataset import Dataset
    from crossrec.data.folds import By
    from crossrec.data.infer import Inference
    from crossrec.diagnosis import Finding
    from crossrec.evaluation.protocols import Evaluation, Part
    from crossrec.evaluation.report import Report
    from crossrec.models.encoder import TextEncoder
    from crossrec.monitoring.alarm import Rule
    from crossrec.monitoring.report import WatchReport
    from crossrec.releases.store import LoadedRelease, Release
    from crossrec.serving.launch import Mode, Service
    from crossrec.serving.messages import RecommendResponse
    from crossrec.training.folds import FoldReport
    from crossrec.training.runs import TrainResult
    from crossrec.tuning.selection import TuneResult

Config = RunConfig | Path | str | None
"""Settings themselves, the path of a YAML of settings, or None for the defaults."""

DEFAULT_URL = "http://127.0.0.1:8000"


def import_data(domain: str, *, progress: bool = False) -> Dataset:
    """Fetch, check and store the data of one domain.

    Raises:
        UnknownDomainError: no domain has that name.
        SourceError: the data could not be fetched.
        DataError: a table, a column or too many rows are wrong.
    """
    from crossrec.data.importing import import_domain

    return import_domain(load_domain(domain), progress=progress)


def infer_domain(
    name: str,
    items: Path | str,
    interactions: Path | str,
    columns: Mapping[str, str] | None = None,
) -> Inference:
    """Guess a domain from your own files (CSV, Parquet, JSON Lines), with a reason for each guess.

    Args:
        columns: `table.column` (such as `interactions.user_id`) → your column, or `-` for none.

    Raises:
        DataError: a file cannot be read, or has no column for a role that is required.
        ConfigError: the name is no domain's name, or `columns` names no role or no column.
    """
    from crossrec.data import infer

    if not re.fullmatch(NAME_PATTERN, name):
        raise ConfigError(
            f"'{name}' cannot name a domain; expected lower-case letters, digits and _,"
            " beginning with a letter"
        )
    return infer.infer_domain(name, Path(items), Path(interactions), dict(columns or {}))


def init_domain(domain: Domain, *, force: bool = False) -> Path:
    """Write a domain's YAML among your own; gives its path.

    Raises:
        ConfigError: there is one of that name, and `force` was not given.
    """
    from crossrec.data import infer

    folder = home() / "domains"
    if (folder / f"{domain.name}.yaml").exists() and not force:
        raise ConfigError(
            f"{folder / domain.name}.yaml exists; choose another name, or --force to replace it"
        )
    return infer.write_domain(domain, folder)


def dataset(domain: str) -> Dataset:
    """The imported data of one domain.

    Raises:
        DataError: it was never imported.
    """
    from crossrec.data.dataset import Dataset

    return Dataset.open(domain)


def settings(config: Config = None, overrides: Sequence[str] = ()) -> RunConfig:
    """Settings from a file, or given ones, with `a.b=value` overrides on top.

    Raises:
        ConfigError: no such file, no such key, or a value out of range.

    >>> settings(overrides=["training.mode=adapted"]).training.mode
    'adapted'
    """
    if not isinstance(config, RunConfig):
        return load_config(Path(config) if config else None, list(overrides))
    if overrides:
        raise ConfigError("got settings and overrides; expected a file's path with overrides")
    return config


def train(
    *domains: str,
    config: Config = None,
    overrides: Sequence[str] = (),
    workers: int = 0,
    address: str | None = None,
    run_name: str | None = None,
    publish: bool = True,
    progress: bool = False,
) -> list[TrainResult]:
    """Train each domain, judge it on its test cases and publish its release.

    Args:
        workers: processes of Ray Train; 0 trains in this process, without Ray.
        address: of a Ray cluster (`auto`, `ray://…`); None: a local one that ends with the run.
        run_name: repeat it to resume a run that was cut off; needs workers.
        progress: draw progress bars.

    Raises:
        ConfigError: a setting is wrong, or a run without workers was given a name.
        DataError: a domain was never imported.
        TrainingError: no cluster, not enough of it, or training diverged.
    """
    _expect_domains(domains)
    run_config = settings(config, overrides)
    if workers == 0 and address is None:
        if run_name is not None:
            raise ConfigError(
                f"a run without Ray cannot be resumed, got the name '{run_name}';"
                " leave it out, or train with --workers 1 or more"
            )
        return [_train_here(domain, run_config, publish, progress) for domain in domains]
    from crossrec.training.launch import train_on_ray

    placement = Placement(workers=max(1, workers), address=address)
    return train_on_ray(
        list(domains), run_config, placement, run_name=run_name, publish=publish, show=progress
    )


def _train_here(domain: str, config: RunConfig, publish: bool, show: bool) -> TrainResult:
    from crossrec.training.board import Bars
    from crossrec.training.pipeline import train_here

    with Bars([domain], config.training.max_epochs, show) as bars:

        def stage(text: str, **steps: int) -> None:
            bars.update({"domain": domain, "stage": text, **steps})

        result = train_here(
            domain,
            config,
            publish=publish,
            on_epoch=lambda epoch: bars.update({"domain": domain, "metrics": dict(epoch.metrics)}),
            report=stage,
            progress=lambda done, total: stage("encoding texts", completed=done, total=total),
        )
        bars.done(domain, f"done, {len(result.history)} epochs")
    return result


def _expect_domains(names: Sequence[str]) -> None:
    """Raise before anything starts if a name is wrong."""
    if not names:
        raise ConfigError("got no domain; expected at least one name, e.g. movies")
    for name in names:
        load_domain(name)


def tune(
    domain: str,
    *,
    trials: int = 20,
    config: Config = None,
    overrides: Sequence[str] = (),
    space: Path | str | None = None,
    workers: int = 1,
    address: str | None = None,
    seed: int = 0,
    run_name: str | None = None,
    progress: bool = False,
) -> TuneResult:
    """Search for the settings with the best validation NDCG@10; the best is one YAML for `train`.

    A trial's figure is that of the sequence model, before its fusion with the other signals.

    Args:
        trials: trials in all.
        config: the settings that do not vary.
        space: YAML of what varies; None: what is worth varying in the config's mode (LoRA's
            rank and targets in adapted mode only).
        workers: processes of one trial.
        run_name: repeat it to go on with a search, or to add trials.

    Raises:
        ConfigError: the space does not fit the config.
        TrainingError: no cluster, not enough of it, or no trial gave a figure.
    """
    from crossrec.tuning.search import tune_domain
    from crossrec.tuning.spaces import read_space

    _expect_domains([domain])
    return tune_domain(
        domain,
        settings(config, overrides),
        Placement(workers=workers, address=address),
        trials,
        space=read_space(Path(space)) if space else None,
        seed=seed,
        run_name=run_name,
        show=progress,
    )


def evaluate(
    domain: str,
    *,
    release: str = "current",
    baselines: Sequence[str] | None = None,
    part: Part = "test",
    on_step: Callable[[str], None] | None = None,
) -> Report:
    """Judge a release beside baselines that are fitted now and the peers' published figures.

    The cases are those of the release's own protocol, seed and sample of users.

    Args:
        baselines: names out of `models.baselines.NAMES`; None: all.
        on_step: called with the name of each model that is done.

    Raises:
        ReleaseError: there is no such release, or it is damaged.
        DataError: the data were never imported, or are others than the release was made from.
    """
    from crossrec.evaluation.report import report
    from crossrec.models.baselines import NAMES
    from crossrec.models.encoder import TextEncoder
    from crossrec.releases.store import ReleaseStore
    from crossrec.training.prepare import encode_cached, split_for

    loaded = ReleaseStore().load(domain, release)
    data = dataset(domain)
    _expect_same_data(data, loaded.release)
    config = loaded.model.config
    training = config.training
    split = split_for(data, config)
    sampled = [f"{training.max_users} users, drawn"] if training.max_users else []
    encoder, tokens = TextEncoder.load(config.encoder), config.model.max_text_tokens
    texts, said = data.catalogue()["text"].to_list(), split.sequences.requests
    vectors = encode_cached(encoder, texts, tokens, progress=False)
    return report(
        data,
        split,
        {"crossrec": loaded.model.score},
        part=part,
        baselines=NAMES if baselines is None else baselines,
        text_vectors=vectors,
        request_dim=vectors.shape[1],
        requests=None if said is None else encode_cached(encoder, said, tokens, progress=False),
        own_requests=None if said is None else _adapted(loaded, encoder, said),
        task=config.task,
        notes=[f"release {loaded.release.version}, seed {training.seed}", *sampled],
        on_step=on_step,
    )


def cross_validate(
    domain: str,
    *,
    folds: int = 5,
    by: By = "user",
    config: Config = None,
    overrides: Sequence[str] = (),
    on_fold: Callable[[int, Evaluation], None] = lambda number, evaluation: None,
) -> FoldReport:
    """Judge settings on folds of users or of time: one training a fold, nothing published.

    Args:
        by: `user`: users never seen in training; `time`: what comes after the training.
        on_fold: called with each fold that is done, from 1, and its figures.

    Raises:
        ConfigError: a setting is wrong.
        DataError: never imported, or the data cannot be cut so.
    """
    from crossrec.training import folds as rooms

    _expect_domains([domain])
    return rooms.cross_validate(
        dataset(domain), settings(config, overrides), folds, by, on_fold=on_fold
    )


def _expect_same_data(data: Dataset, release: Release) -> None:
    if data.content_hash != release.manifest.data_hash:
        raise DataError(
            f"'{release.domain}' {release.version} was made from data"
            f" {release.manifest.data_hash[:12]}, imported are {data.content_hash[:12]}:"
            f" train again, or import the former data"
        )


def _adapted(loaded: LoadedRelease, encoder: TextEncoder, said: list[str]) -> Any:
    """(R, E) of what was said, by the release's own adapter; None where it has none."""
    from crossrec.models.mixed import MixedEncoder

    adapter = loaded.release.adapter_folder
    if adapter is None:
        return None
    mixed, domain = MixedEncoder(encoder), loaded.release.domain
    mixed.add(domain, adapter)
    tokens = loaded.model.config.model.max_text_tokens
    return mixed.encode(said, [domain] * len(said), max_tokens=tokens)


def serve(
    *domains: str,
    host: str = "127.0.0.1",
    port: int = 8000,
    open_on_loopback: bool = False,
    mode: Mode = "haproxy",
    address: str | None = None,
    replicas: int = 1,
) -> Service:
    """Serve the current releases of domains behind one HTTP API; returns once they answer.

    `with crossrec.serve("movies", open_on_loopback=True) as service: …` stops it at the end.

    Args:
        open_on_loopback: no keys, but callers from this machine only.
        mode: haproxy: HAProxy in front; plain: Ray Serve's own proxy.
        address: of a Ray cluster; None: a local one that ends with the service.
        replicas: of each domain.

    Raises:
        UnknownDomainError, ReleaseError: a domain has no release, or they share no encoder.
        ConfigError: the port is taken, or the access is not safe.
        AuthError: keys are asked for and none exists.
        ServiceError: the service did not come up.
    """
    from crossrec.serving.launch import serve_domains

    _expect_domains(domains)
    return serve_domains(
        domains, host, port, open_on_loopback, mode=mode, address=address, replicas=replicas
    )


def recommend(
    domain: str, *, url: str = DEFAULT_URL, api_key: str | None = None, **fields: Any
) -> RecommendResponse:
    """Ask a running service: `recommend("movies", user_id="196", text="…", k=5, explain=True)`.

    Args:
        fields: those of a request, see `serving.messages.RecommendRequest`.

    Raises:
        ServiceError: no service answers at `url`.
        RequestError: the service refuses what was asked for.
    """
    from crossrec.serving.client import Client

    with Client(url, api_key) as client:
        return client.recommend(domain, **fields)


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
) -> WatchReport:
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

    Raises:
        ReleaseError: there is no such release, or it is damaged.
        ConfigError: the domain does not classify, or has no such label.
        DataError: the texts cannot be read.
    """
    from crossrec.monitoring.polarity import Classifier
    from crossrec.monitoring.watching import watch_texts
    from crossrec.releases.store import ReleaseStore

    load_domain(domain)
    return watch_texts(
        Classifier.open(ReleaseStore().load(domain, release)),
        texts,
        label=label,
        every=every,
        topics=topics,
        rule=rule,
        n_topics=n_topics,
    )


def list_releases(domain: str | None = None) -> list[Release]:
    """All releases, or those of one domain, oldest first."""
    from crossrec.releases.store import ReleaseStore

    return ReleaseStore().list(domain)


def diagnose() -> list[Finding]:
    """What this machine has and lacks for crossrec, and what to do about it."""
    from crossrec import diagnosis

    return diagnosis.diagnose()
