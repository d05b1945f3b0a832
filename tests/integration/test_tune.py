"""A search on Ray: trials on record, the hopeless stopped, cut off and resumed, best as a YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from crossrec.config import Placement, load_config
from crossrec.errors import ConfigError, TrainingError
from crossrec.training.pipeline import train_here
from crossrec.tuning.search import tune_domain
from crossrec.tuning.selection import TRIALS_FILE, read_trials
from crossrec.tuning.spaces import Options, Space, Span
from tests.integration.towns import N_USERS, small

pytestmark = pytest.mark.ray

SPACE: Space = {
    # The ends are so far apart that the scheduler has something to stop.
    "training.learning_rate": Span(low=1e-5, high=3e-2, log=True),
    "model.history_length": Options(options={"short": 5, "long": 20}),
}
CONFIG = small("training.max_epochs=9", "training.patience=9")


def _search(n_trials: int, run_name: str, **more: Any) -> Any:
    return tune_domain(
        "tiny_city", CONFIG, Placement(), n_trials, space=SPACE, run_name=run_name, **more
    )


@pytest.fixture(scope="module")
def searched(towns_home: Path, ray_cluster: None) -> Any:
    """Six one-worker trials, up to four at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROSSREC_HOME", str(towns_home))
        return _search(6, "six")


def test_every_trial_is_on_record_with_its_point_and_its_end(searched: Any):
    assert [one.trial for one in searched.trials] == [1, 2, 3, 4, 5, 6]
    for one in searched.trials:
        assert set(one.point) == set(SPACE)
        assert one.state in ("complete", "stopped early")
        assert 1 <= one.epochs <= 9
        assert len(one.figures) == one.epochs
        assert max(one.figures) == one.value
    assert any(one.epochs < 9 for one in searched.trials)
    assert any(one.state == "complete" for one in searched.trials)


def test_the_first_trial_is_the_config_as_given_so_the_best_is_never_worse(searched: Any):
    first = searched.trials[0]
    assert first.point == {"training.learning_rate": 0.01, "model.history_length": "long"}
    assert searched.value >= first.value


def test_the_best_yaml_trains_to_the_value_of_its_trial(searched: Any, towns: Path):
    config = load_config(searched.config_file)
    assert config == searched.config
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as a trial has: sums in another order end elsewhere
    try:
        result = train_here("tiny_city", config, publish=False)
    finally:
        torch.set_num_threads(threads)
    best = max(epoch["validation_ndcg@10"] for epoch in result.history)
    one_rank = 0.3 / N_USERS  # from the tenth place out of the list, for one user
    assert best == pytest.approx(searched.value, abs=2 * one_rank)


def test_a_search_that_was_cut_off_goes_on_where_it_was(searched: Any, towns: Path):
    record = searched.folder / TRIALS_FILE
    lines = record.read_text(encoding="utf-8").splitlines(keepends=True)
    record.write_text("".join(lines[:4]) + lines[4][:20], encoding="utf-8")
    kept = read_trials(searched.folder)
    events: list[dict[str, Any]] = []
    resumed = _search(6, "six", on_event=events.append)
    assert len(resumed.trials) == 6
    assert all(one in resumed.trials for one in kept)
    assert events[-1]["completed"] == 6
    assert min(event["completed"] for event in events) == 4  # none of the four ran again


def test_a_search_under_a_name_with_another_space_is_refused(towns: Path, searched: Any):
    with pytest.raises(TrainingError, match=r"run 'six' .* another space; choose another"):
        tune_domain("tiny_city", CONFIG, Placement(), 6, run_name="six")


def test_when_every_trial_fails_the_reason_is_told(towns: Path, ray_cluster: None):
    config = small("training.max_epochs=1", "encoder=/no/such/encoder")
    with pytest.raises(TrainingError, match=r"no trial of 'tiny_city' gave a figure.*no/such/enc"):
        tune_domain("tiny_city", config, Placement(), 1, space=SPACE)


def test_a_wrong_space_is_refused_before_anything_starts(towns: Path):
    space: Space = {"model.dimm": Span(low=8, high=16)}
    with pytest.raises(ConfigError, match=r"cannot vary 'model.dimm': did you mean 'model.dim'"):
        tune_domain("tiny_city", CONFIG, Placement(), 1, space=space)
