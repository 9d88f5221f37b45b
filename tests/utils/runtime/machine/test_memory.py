"""Each test in a process of its own: the settings hold for the rest of a process."""

import subprocess
import sys

import pytest
import torch

from utils.runtime.machine.memory import (
    MIB,
    free_memory,
    is_out_of_memory,
    total_memory,
    used_memory,
)

COUNT_PAGES = """
import resource, sys
import numpy as np
from utils.runtime.machine.memory import reuse_freed_memory
if sys.argv[1] == "reuse":
    assert reuse_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(100):
    images = [np.full((640, 640, 3), 7, np.uint8) for _ in range(6)]
    del images
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 600)
"""


def pages_per_image(mode: str) -> float:
    command = [sys.executable, "-c", COUNT_PAGES, mode]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


COUNT_PAGES_OF_STEPS = """
import resource, sys
from utils.runtime.machine.memory import ALL_BYTES, KEPT_BYTES, reuse_freed_memory
assert reuse_freed_memory(ALL_BYTES if sys.argv[1] == "all" else KEPT_BYTES)
def step():
    maps = [b"x" * (20 << 20) for _ in range(10)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a property of glibc")
def test_a_process_that_trains_keeps_what_its_last_step_freed() -> None:
    def pages(mode: str) -> int:
        command = [sys.executable, "-c", COUNT_PAGES_OF_STEPS, mode]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    assert pages("images") > 10_000
    assert pages("all") < 100


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a property of glibc")
def test_images_use_the_same_pages_again() -> None:
    assert pages_per_image("as it is") > 100
    assert pages_per_image("reuse") < 20


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from utils.runtime.machine import memory

    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.reuse_freed_memory()
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: object())
    assert not memory.reuse_freed_memory()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 5 GB)"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you"), True),
        (MemoryError(), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_says_that_memory_is_used_up(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_memory_of_this_machine() -> None:
    cpu = torch.device("cpu")
    assert 0 < free_memory(cpu) <= total_memory(cpu)
    before = used_memory(cpu)
    kept = torch.ones(50 << 20)  # 200 MiB
    assert used_memory(cpu) - before > 150 * MIB
    assert len(kept)
