"""Gathers what the report of a training shows; how it looks is in `utils/report`."""

import logging
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from commands.build.evaluation import SplitEvaluation
from commands.build.truth_picture import truth_and_found
from configs.reading.load import LoadedExperiment
from configs.schema.branch_loss import FocalLossSettings
from configs.schema.loss import LossSettings
from data.loading.loader import TrainBatches
from utils.engine.run import TrainingSummary
from utils.report.drawing import (
    Picture,
    data_uri,
    draw_boxes,
    encode_jpeg,
    side_by_side,
)
from utils.report.pages.budget_section import read_budget_section
from utils.report.pages.run_page import Figure, RunPage, read_history, write_run_page
from utils.report.tables.tables import format_result
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.progress import format_duration
from utils.structures.batch import Batch
from utils.structures.images import Record
from utils.structures.results import EvalResult

logger = logging.getLogger(__name__)

History = Sequence[Mapping[str, float | None]]
"""The rows of metrics.csv."""
VALIDATION_PICTURES = 6
TRAINING_PICTURES = 4


def write_run_report(
    loaded: LoadedExperiment,
    folder: RunFolder,
    result: EvalResult,
    batches: TrainBatches,
    evaluation: SplitEvaluation,
) -> None:
    """Write report.html of a finished training and its pictures into `folder`."""
    folder.plots.mkdir(exist_ok=True)
    figures = []
    for name, picture, caption in _pictures(loaded, batches, evaluation):
        jpeg = encode_jpeg(picture)
        (folder.plots / f"{name}.jpg").write_bytes(jpeg)
        figures.append(Figure(source=data_uri(jpeg), caption=caption))
    budget = read_budget_section(
        folder.budget_summary,
        folder.budget,
        evaluation.split.class_names,
        loss_names(loaded.experiment.loss),
    )
    for sentence in budget.sentences if budget else ():
        logger.info("%s", sentence)
    history = read_history(folder.metrics)
    page = RunPage(
        title=folder.path.name,
        command=f"python {shlex.join(sys.argv)}",
        result=result,
        class_names=evaluation.split.class_names,
        history=history,
        facts=_facts(loaded, result, history),
        notes=_notes(folder, result, evaluation, history),
        config_text=folder.config.read_text(encoding="utf-8"),
        figures=figures,
        budget=budget,
    )
    write_run_page(folder.report, page)


def _facts(loaded: LoadedExperiment, result: EvalResult, history: History) -> dict[str, str]:
    experiment = loaded.experiment
    start = _start_ap(history)
    before = {} if start is None else {"before training": f"AP {start:.3f}"}
    return {
        **before,
        "network": loaded.graph_path.stem,
        "image size": f"{experiment.train.image_size} px",
        "objectness loss": experiment.loss.objectness.name
        if experiment.loss.objectness
        else "none",
        "class loss": experiment.loss.classification.name,
        "seed": str(experiment.train.seed),
        "validation": f"{result.counts['images']} images, {result.counts['truths']} objects",
    }


def _start_ap(history: History) -> float | None:
    """Return the AP of the evaluation before training, None where there was none."""
    return next((row["map50_95"] for row in history if row["epoch"] == 0), None)


def loss_names(settings: LossSettings) -> dict[str, str]:
    """Return what the report calls the loss of each branch of the head."""
    return {name: _loss_name(loss) for name, loss in settings.branches.items()}


def _loss_name(settings: Any) -> str:
    is_plain = isinstance(settings, FocalLossSettings) and settings.gamma == 0
    name = "bce" if is_plain else settings.name
    return name if settings.ohem is None else f"{name} with hard example mining"


def _notes(
    folder: RunFolder, result: EvalResult, evaluation: SplitEvaluation, history: History
) -> list[str]:
    report = evaluation.split.report
    start = _start_ap(history)
    notes = []
    if start is not None and start > result.map50_95:
        notes.append(
            f"No epoch is better than the start: AP {start:.3f} before training, "
            f"{result.map50_95:.3f} at best afterwards. A lower train.optimizer.lr or "
            "train.freeze: [backbone] changes less of what the weights know."
        )
        logger.warning("%s", notes[-1])
    if report.num_rejected:
        notes.append(
            f"{report.num_rejected} of {report.num_rows} validation label rows were rejected; "
            f"{folder.labels_report.name} lists them."
        )
    for key, setting in (
        ("images_at_candidate_cap", "eval.max_candidates"),
        ("images_at_detection_cap", "eval.max_detections"),
    ):
        if result.counts[key]:
            notes.append(f"{result.counts[key]} images reached {setting}; raise it to see more.")
    return notes


def _pictures(
    loaded: LoadedExperiment, batches: TrainBatches, evaluation: SplitEvaluation
) -> Iterator[tuple[str, Picture, str]]:
    names = evaluation.split.class_names
    threshold = loaded.experiment.eval.report_threshold
    for number, record in enumerate(_spread(evaluation.split.records, VALIDATION_PICTURES)):
        picture = truth_and_found(
            record, evaluation.evaluator.detections_of(record.image_id), names, threshold
        )
        caption = f"{record.path.rsplit('/', 1)[-1]}: left truth, right found at {threshold:g}"
        yield f"validation_{number}", picture, caption
    batch = next(iter(batches.epoch(0))).to(torch.device("cpu"))
    yield "training_batch", _seen(batch, names), "first training batch, as the network saw it"


def _spread(records: tuple[Record, ...], count: int) -> list[Record]:
    """Return up to `count` records at even distances, so that no picture is chosen by eye."""
    step = max(1, len(records) // count)
    return list(records[::step][:count])


def _seen(batch: Batch, names: tuple[str, ...]) -> Picture:
    pictures = []
    for index in range(min(TRAINING_PICTURES, len(batch))):
        chosen = batch.targets.image_index == index
        image = batch.images[index].permute(1, 2, 0).contiguous().numpy()
        boxes, labels = batch.targets.boxes[chosen], batch.targets.labels[chosen]
        pictures.append(draw_boxes(image, boxes.numpy(), labels.to(torch.int64).numpy(), names))
    return side_by_side(pictures)


def say_result(folder: RunFolder, summary: TrainingSummary, result: EvalResult) -> None:
    """Log what a finished training has reached, and where that is written."""
    logger.info("\n%s\n", format_result(result))
    logger.info(
        "%d epoch%s in %s (%.1f images/s); best epoch %s: %s\nreport: %s",
        summary.epochs,
        "" if summary.epochs == 1 else "s",
        format_duration(summary.seconds),
        summary.images_per_second,
        summary.best_epoch,
        folder.best,
        folder.report,
    )


def open_report(folder: RunFolder) -> None:
    """Show the report in the desktop's browser; without a desktop only name it."""
    opener = shutil.which("xdg-open") or shutil.which("open")
    if opener is None:
        logger.info("open %s in a browser", folder.report)
        return
    import webbrowser

    webbrowser.open(folder.report.resolve().as_uri())
