"""Loader workers may hold more files open than the 1024 that systems start programs with."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from data.loading.workers import WorkerLoader
from utils.runtime.machine.handles import ENOUGH, raise_handle_limit

resource: Any = pytest.importorskip("resource")
FEW = 128


@pytest.fixture
def few_handles() -> Iterator[int]:
    """Start with a low limit; give the one that can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, hard))
    yield ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_limit_is_raised_to_what_the_system_grants(few_handles: int) -> None:
    raise_handle_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == few_handles


def test_a_higher_limit_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = (ENOUGH + 1, ENOUGH + 2)
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: pytest.fail("was lowered"))
    raise_handle_limit()


def _own_limit(keys: Sequence[int]) -> list[int]:
    """Return the limit of the process that loads."""
    return [int(resource.getrlimit(resource.RLIMIT_NOFILE)[0])]


@pytest.mark.parametrize("workers", [0, 1])
def test_whoever_loads_images_has_the_higher_limit(few_handles: int, workers: int) -> None:
    loader: WorkerLoader[list[int]] = WorkerLoader(
        _own_limit,
        [[0]],
        workers=workers,
        pin_memory=False,
    )
    try:
        assert list(loader) == [[few_handles]]
    finally:
        loader.close()
