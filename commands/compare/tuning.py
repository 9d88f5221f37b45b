"""Hyperparameter search for each arm: equally many trials, evaluated on the validation split."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from configs.reading.design import LoadedDesign
from configs.reading.yaml_reader import read_yaml
from configs.schema.tuning import Overrides, SearchedTrials
from utils.comparison.runs.arm_search import ArmSearch
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.stored_evaluation import read_judged
from utils.comparison.summary.focal_grid import focal_point
from utils.comparison.summary.plots import best_of
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json

TUNING_NAME = "tuning.json"
JOURNAL_NAME = "trials.journal"
CarryOut = Callable[[Sequence[PlannedRun]], object]
"""Executes runs; one that fails is skipped."""


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings that are tried on top of an arm's own, and their training runs, one a seed."""

    settings: Overrides
    runs: tuple[PlannedRun, ...]

    @property
    def score(self) -> float | None:
        """The mean validation mAP in points; None unless every seed finished."""
        if not all(run.is_done for run in self.runs):
            return None
        results = [read_judged(run.folder, "val").result for run in self.runs]
        return 100.0 * float(np.mean([result["map50_95"] for result in results]))

    @property
    def focal(self) -> dict[str, Any] | None:
        """The place among focal losses; None for other losses and failed trials."""
        config = self.runs[0].folder / "config.yaml"
        return focal_point(read_yaml(config).values) if config.is_file() else None


@dataclass(frozen=True, slots=True)
class Tuning:
    """The trials of a design, before their parameters are sampled."""

    design: LoadedDesign
    folder: Path
    """Of the comparison."""
    cut: Sequence[str]
    """Settings that give the data a test split."""

    def trial(self, arm: str, number: int, settings: Overrides) -> Trial:
        """Return a trial: its training runs are shorter, on seeds of their own."""
        tuning = self.design.settings.tuning
        assert tuning is not None, "only a design with tuning has trials"
        full = self.design.arms[arm].experiment.train.epochs
        short = max(1, round(full * tuning.epochs_share))
        return Trial(
            settings,
            tuple(
                PlannedRun(
                    arm=arm,
                    seed=seed,
                    trial=number,
                    experiment=self.design.experiment_path,
                    overrides=(
                        *self.design.overrides(arm, settings),
                        *self.cut,
                        f"train.epochs={short}",
                    ),
                    folder=_run_folder(self.folder, arm, number, seed),
                )
                for seed in tuning.seeds
            ),
        )


def chosen_settings(
    design: LoadedDesign, folder: Path, cut: Sequence[str], carry_out: CarryOut
) -> dict[str, Any]:
    """Run all trials and return each arm's best settings; nothing without tuning.

    Raises:
        UserError: an arm has no trial that finished; the search library is not there.
    """
    settings, tuning = design.settings.tuning, Tuning(design, folder, cut)
    if settings is None:
        return {}
    if isinstance(settings, SearchedTrials):
        trials = _search(tuning, settings, carry_out)
    else:
        trials = {
            arm: [tuning.trial(arm, number, one) for number, one in enumerate(own)]
            for arm, own in settings.trials.items()
        }
        carry_out([run for own in trials.values() for trial in own for run in trial.runs])
    log = {arm: _entry(arm, own, folder) for arm, own in trials.items()}
    write_json(folder / TUNING_NAME, log)
    return {arm: trials[arm][entry["best"]].settings for arm, entry in log.items()}


def trial_folders(design: LoadedDesign, folder: Path) -> list[Path]:
    """Return the folders of the training runs of all trials, whatever settings they will get."""
    tuning = design.settings.tuning
    if tuning is None:
        return []
    return [
        _run_folder(folder, arm, number, seed)
        for arm in design.settings.arms
        for number in range(tuning.num_trials)
        for seed in tuning.seeds
    ]


def _run_folder(folder: Path, arm: str, number: int, seed: int) -> Path:
    return folder / "tuning" / arm / f"trial{number}" / f"seed{seed}"


def _search(
    tuning: Tuning, settings: SearchedTrials, carry_out: CarryOut
) -> dict[str, list[Trial]]:
    """Sample, run and evaluate trials round by round; the journal and finished runs are reused."""
    journal = tuning.folder / JOURNAL_NAME
    trials: dict[str, list[Trial]] = {arm: [] for arm in tuning.design.settings.arms}
    searches = {arm: ArmSearch(arm, settings, journal=journal) for arm in trials}
    for numbers in settings.rounds:
        drawn = [(arm, number) for arm in trials for number in numbers]
        for arm, number in drawn:
            trials[arm].append(tuning.trial(arm, number, searches[arm].draw(number)))
        carry_out([run for arm, number in drawn for run in trials[arm][number].runs])
        for arm, number in drawn:
            searches[arm].tell(number, trials[arm][number].score)
    return trials


def _entry(arm: str, trials: Sequence[Trial], folder: Path) -> dict[str, Any]:
    """Return the entry of an arm in tuning.json.

    Raises:
        UserError: no trial finished.
    """
    scores = [trial.score for trial in trials]
    known = [score for score in scores if score is not None]
    if not known:
        raise UserError(f"no trial of arm {arm} finished; {folder / 'logs'} says why")
    return {
        "trials": [
            {"settings": dict(trial.settings), "map50_95": score, "focal": trial.focal}
            for trial, score in zip(trials, scores, strict=True)
        ],
        "best": max(range(len(trials)), key=lambda number: scores[number] or -1.0),
        "best_of": best_of(known),
    }
