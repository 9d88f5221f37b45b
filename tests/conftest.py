"""Fixtures shared by all tests: where reference numbers and data lie, one compute thread.

torch is imported inside: the process that hands tests to others needs none.
"""

import gc
import os
import signal
import sys
import tempfile
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is slow, not wrong: time limits of single examples would fail tests by chance.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

# Programs that tests start import hundreds of modules of ours: compiled once, not by each anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

GOLDEN = Path(__file__).parent / "golden"
"""Reference numbers that travel with the repository (ORIGIN.md there)."""
SHARED = Path(os.environ.get("FOCALDET_SHARED", Path(__file__).parents[2] / "shared"))
"""Weights, data sets and reference numbers that do not: absent in a user's clone."""


def golden_files(pattern: str) -> list[Path]:
    """Return the reference files of a pattern: the repository's, then further ones of `SHARED`."""
    own = sorted(GOLDEN.glob(pattern))
    names = {path.name for path in own}
    return own + [p for p in sorted((SHARED / "golden").glob(pattern)) if p.name not in names]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Leave what importing and collecting makes, which stays to the end, to no collection."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(autouse=True, scope="session")
def _interruptible() -> None:
    """Let programs be interrupted: those that a shell runs in the background ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _autograd_before_compiling() -> None:
    """Autograd that begins after torch's compiler has run cannot be used in forked processes."""
    import torch

    torch.zeros(1, requires_grad=True).sum().backward()


@pytest.fixture(autouse=True, scope="session")
def _private_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["FOCALDET_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def _private_temporary_files(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let killed programs and libraries leave theirs in pytest's folder, which it clears."""
    if sys.platform == "linux":  # elsewhere its path is too long for the name of a socket
        os.environ.setdefault("RAY_TMPDIR", tempfile.gettempdir())  # as it is for those of Ray
        os.environ["TMPDIR"] = str(tmp_path_factory.mktemp("t", numbered=False))
        tempfile.tempdir = None


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of data sets, weights and large reference files; absent in a user's clone."""
    if not SHARED.is_dir():
        pytest.skip(f"reference data not found at {SHARED}; set FOCALDET_SHARED")
    return SHARED


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated data that trainings of seconds use; a test that changes them takes a copy."""
    from tests.run_programs import write_dataset

    return write_dataset(tmp_path_factory.mktemp("data") / "scenes")
