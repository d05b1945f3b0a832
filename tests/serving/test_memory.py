"""What processes keep of the memory that is free, each in a process of its own: the encoder sets it
up before torch, a replica keeps what a search needs until the search ends.
"""

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


SEARCH = """
import os, resource
from contextlib import contextmanager, nullcontext
import numpy as np
from crossrec.serving.memory import memory_kept

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def faults(how):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    with how():
        for _ in range(50):
            np.ones(2**20 // 8)
            np.ones(2**21 // 8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

@contextmanager
def beside_one_that_ended():
    with memory_kept():
        with memory_kept():
            pass
        yield

faults(nullcontext), faults(memory_kept)
before = resident()
kept = [faults(how) for how in (memory_kept, beside_one_that_ended)]
grown = resident() - before
print(faults(nullcontext), *kept, grown)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads Linux' /proc")
def test_a_search_asks_for_its_pages_once_and_gives_them_back():
    usual = {"MALLOC_MMAP_THRESHOLD_": str(2**17), "MALLOC_TRIM_THRESHOLD_": str(2**17)}
    ran = subprocess.run(
        [sys.executable, "-c", SEARCH],
        env=os.environ | usual,
        capture_output=True,
        text=True,
        check=True,
    )
    usually, kept, beside, grown = map(float, ran.stdout.split())
    assert max(kept, beside) < usually / 5
    assert grown < 1.5
