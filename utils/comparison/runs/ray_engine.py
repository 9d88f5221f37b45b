"""Executes runs on a Ray cluster whose nodes share the folder of the comparison."""

import logging
import os
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from utils.comparison.runs.local_engine import Failure, LocalEngine
from utils.comparison.runs.plan import PlannedRun
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.program import IMPORT_ROOT

logger = logging.getLogger(__name__)

RETRIES = 2
"""Times that a run is sent to another node when its node is lost."""


def run_on_ray(
    runs: Sequence[PlannedRun],
    *,
    folder: Path,
    cpus_per_run: float,
    gpus_per_run: float,
    check: Callable[[], None] = lambda: None,
    extra: tuple[str, ...] = (),
) -> list[Failure]:
    """Execute the runs, each as one Ray task; return those that failed.

    A cluster is used where $RAY_ADDRESS names one, else one is started on this machine. Claims
    still hold, so a second start, or a machine beside the cluster, does nothing twice.

    Args:
        runs: what is to be done.
        folder: of the comparison, at the same place on every node, as are program and data.
        cpus_per_run: cores that Ray keeps for a run.
        gpus_per_run: GPUs, or a share of one, that Ray keeps for a run.
        check: called after every run; may raise to end everything.
        extra: settings without influence on results, such as threads.

    Raises:
        UserError: the package ray is not installed.
    """
    if find_spec("ray") is None:
        raise UserError("engine=ray needs the package ray: pip install ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray would report its use otherwise
    ray = import_module("ray")
    if not ray.is_initialized():
        ray.init(
            log_to_driver=False,
            include_dashboard=False,
            runtime_env={"env_vars": {"PYTHONPATH": str(IMPORT_ROOT)}},
        )
    task = ray.remote(num_cpus=cpus_per_run, num_gpus=gpus_per_run, max_retries=RETRIES)(_one_run)
    here, folder = Path.cwd(), folder.resolve()
    waiting = {task.remote(run, folder, here, extra): run for run in runs if not run.is_done}
    failures: list[Failure] = []
    while waiting:
        (done,), _ = ray.wait(list(waiting), num_returns=1)
        run = waiting.pop(done)
        failures += _outcome(ray, done, run, folder)
        logger.info("%s is done; %d runs are left", run.title, len(waiting))
        check()
    return failures


def _one_run(run: PlannedRun, folder: Path, here: Path, extra: tuple[str, ...]) -> list[Failure]:
    os.chdir(here)
    return LocalEngine(folder=folder, jobs=1, extra=extra).run([run])


def _outcome(ray: Any, done: object, run: PlannedRun, folder: Path) -> list[Failure]:
    """Return what became of a task; a node that was lost costs its run alone."""
    try:
        found: list[Failure] = ray.get(done)
    except ray.exceptions.RayError as error:
        message = str(error).strip().splitlines()[-1]
        logger.warning("%s failed on Ray: %s", run.title, message)
        (folder / "failures").mkdir(exist_ok=True)
        content = {"title": run.title, "exit_code": None, "message": message}
        write_json(folder / "failures" / f"{run.key}.json", content)
        return [Failure(key=run.key, title=run.title, message=message)]
    for failure in found:
        logger.warning("%s failed; %s says more", failure.title, folder / "logs")
    return found
