"""What the encoder's process keeps: a process of its own, which sets up its memory before torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SHAPES = """
import os, sys
if sys.argv[1] == "kept":
    from crossrec.serving.memory import keep_memory
    keep_memory()
import torch
from torch.nn.functional import linear

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

torch.set_num_threads(1)
wide, narrow = torch.ones(1536, 384).bfloat16(), torch.ones(384, 1536).bfloat16()
def layer(n):
    linear(linear(torch.ones(n, 384).bfloat16(), wide), narrow)
layer(700)
before = resident()
for n in range(1, 500):
    layer(n)
print(resident() - before)
"""


def grown_mib(how: str) -> float:
    """Of a process that has met batches of 500 shapes."""
    there = {name: value for name, value in os.environ.items() if "CACHE_CAPACITY" not in name}
    ran = subprocess.run(
        [sys.executable, "-c", SHAPES, how], env=there, capture_output=True, text=True, check=True
    )
    return float(ran.stdout)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux' /proc")
def test_batches_of_ever_new_shapes_do_not_fill_the_memory():
    assert grown_mib("kept") < max(20, grown_mib("plain") / 4)
