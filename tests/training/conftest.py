"""A city and an encoder that the tests of this room share."""

from __future__ import annotations

import pytest

from crossrec.data.dataset import Dataset
from crossrec.models.encoder import TextEncoder
from tests.models.tiny import make_tiny_encoder
from tests.training.small import make_city


@pytest.fixture(scope="package")
def city(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Sixty users, a hundred restaurants."""
    return make_city(tmp_path_factory.mktemp("city"))


@pytest.fixture(scope="package")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A random encoder of three layers."""
    folder = make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny")
    return TextEncoder.load(folder, device="cpu", precision="fp32")
