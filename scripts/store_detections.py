"""Train one small experiment with many seeds; store their detections in one file for the tests.

    python scripts/store_detections.py --seeds 48

Writes tests/utils/comparison/stored_detections.npz, on which `compare.py` is checked with arms that
are equal and with arms that differ by a known amount. A training run takes half a minute on one
core; finished ones are kept in --runs, a killed one continues. Prints the mAP of every seed.
"""

import argparse
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from configs.reading.fingerprint import fingerprint
from configs.reading.load import load_experiment
from tests.utils.comparison.detection_pool import POOL, DetectionPool, write_pool
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.stored_evaluation import JudgedSplit, read_judged
from utils.runtime.command import run_command
from utils.runtime.errors import UserError
from utils.runtime.machine.threads import prepare_environment

EXPERIMENT = ROOT / "configs" / "quickstart.yaml"
SETTINGS = (
    "data.class_names=[disc, ring, box]", "data.train_images=128", "data.val_images=12",
    "data.test_images=250", "data.side=96", "train.image_size=96", "train.epochs=12",
    "train.precision=float32", "train.threads=1", "train.workers=0", "eval.interval=12",
    "eval.max_detections=20",
)  # fmt: skip
"""Enough to learn something, too little to learn it well; few detections make a small file."""


def main() -> None:
    """Train what is missing and write the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=48, help="training runs: seeds 0, 1, 2, ...")
    parser.add_argument("--runs", type=Path, default=Path("runs/stored_detections"))
    parser.add_argument("--file", type=Path, default=POOL, help="file that is written")
    command = parser.parse_args()
    prepare_environment()
    splits = []
    for run in planned_runs(command.runs.resolve(), command.seeds):
        carry_out(run)
        splits.append(read_judged(run.folder, "test"))
        print(f"seed {run.seed}: mAP50-95 {100 * splits[-1].result['map50_95']:.2f}", flush=True)
    write_pool(command.file, pool_of(splits))
    reached = np.array([100 * split.result["map50_95"] for split in splits])
    spread = f", standard deviation {reached.std(ddof=1):.2f}" if len(reached) > 1 else ""
    print(f"{len(reached)} training runs: mean {reached.mean():.2f}{spread} points")
    print(f"{command.file}: {command.file.stat().st_size / 1024:.0f} KiB")


def planned_runs(folder: Path, seeds: int) -> list[PlannedRun]:
    """Return the training runs, as a comparison of one arm would start them."""
    overrides = (*SETTINGS, f"data.path={folder / 'data'}")
    return [
        PlannedRun(
            arm="pool",
            seed=seed,
            experiment=EXPERIMENT,
            overrides=overrides,
            folder=folder / f"seed{seed}",
        )
        for seed in range(seeds)
    ]


def carry_out(run: PlannedRun) -> None:
    """Train and evaluate a run, or resume it; does nothing if it is done.

    Raises:
        UserError: a program ended in an error.
    """
    while command := run.next_command():
        run.folder.parent.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"{run.title} failed:\n{done.stderr[-2000:]}")


def pool_of(splits: Sequence[JudgedSplit]) -> DetectionPool:
    """Return what all training runs found in the test split."""
    return DetectionPool(
        truths=splits[0].truths,
        runs=tuple(split.detections for split in splits),
        about=about(len(splits)),
    )


def about(seeds: int) -> dict[str, Any]:
    """Return the provenance of the file, without details of this machine."""
    loaded = load_experiment(EXPERIMENT, SETTINGS)
    data = loaded.experiment.data.model_copy(update={"path": ""})
    experiment = loaded.experiment.model_copy(update={"data": data})
    return {
        "command": f"python scripts/store_detections.py --seeds {seeds}",
        "experiment": EXPERIMENT.relative_to(ROOT).as_posix(),
        "settings": list(SETTINGS),
        "config_hash": fingerprint(experiment, loaded.graph),
        "packages": {"torch": torch.__version__, "numpy": np.__version__},
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    run_command(main, user_errors=(UserError,))
