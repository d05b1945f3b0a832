"""Signals that need no gradient."""

from __future__ import annotations

import numpy as np

from crossrec.models.text_signals import unit
from crossrec.training.closed_form import common_directions


def test_common_directions_shorten_what_varies_most():
    rng = np.random.default_rng(0)
    text = unit((rng.normal(size=(400, 8)) * [4, 2, 1, 1, 1, 1, 1, 1]).astype(np.float32))
    assert common_directions(text, 0.0).shape == (8, 0)
    common = common_directions(text, 0.5)  # of the first four directions, to the fourth's variance
    metric = np.eye(8) - common @ common.T
    before, after = np.sort(np.linalg.eigvalsh(text.T @ text))[::-1], metric @ (text.T @ text)
    kept = np.sort(np.linalg.eigvals(after).real)[::-1]
    np.testing.assert_allclose(kept[:4], before[3], rtol=1e-3)
    np.testing.assert_allclose(kept[4:], before[4:], rtol=1e-3)
    assert common_directions(text[:3], 0.5).shape == (8, 0)  # too few items to say
