"""`crossrec transfer`: what is printed of a report."""

from __future__ import annotations

import numpy as np
import pytest

from crossrec import verbs
from crossrec.evaluation.protocols import Evaluation
from crossrec.training.transfer import SCRATCH, Attempt, Peer, ShareReport, TransferReport
from tests.commands.conftest import Run


def judged(ranks: list[int]) -> Evaluation:
    """Cases in which the target stood at these ranks."""
    return Evaluation(
        protocol="leave_one_out",
        part="test",
        fingerprint="",
        n_items=100,
        ks=(10,),
        users=np.arange(len(ranks)),
        ranks=np.array(ranks),
        warm=np.ones(len(ranks), bool),
        coverage={},
    )


def test_gains_are_signed_and_in_brackets_where_they_may_be_noise(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = judged([50, 50, 50, 1])  # NDCG@10: 1/4
    starts = {SCRATCH: scratch, "sure": judged([1, 1, 1, 1]), "noise": judged([1, 50, 50, 50])}
    attempts = [Attempt(0.1, name, found, found, 0.0) for name, found in starts.items()]
    share = ShareReport(0.1, 4, attempts, [Peer("ease", scratch, scratch)], "sure", True)
    report = TransferReport("films", ["sure", "noise"], "c" * 64, 0, {"sure": 0.7}, [share], {})
    monkeypatch.setattr(verbs, "transfer", lambda *sources, **options: report)
    answer = run("transfer", "--from", "sure", "--to", "films")
    assert answer.exit_code == 0, answer.output
    cells = {line.split()[0]: line.split()[1:] for line in answer.output.splitlines() if line}
    assert cells["scratch"] == ["0.2500"]
    assert cells["sure"] == ["1.0000", "+0.7500", "*"]
    assert cells["noise"] == ["0.2500", "(+0.0000)"]
    assert "in brackets where the 95 % interval over users holds 0" in answer.output
