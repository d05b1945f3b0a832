from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from crossrec.models.tensor_file import map_tensors

RNG = np.random.default_rng(0)


def test_every_kind_of_array_is_read_as_it_was_written(tmp_path: Path):
    tensors = {
        "a": RNG.normal(size=(3, 5)).astype(np.float32),
        "b": RNG.normal(size=7).astype(np.float16),
        "c": RNG.integers(0, 9, (2, 3, 4)).astype(np.int32),
        "d": RNG.integers(0, 9, 3),
        "e": np.array([65_535], np.uint16),
        "flags": np.array([True, False, True]),
        "nothing": np.zeros((0, 4), np.float32),
        "scalar": np.array(2.5),
    }
    save_file(tensors, tmp_path / "t", metadata={"made by": "a test"})
    found = map_tensors(tmp_path / "t")
    assert set(found) == set(tensors)
    for name, values in tensors.items():
        assert (found[name].dtype, found[name].shape) == (values.dtype, values.shape)
        np.testing.assert_array_equal(found[name], values)
        assert found[name].flags.aligned


def test_the_file_cannot_be_written_through_the_arrays(tmp_path: Path):
    save_file({"a": np.zeros(3)}, tmp_path / "t")
    with pytest.raises(ValueError, match="read-only"):
        map_tensors(tmp_path / "t")["a"][0] = 1


@pytest.mark.parametrize("content", [b"abc", b"\xff" * 40, b"\x02" + b"\0" * 7 + b"[]"])
def test_another_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(ValueError):
        map_tensors(tmp_path / "t")


def test_a_file_that_is_cut_off_is_refused(tmp_path: Path):
    save_file({"a": np.zeros(100)}, tmp_path / "t")
    (tmp_path / "t").write_bytes((tmp_path / "t").read_bytes()[:-8])
    with pytest.raises(ValueError):
        map_tensors(tmp_path / "t")
