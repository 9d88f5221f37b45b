"""The Ray engine on a cluster of this machine, with programs that take milliseconds."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.utils.comparison.runs.test_local_engine import run_of, starts
from utils.comparison.runs import ray_engine
from utils.comparison.runs.ray_engine import run_on_ray
from utils.comparison.runs.run_locks import take_claim
from utils.runtime.errors import UserError

ENVIRONMENT = {"RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
"""Ray's workers are nice to others, so that a busy machine would starve the test."""


def test_without_the_package_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install ray"):
        run_on_ray([], folder=tmp_path, cpus_per_run=1, gpus_per_run=0)


@pytest.fixture(scope="module")
def _cluster() -> Iterator[None]:
    ray = pytest.importorskip("ray")
    os.environ.update(ENVIRONMENT)
    ray.init(
        num_cpus=2,
        log_to_driver=False,
        include_dashboard=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parents[4])}},
    )
    yield
    ray.shutdown()
    for name in ENVIRONMENT:
        del os.environ[name]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_cluster")
def test_every_run_is_done_once_and_failures_cost_no_other(tmp_path: Path) -> None:
    bad = run_of(tmp_path, "bad", program="print('no such loss'); raise SystemExit(2)")
    runs = [bad, *(run_of(tmp_path, arm, seed) for seed in (0, 1) for arm in ("a", "b"))]
    checked: list[int] = []
    failures = run_on_ray(
        runs, folder=tmp_path, cpus_per_run=1, gpus_per_run=0, check=lambda: checked.append(1)
    )
    assert [(failure.title, failure.message) for failure in failures] == [
        ("bad seed 0", "no such loss")
    ]
    assert json.loads((tmp_path / "failures/bad-seed0.json").read_text())["exit_code"] == 2
    assert [starts(run) for run in runs[1:]] == [1, 1, 1, 1]
    assert len(checked) == len(runs)
    again = run_on_ray(runs[1:], folder=tmp_path, cpus_per_run=1, gpus_per_run=0)
    assert again == []
    assert [starts(run) for run in runs[1:]] == [1, 1, 1, 1]
    assert take_claim(tmp_path / "claims", runs[1].key) is not None


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_cluster")
def test_a_task_that_ray_loses_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_engine, "RETRIES", 0)
    lost = run_of(tmp_path, "lost", program="import os; os.kill(os.getppid(), 9)")
    (failure,) = run_on_ray([lost], folder=tmp_path, cpus_per_run=1, gpus_per_run=0)
    assert failure.key == "lost-seed0"
    assert (tmp_path / "failures/lost-seed0.json").is_file()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("_cluster")
def test_a_check_that_raises_ends_everything(tmp_path: Path) -> None:
    def check() -> None:
        raise UserError("not paired")

    with pytest.raises(UserError, match="not paired"):
        run_on_ray(
            [run_of(tmp_path, "a")], folder=tmp_path, cpus_per_run=1, gpus_per_run=0, check=check
        )
