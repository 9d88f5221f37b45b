"""Carries out runs on a Ray cluster whose nodes share the folder of the comparison."""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from utils.comparison.local_engine import Failure, LocalEngine
from utils.comparison.plan import PlannedRun
from utils.runtime.errors import UserError


def run_on_ray(
    runs: Sequence[PlannedRun], *, folder: Path, cpus_per_run: float, gpus_per_run: float
) -> list[Failure]:
    """Do the runs, each as one Ray task; return those that failed.

    Claims still hold, so a second start, or a machine beside the cluster, does nothing twice.

    Args:
        runs: what is to be done.
        folder: of the comparison, at the same place on every node.
        cpus_per_run: cores that Ray keeps for a run.
        gpus_per_run: GPUs, or a share of one, that Ray keeps for a run.

    Raises:
        UserError: the package ray is not installed.
    """
    if find_spec("ray") is None:
        raise UserError("engine=ray needs the package ray: pip install 'ray[default]'")
    ray = import_module("ray")
    if not ray.is_initialized():
        ray.init(log_to_driver=False)
    task = ray.remote(num_cpus=cpus_per_run, num_gpus=gpus_per_run, max_retries=2)(_one_run)
    failures = ray.get([task.remote(run, folder.resolve()) for run in runs])
    return [failure for failed in failures for failure in failed]


def _one_run(run: PlannedRun, folder: Path) -> list[Failure]:
    return LocalEngine(folder=folder, jobs=1).run([run])
