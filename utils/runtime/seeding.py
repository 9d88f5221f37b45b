"""Random seeds: one for all generators, and one derived for every iteration."""

import random

import numpy as np
import torch


def seed_process(seed: int) -> None:
    """Seed the global generators of Python, numpy and torch (all devices)."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def derive_seed(seed: int, *keys: int) -> int:
    """Return a 63-bit seed that depends only on `seed` and the keys (non-negative numbers).

    A run reseeds with (seed, iteration) before each forward pass: dropout and the like are then
    the same after a resume, for every number of loader workers and for every loss compared.
    """
    words = np.random.SeedSequence((seed, *keys)).generate_state(1, np.uint64)
    return int(words[0] >> np.uint64(1))


def set_deterministic(enabled: bool) -> None:
    """Prefer deterministic algorithms; an operation that has none warns once instead of failing."""
    # use_deterministic_algorithms() does the same and imports torch's compiler first: 2 s.
    torch.set_deterministic_debug_mode("warn" if enabled else "default")
    torch.backends.cudnn.deterministic = enabled
    torch.backends.cudnn.benchmark = not enabled
    # Filling every fresh tensor would cost a pass over memory and only help code that reads
    # memory it never wrote.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
