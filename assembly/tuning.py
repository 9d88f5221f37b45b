"""The search for each arm's best settings: equally many trials, judged on the validation split."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from configs.design import LoadedDesign
from configs.yaml_reader import read_yaml
from utils.comparison.focal_grid import focal_point
from utils.comparison.judged_run import read_judged
from utils.comparison.plan import PlannedRun
from utils.comparison.plots import best_of
from utils.runtime.atomic import write_json
from utils.runtime.errors import UserError

TUNING_NAME = "tuning.json"


def chosen_settings(
    design: LoadedDesign,
    folder: Path,
    cut: Sequence[str],
    carry_out: Callable[[Sequence[PlannedRun]], object],
) -> dict[str, Any]:
    """Run all trials and return each arm's best settings; nothing where no tuning is asked for.

    Raises:
        UserError: an arm has no trial that finished.
    """
    tuning = design.settings.tuning
    if tuning is None:
        return {}
    runs = trial_runs(design, folder, cut)
    carry_out(runs)
    log: dict[str, Any] = {}
    for arm, trials in tuning.trials.items():
        scores = [
            _score([run for run in runs if (run.arm, run.trial) == (arm, number)])
            for number in range(len(trials))
        ]
        known = [score for score in scores if score is not None]
        if not known:
            raise UserError(f"no trial of arm {arm} finished; {folder / 'logs'} says why")
        best = max(range(len(trials)), key=lambda number: scores[number] or -1.0)
        log[arm] = {
            "trials": [
                {"settings": dict(trial), "map50_95": score, "focal": _focal(runs, arm, number)}
                for number, (trial, score) in enumerate(zip(trials, scores, strict=True))
            ],
            "best": best,
            "best_of": best_of(known),
        }
    write_json(folder / TUNING_NAME, log)
    return {arm: tuning.trials[arm][entry["best"]] for arm, entry in log.items()}


def trial_runs(design: LoadedDesign, folder: Path, cut: Sequence[str]) -> list[PlannedRun]:
    """Return the trainings of all trials: shorter, on seeds of their own."""
    tuning = design.settings.tuning
    if tuning is None:
        return []
    runs = []
    for arm, trials in tuning.trials.items():
        full = design.arms[arm].experiment.train.epochs
        short = max(1, round(full * tuning.epochs_share))
        for number, trial in enumerate(trials):
            overrides = (*design.overrides(arm, trial), *cut, f"train.epochs={short}")
            runs += [
                PlannedRun(
                    arm=arm,
                    seed=seed,
                    trial=number,
                    experiment=design.experiment_path,
                    overrides=overrides,
                    folder=folder / "tuning" / arm / f"trial{number}" / f"seed{seed}",
                )
                for seed in tuning.seeds
            ]
    return runs


def _focal(runs: Sequence[PlannedRun], arm: str, trial: int) -> dict[str, Any] | None:
    """Return the trial's place among focal losses; None for other losses and failed trials."""
    own = [run.folder / "config.yaml" for run in runs if (run.arm, run.trial) == (arm, trial)]
    return focal_point(read_yaml(own[0]).values) if own[0].is_file() else None


def _score(runs: Sequence[PlannedRun]) -> float | None:
    """Return the mean validation mAP in points; None unless every seed finished."""
    if not all(run.is_done for run in runs):
        return None
    results = [read_judged(run.folder, "val").result for run in runs]
    return 100.0 * float(np.mean([result["map50_95"] for result in results]))
