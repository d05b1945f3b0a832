"""Encoders that the tests of this room share."""

from __future__ import annotations

import pytest

from crossrec.models.encoder import TextEncoder
from tests.models.tiny import make_tiny_encoder


@pytest.fixture(scope="package")
def minilm() -> TextEncoder:
    """The default encoder in fp32 on the CPU."""
    return TextEncoder.load(device="cpu", precision="fp32")


@pytest.fixture(scope="package")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """A random encoder of three layers, loaded by path."""
    folder = make_tiny_encoder(tmp_path_factory.mktemp("encoders") / "tiny")
    return TextEncoder.load(folder, device="cpu", precision="fp32")
