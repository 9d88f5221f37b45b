"""A whole comparison: plan, runs, verdict, report; every step can be resumed."""

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from commands.compare.forecast import forecast
from commands.compare.report import write_comparison_report
from commands.compare.split_cut import cut_folds, cut_test_split
from commands.compare.tuning import TUNING_NAME, chosen_settings, trial_folders
from commands.compare.way import Settled, settle_way
from configs.reading.design import LoadedDesign
from configs.reading.overrides import nested
from configs.schema.comparison import ComparisonSettings
from configs.schema.tuning import Overrides, SearchedTrials
from utils.comparison.runs.arm_search import require_optuna
from utils.comparison.runs.local_engine import Failure, LocalEngine
from utils.comparison.runs.pairing import require_pairing
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.ray_engine import run_on_ray
from utils.comparison.runs.run_record import RunRecord, read_run
from utils.comparison.runs.stored_evaluation import is_judged
from utils.comparison.summary.summary import summarise
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json, write_text
from utils.runtime.files.json_file import BrokenJsonError, read_json_object
from utils.runtime.machine.threads import available_cores

logger = logging.getLogger(__name__)

DESIGN_NAME = "design.json"
RESULT_NAME = "comparison.json"
BEST_NAME = "best.yaml"
REPORT_NAME = "report.html"


def plan(design: LoadedDesign) -> None:
    """Log power and cost of a comparison; no folder is created."""
    folder = Path(design.settings.folder) / design.name
    _settled(design, planned_runs(design, folder, (), {}), folder, keeps=False)


def compare(design: LoadedDesign) -> Path:
    """Train and evaluate what is missing, write the report; return the comparison's folder.

    Raises:
        UserError, ConfigError: something the user can fix; finished runs stay.
        KeyboardInterrupt: asked to stop; the same command continues.
    """
    if isinstance(design.settings.tuning, SearchedTrials):
        require_optuna()
    folder = Path(design.settings.folder) / design.name
    _write_design(design, folder)
    cut = _cut(design, folder / "data")
    runs = planned_runs(design, folder, cut, {})
    way = _settled(design, runs, folder, keeps=True)

    def execute(runs: Sequence[PlannedRun]) -> list[Failure]:
        return carry_out(design, folder, runs, way)

    runs = planned_runs(design, folder, cut, chosen_settings(design, folder, cut, execute))
    execute(runs)
    require_pairing(runs, design.settings.pairing)
    report(folder)
    return folder


def tune(design: LoadedDesign) -> Path:
    """Search the settings of a design's only arm; return the experiment with the best, a YAML.

    Raises:
        UserError, ConfigError: something the user can fix; finished trials stay.
        KeyboardInterrupt: asked to stop; the same command continues.
    """
    if isinstance(design.settings.tuning, SearchedTrials):
        require_optuna()
    folder = Path(design.settings.folder) / design.name
    _write_design(design, folder)
    cut = cut_test_split(_any_arm(design), folder / "data", design.settings.test.cut_share)
    trials = trial_folders(design, folder)
    logger.info("%d trial runs", len(trials))
    way = settle_way(design, folder, (), trials, keeps=True)

    def execute(runs: Sequence[PlannedRun]) -> list[Failure]:
        return carry_out(design, folder, runs, way)

    chosen = chosen_settings(design, folder, cut, execute)
    arm = design.settings.baseline
    entry = _json(folder / TUNING_NAME)[arm]
    best = entry["trials"][entry["best"]]
    path = folder / BEST_NAME
    write_text(path, best_yaml(design, chosen[arm], best["map50_95"], len(entry["trials"])))
    for key, value in best["settings"].items():
        logger.info("%s=%s", key, json.dumps(value))
    logger.info("mAP50-95 %.2f on validation; train it: train.py --cfg %s", best["map50_95"], path)
    return path


def best_yaml(design: LoadedDesign, chosen: Overrides, score: float, trials: int) -> str:
    """Return the experiment of a design's only arm with the settings that its trials chose.

    Args:
        design: one arm.
        chosen: settings of the best trial.
        score: its mAP50-95 on validation, points.
        trials: how many there were.
    """
    changes: Overrides = {}
    for override in design.overrides(design.settings.baseline, chosen):
        key, _, value = override.partition("=")
        changes |= {key: json.loads(value)}
    content = {"base": str(design.experiment_path.resolve()), **nested(changes)}
    text: str = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
    return f"# Best of {trials} trials of {design.path.name}: mAP50-95 {score:.2f}\n{text}"


def _cut(design: LoadedDesign, folder: Path) -> tuple[str, ...]:
    """Return settings under which the data set has a test split, or folds."""
    if design.settings.folds is not None:
        return cut_folds(_any_arm(design), folder, design.settings.folds)
    return cut_test_split(_any_arm(design), folder, design.settings.test.cut_share)


def _settled(
    design: LoadedDesign, runs: Sequence[PlannedRun], folder: Path, *, keeps: bool
) -> Settled:
    """Log the plan and return how it is executed here."""
    trials = trial_folders(design, folder)
    for line in forecast(design, runs, trials):
        logger.info("%s", line)
    return settle_way(design, folder, runs, trials, keeps=keeps)


def planned_runs(
    design: LoadedDesign, folder: Path, cut: Sequence[str], tuned: Mapping[str, Any]
) -> list[PlannedRun]:
    """Return the runs of all arms and seeds, ordered by seed, so that pairs are complete early.

    Args:
        design: the comparison.
        folder: its folder.
        cut: settings that give the data a test split, or folds.
        tuned: arm -> settings that its trials found best.
    """
    has_folds = design.settings.folds is not None
    folds = {seed: [f"data.fold={seed}"] if has_folds else [] for seed in design.settings.seeds}
    return [
        PlannedRun(
            arm=arm,
            seed=seed,
            experiment=design.experiment_path,
            overrides=(*design.overrides(arm, tuned.get(arm)), *cut, *folds[seed]),
            folder=run_folder(folder, arm, seed),
        )
        for seed in design.settings.seeds
        for arm in design.settings.arms
    ]


def run_folder(folder: Path, arm: str, seed: int) -> Path:
    """Return where the run of an arm and a seed is."""
    return folder / "runs" / arm / f"seed{seed}"


def carry_out(
    design: LoadedDesign, folder: Path, runs: Sequence[PlannedRun], way: Settled
) -> list[Failure]:
    """Execute the runs on the engine of the design; return those that failed."""
    settings = design.settings

    def check() -> None:
        _check(runs, settings)

    if settings.engine == "ray":
        return run_on_ray(
            runs,
            folder=folder,
            cpus_per_run=max(1, available_cores() // way.jobs),
            gpus_per_run=1.0 / way.jobs if _wants_gpu(design) else 0.0,
            check=check,
            extra=way.settings,
        )
    are_trials = settings.tuning is not None and any(run.trial is not None for run in runs)
    share = settings.tuning.epochs_share if settings.tuning is not None and are_trials else 1.0
    engine = LocalEngine(
        folder=folder,
        jobs=way.jobs,
        check=check,
        extra=way.settings,
        expected_s=None if way.run_s is None else share * way.run_s,
    )
    return engine.run(runs)


def _check(runs: Sequence[PlannedRun], settings: ComparisonSettings) -> None:
    final = [run for run in runs if run.trial is None]
    require_pairing(final, settings.pairing)


def report(folder: Path) -> dict[str, Any]:
    """Compute every number from the run folders; write and return comparison.json.

    Raises:
        UserError: it is not the folder of a comparison, or too little is finished.
    """
    settings, networks = _read_design(folder)
    runs = read_runs(settings, folder, networks)
    content = summarise(settings, runs, _failures(settings, folder))
    content["tuning"] = _json(folder / "tuning.json")
    write_json(folder / RESULT_NAME, content)
    write_comparison_report(folder / REPORT_NAME, folder.name, content, runs)
    for arm in content["arms"].values():
        if arm["sentence"]:
            logger.info("%s", arm["sentence"])
    logger.info("report: %s", folder / REPORT_NAME)
    return content


def read_runs(
    settings: ComparisonSettings, folder: Path, networks: Mapping[str, str]
) -> dict[str, dict[int, RunRecord]]:
    """Return the finished runs by arm and seed; `networks` has the name of each arm's graph."""
    runs: dict[str, dict[int, RunRecord]] = {}
    for arm in settings.arms:
        places = {seed: run_folder(folder, arm, seed) for seed in settings.seeds}
        runs[arm] = {
            seed: read_run(arm, seed, place, network=networks[arm])
            for seed, place in places.items()
            if is_judged(place)
        }
    return runs


def _failures(settings: ComparisonSettings, folder: Path) -> list[dict[str, str]]:
    """Return the failures of runs."""
    found = []
    for arm in settings.arms:
        for seed in settings.seeds:
            content = _json(folder / "failures" / f"{arm}-seed{seed}.json")
            if content:
                found.append({"title": content["title"], "message": content["message"]})
    return found


def _write_design(design: LoadedDesign, folder: Path) -> None:
    """Write the design to the folder, or check that the folder belongs to the same comparison."""
    known = _json(folder / DESIGN_NAME)
    if known.get("hash", design.hash) != design.hash:
        raise UserError(
            f"{folder} belongs to another design (hash {known['hash']}, now {design.hash}); choose "
            "another name, or remove the folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    seeds = sorted({*known.get("settings", {}).get("seeds", ()), *design.settings.seeds})
    settings = design.settings.model_copy(update={"seeds": tuple(seeds)})
    content = {
        "hash": design.hash,
        "file": design.path.name,
        "networks": {arm: loaded.network_name for arm, loaded in design.arms.items()},
        "settings": settings.model_dump(mode="json"),
    }
    write_json(folder / DESIGN_NAME, content)


def _read_design(folder: Path) -> tuple[ComparisonSettings, dict[str, str]]:
    if not (folder / DESIGN_NAME).is_file():
        raise UserError(f"{folder} is not a folder of a comparison: it has no {DESIGN_NAME}")
    try:
        content = _json(folder / DESIGN_NAME)
        settings = ComparisonSettings.model_validate_json(json.dumps(content["settings"]))
        return settings, dict(content["networks"])
    except (BrokenJsonError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"{folder / DESIGN_NAME} is damaged or of another version; start the same comparison "
            "again with compare.py --cfg, which writes it anew"
        ) from error


def _any_arm(design: LoadedDesign) -> Any:
    return design.arms[design.settings.baseline]


def _wants_gpu(design: LoadedDesign) -> bool:
    import torch

    device = _any_arm(design).experiment.train.device
    return device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return read_json_object(path)
