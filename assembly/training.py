"""A whole training: data, network, loss and trainer put together, and what it leaves behind."""

import logging
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
import yaml

from assembly.criterion import build_training_criterion
from assembly.detector import (
    TrainingStart,
    build_training_detector,
    load_detector,
    weights_metadata,
)
from assembly.evaluation import SplitEvaluation, build_evaluation
from assembly.pairing import PAIRING_NAME, WitnessedBatches
from assembly.run_report import write_run_report
from assembly.start_weights import write_weights_report
from configs.changes import Change, gives_other_batches
from configs.load import LoadedExperiment
from data.label_report import write_csv
from data.loader import TrainBatches, build_train_batches
from data.reading import open_training_cache
from data.records import Split, load_split
from models.losses import DetectionCriterion
from models.losses.budget import measure_budget
from utils.checkpoint.state import has_state
from utils.engine.protocols import BatchSource
from utils.engine.summary import TrainingSummary
from utils.engine.trainer import Trainer
from utils.metrics.results_json import results_json
from utils.report.tables import format_result
from utils.runtime.atomic import write_atomically, write_json
from utils.runtime.device import choose_device
from utils.runtime.environment import write_environment
from utils.runtime.errors import UserError
from utils.runtime.run_folder import RunFolder, claim_run_folder, run_name
from utils.runtime.seeding import seed_process, set_deterministic
from utils.runtime.threads import set_threads
from utils.structures.results import EvalResult

logger = logging.getLogger(__name__)

GRAPH_NAME = "graph.yaml"


def train(
    loaded: LoadedExperiment, *, resume: RunFolder | None = None, changes: Sequence[Change] = ()
) -> RunFolder:
    """Train as `loaded` says, or go on in the folder `resume`; return the folder of the results.

    `changes` are settings that the resumed training has otherwise than before.

    Raises:
        UserError, ConfigError: something the user can mend; nothing of an earlier run is lost.
        TrainingStopped: asked to stop; the state is saved.
    """
    settings = loaded.experiment.train
    device = choose_device(settings.device)
    set_threads(settings.threads, settings.workers)
    set_deterministic(settings.deterministic)
    train_split, val_split = _load_splits(loaded)
    folder = resume or _claim_folder(loaded)
    _report_labels(folder, loaded, [train_split, *([val_split] if val_split else [])])

    seed_process(settings.seed)
    is_begun = has_state(folder.last)
    start = build_training_detector(loaded, train_split, resumed=is_begun)
    loaded, detector = start.loaded, start.detector
    if resume is None:
        _write_configuration(loaded, folder)
        write_environment(folder.environment)
    if start.transfer is not None:
        write_weights_report(folder.weights_report, start.transfer)
    stride = detector.size_multiple
    val_records = val_split.records if val_split else ()
    cache = open_training_cache(settings, train_split.records, val_records, stride=stride)
    batches = build_train_batches(
        train_split.records, loaded.experiment, stride=stride, cache=cache
    )
    evaluation = (
        build_evaluation(detector, val_split, loaded.experiment, device=device, cache=cache)
        if val_split
        else None
    )
    criterion = build_training_criterion(
        loaded, detector, train_split, folder, device=device, cache=cache
    )
    witness = WitnessedBatches(
        source=batches, path=folder.path / PAIRING_NAME, total=settings.epochs * len(batches)
    )
    trainer = _build_trainer(start, train_split, criterion, witness, evaluation, folder, device)
    if not is_begun:
        witness.write_weights(detector)
    if resume is not None:
        _go_on(trainer, loaded, changes)
    logger.info("results go to %s", folder.path)
    try:
        summary = trainer.run()
        witness.finish()
        _write_results(loaded, folder, summary, batches, evaluation, device)
    finally:
        batches.close()
        if evaluation is not None:
            evaluation.close()
    return folder


def _load_splits(loaded: LoadedExperiment) -> tuple[Split, Split | None]:
    data = loaded.experiment.data
    train_split = load_split(data, "train")
    has_validation = data.format == "synthetic" or data.val is not None
    return train_split, load_split(data, "val") if has_validation else None


def _claim_folder(loaded: LoadedExperiment) -> RunFolder:
    experiment = loaded.experiment
    name = experiment.run.name or run_name(
        loaded.path, config_hash=loaded.hash, seed=experiment.train.seed
    )
    return claim_run_folder(Path(experiment.run.folder), name)


def _report_labels(folder: RunFolder, loaded: LoadedExperiment, splits: list[Split]) -> None:
    """Write every decision about labels, show a summary, refuse data that are too bad."""
    reports = [split.report for split in splits]
    write_csv(folder.labels_report, reports)
    for report in reports:
        for line in report.summary(folder.labels_report):
            logger.info("%s", line)
    for report in reports:
        report.require_usable(loaded.experiment.data.max_rejected)


def _write_configuration(loaded: LoadedExperiment, folder: RunFolder) -> None:
    """Make the folder say all that is needed to resume: settings and graph."""
    graph = yaml.safe_dump(dict(loaded.graph), sort_keys=False, default_flow_style=None)
    write_atomically(folder.path / GRAPH_NAME, graph.encode())
    model = loaded.experiment.model.model_copy(update={"graph": GRAPH_NAME})
    own = replace(loaded, experiment=loaded.experiment.model_copy(update={"model": model}))
    write_atomically(folder.config, own.to_yaml().encode())


def _go_on(trainer: Trainer, loaded: LoadedExperiment, changes: Sequence[Change]) -> None:
    """Continue where the checkpoint was written, and keep what was changed for the next time."""
    if has_state(trainer.folder.last):
        trainer.resume(other_batches=gives_other_batches(changes))
    else:
        logger.info("no checkpoint was written yet: starting from the beginning")
    for change in changes:
        logger.info("changed on resume: %s", change)
    if changes:
        _write_configuration(loaded, trainer.folder)


def _build_trainer(
    start: TrainingStart,
    split: Split,
    criterion: DetectionCriterion,
    batches: BatchSource,
    evaluation: SplitEvaluation | None,
    folder: RunFolder,
    device: torch.device,
) -> Trainer:
    loaded, detector, experiment = start.loaded, start.detector, start.loaded.experiment
    return Trainer(
        model=detector,
        criterion=criterion,
        batches=batches,
        evaluate=evaluation,
        settings=experiment.train,
        device=device,
        folder=folder,
        metadata=weights_metadata(loaded, detector, split),
        eval_interval=experiment.eval.interval,
        checkpoint_minutes=experiment.run.checkpoint_minutes,
        rules=start.rules,
        measure_budget=partial(measure_budget, criterion),
        budget_interval=experiment.loss.budget_interval,
    )


def _write_results(
    loaded: LoadedExperiment,
    folder: RunFolder,
    summary: TrainingSummary,
    batches: TrainBatches,
    evaluation: SplitEvaluation | None,
    device: torch.device,
) -> None:
    """Judge the saved weights once more, as val.py will, and write down what they are worth."""
    if evaluation is None:
        logger.info("no validation split: weights of the last epoch are in %s", folder.best)
        return
    best = load_detector(folder.best)
    result = evaluation(best.detector.to(device))
    _require_same_numbers(result, summary)
    content = results_json(
        result,
        epochs=summary.epochs,
        images_per_second=summary.images_per_second,
        config_hash=loaded.hash,
    )
    write_json(folder.results, {**content, "best_epoch": summary.best_epoch})
    write_run_report(loaded, folder, result, batches, evaluation)
    logger.info("\n%s\n", format_result(result))
    logger.info(
        "%d epochs in %.1f min (%.1f images/s); best epoch %s: %s\nreport: %s",
        summary.epochs,
        summary.seconds / 60,
        summary.images_per_second,
        summary.best_epoch,
        folder.best,
        folder.report,
    )


def _require_same_numbers(result: EvalResult, summary: TrainingSummary) -> None:
    """The saved weights must be worth exactly what training said of them."""
    said = (summary.best_result or {}).get("map50_95")
    if said is not None and abs(said - result.map50_95) > 1e-3:
        raise UserError(
            f"the saved weights reach mAP50-95 {result.map50_95:.5f}, training measured "
            f"{said:.5f}; the data or the file changed in between, run val.py again"
        )


def open_report(folder: RunFolder) -> None:
    """Show the report in the desktop's browser; without a desktop only name it."""
    opener = shutil.which("xdg-open") or shutil.which("open")
    if opener is None:
        logger.info("open %s in a browser", folder.report)
        return
    import webbrowser

    webbrowser.open(folder.report.resolve().as_uri())
