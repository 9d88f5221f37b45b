"""What `train.compile=network` costs and saves; `step.py --compile` runs it."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch

from benchmarks.measure import Figure, alternate, compared
from benchmarks.training_problem import TrainingProblem
from utils.engine.compiled import Compiler
from utils.engine.learner import Learner

CACHE = "TORCHINDUCTOR_CACHE_DIR"
Timer = Callable[[Callable[[], object], int], float]


def compiled_figures(problem: TrainingProblem, timer: Timer, repetitions: int) -> list[Figure]:
    """Return the time to compile with an empty cache and with a full one, and that of steps.

    Compiling is timed on the clock: it uses more than this process.
    """
    batch = problem.batch()
    plain = problem.learner("train.precision=float32")
    plain.learn(batch, 0)
    with _empty_cache():
        _, first = _compiled(problem)
        compiled, again = _compiled(problem)
        sides = {"plain": partial(plain.learn, batch, 0), "own": partial(compiled.learn, batch, 0)}
        found = alternate(
            {side: partial(timer, step, 1) for side, step in sides.items()}, 2 * repetitions
        )
    title = f"{problem.graph}, {problem.image_size} px, batch {problem.batch_size}, float32"
    saved_s = (found["plain"] - found["own"]) / 1e3
    figures = [
        Figure(name=f"first step of {title}, compiling, s", ours=first),
        Figure(name="the same with that in torch's cache, s", ours=again),
        compared(
            f"compiled step of {title}, ms (peer: not compiled)",
            found["own"],
            found["plain"],
            goal=None,
            limit=None,
        ),
        Figure(name="saved per million pixels, s", ours=saved_s / _megapixels(problem)),
    ]
    if saved_s > 0:
        figures.append(Figure(name="batches that save the first step", ours=first / saved_s))
    return figures


def _megapixels(problem: TrainingProblem) -> float:
    return problem.batch_size * problem.image_size**2 / 1e6


def _compiled(problem: TrainingProblem) -> tuple[Learner, float]:
    """Return a learner with a compiled step, and how long the first one took."""
    torch.compiler.reset()  # what this process has compiled before is forgotten, the cache is not
    learner, batch = problem.learner("train.precision=float32"), problem.batch()
    learner.compile(Compiler(batch_size=problem.batch_size))
    start = time.perf_counter()
    learner.learn(batch, 0)
    return learner, time.perf_counter() - start


@contextmanager
def _empty_cache() -> Iterator[None]:
    """Let torch keep compiled code in a new folder inside."""
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory(prefix="focaldet-compiled-") as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            os.environ.pop(CACHE)
            if before is not None:
                os.environ[CACHE] = before
