import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from utils.runtime.seeding import derive_seed, seed_process, set_deterministic


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


@pytest.mark.parametrize("seed", [0, 2**31 - 1, 2**63 - 1])
def test_a_seed_fixes_all_generators(seed: int) -> None:
    seed_process(seed)
    first = draws()
    seed_process(seed)
    assert draws() == first
    seed_process(seed - 1 if seed else 1)
    assert all(one != other for one, other in zip(draws(), first, strict=True))


def test_derived_seeds_are_fixed_apart_and_in_range() -> None:
    seeds = {derive_seed(seed, iteration) for seed in range(10) for iteration in range(100)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
    assert derive_seed(1, 2) == derive_seed(1, 2) != derive_seed(2, 1)


@pytest.fixture
def _restore() -> Iterator[None]:
    filling = torch.utils.deterministic.fill_uninitialized_memory
    benchmark = torch.backends.cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    torch.utils.deterministic.fill_uninitialized_memory = filling
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = False, benchmark


@pytest.mark.usefixtures("_restore")
def test_deterministic_mode_warns_and_costs_no_memory_pass() -> None:
    set_deterministic(True)
    assert torch.are_deterministic_algorithms_enabled()
    assert torch.is_deterministic_algorithms_warn_only_enabled()
    assert torch.backends.cudnn.deterministic
    assert not torch.backends.cudnn.benchmark
    assert not torch.utils.deterministic.fill_uninitialized_memory
    set_deterministic(False)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark
