"""The page of a run: gathers what it shows, after every epoch and at the end; how it looks is in
`utils/report`.
"""

import logging
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from time import perf_counter
from typing import Any

import cv2
import torch

from commands.build.data_figures import center_maps, class_rows, contact_sheet, data_charts
from commands.build.evaluation import SplitEvaluation, truth_and_found
from configs.reading.load import LoadedExperiment
from configs.schema.branch_loss import FocalLossSettings
from configs.schema.loss import LossSettings
from data.doctor.subject import tabulate
from data.loading.loader import TrainBatches
from data.records.load import Split
from utils.engine.hook import Hook
from utils.engine.run import Run, TrainingSummary
from utils.metrics.analysis import analyse
from utils.report.charts.evaluation_charts import evaluation_charts
from utils.report.drawing import Picture, data_uri, draw_boxes, encode_jpeg, side_by_side
from utils.report.pages.budget_section import BudgetSection, read_budget_section
from utils.report.pages.page_template import Figure
from utils.report.pages.run_page import DataSection, RunPage, read_history, run_page_text
from utils.report.tables.tables import format_result
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_text
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import FILES, RunFolder, data_name
from utils.runtime.printable import shortened
from utils.runtime.program import command_line
from utils.runtime.progress import format_duration
from utils.structures.batch import Batch
from utils.structures.images import Record
from utils.structures.results import EvalResult

logger = logging.getLogger(__name__)

History = Sequence[Mapping[str, float | None]]
"""The rows of metrics.csv."""
VALIDATION_PICTURES = 6
TRAINING_PICTURES = 4
SAMPLES = 16
TELLING_AP50 = 0.1
"""Below it a network knows too little for its losses to say what another loss would change."""
CURVES = ("pr", "f1", "errors")
PAUSE_S = 3.0
"""Shortest time between two versions of the page of a running training."""


class ReportPage(Hook):
    """Writes report.html after every epoch; `finish` writes it whole.

    A page that cannot be written costs the page, not the training.
    """

    def __init__(
        self, loaded: LoadedExperiment, folder: RunFolder, splits: Sequence[Split]
    ) -> None:
        self._loaded, self._folder, self._splits = loaded, folder, splits
        self._written = -PAUSE_S

    def after_epoch(self, run: Run) -> None:
        """Show where the training is, unless the page is only seconds old."""
        if perf_counter() - self._written >= PAUSE_S and not run.is_last_epoch:
            left = run.clock.total_seconds / run.epoch * (run.settings.epochs - run.epoch)
            state = f"Running: epoch {run.epoch} of {run.settings.epochs} is done"
            self._write(f"{state}, about {format_duration(left)} left.", run.result, is_live=True)

    def after_training(self, run: Run) -> None:
        """Say on the page that a training was stopped or failed."""
        if not run.is_finished and run.epochs_done:
            state = f"Stopped at {run.place}; go on with: train.py --resume {self._folder.path}"
            self._write(state, run.result)

    def finish(
        self,
        summary: TrainingSummary,
        batches: TrainBatches,
        evaluation: SplitEvaluation | None,
        result: EvalResult | None,
    ) -> None:
        """Write the page of a finished training, and its pictures, into the folder."""
        best = f", the best is epoch {summary.best_epoch}" if summary.best_epoch else ""
        epochs = f"{summary.epochs} epoch{'' if summary.epochs == 1 else 's'}"
        state = f"Finished: {epochs} in {format_duration(summary.seconds)}{best}."
        self._write(state, result, batches=batches, evaluation=evaluation)

    def _write(
        self,
        state: str,
        result: EvalResult | None,
        *,
        is_live: bool = False,
        batches: TrainBatches | None = None,
        evaluation: SplitEvaluation | None = None,
    ) -> None:
        folder, names = self._folder, self._splits[0].class_names
        try:
            history = read_history(folder.metrics) if folder.metrics.exists() else []
            page = RunPage(
                title=f"{folder.path.name}: {self._loaded.network_name} on {self._data_name}",
                state=state,
                is_live=is_live,
                result=result,
                class_names=names,
                history=history,
                facts=self._facts(result, history),
                notes=[
                    *([] if is_live else lost_by_training(result, history)),
                    *_notes(folder, result, self._splits),
                ],
                curves=_curves(evaluation, result),
                data=self._data,
                budget=self._budget(result),
                figures=list(self._figures(batches, evaluation)),
                files=list(_files(folder)),
                steps=[] if is_live else _steps(folder, result),
                commands=self._commands,
                config_text=folder.config.read_text(encoding="utf-8"),
            )
            write_text(folder.report, run_page_text(page))
        except (UserError, OSError, ValueError, LookupError, MemoryError, cv2.error) as error:
            logger.warning(
                "%s could not be written (%s: %s); weights and metrics are complete",
                folder.report,
                type(error).__name__,
                shortened(error),
            )
        self._written = perf_counter()

    @cached_property
    def _data_name(self) -> str:
        return data_name(self._loaded.experiment.data.path)

    @cached_property
    def _environment(self) -> Mapping[str, Any]:
        return read_json_object(self._folder.environment)

    @cached_property
    def _commands(self) -> list[str]:
        first = command_line([str(word) for word in self._environment.get("command", ())])
        return [first, f"python train.py --cfg {self._folder.config}"]

    @cached_property
    def _data(self) -> DataSection:
        tables = [tabulate(split) for split in self._splits]
        return DataSection(
            split_names=[table.name for table in tables],
            class_rows=class_rows(tables, self._splits[0].class_names),
            charts=data_charts(tables, self._loaded.experiment.train.image_size),
            maps=center_maps(tables),
            sheets=[(split.name, contact_sheet(split, SAMPLES)) for split in self._splits[:1]],
        )

    def _facts(self, result: EvalResult | None, history: History) -> dict[str, str]:
        experiment, environment = self._loaded.experiment, self._environment
        gpus: list[Any] = list(environment.get("gpus") or [])
        uses_gpu = bool(gpus) and experiment.train.device != "cpu"
        loss = experiment.loss
        return {
            "started": str(environment.get("started", "-"))[:16].replace("T", " ") + " UTC",
            "network": self._loaded.network_name,
            "data": ", ".join(f"{len(one.records)} {one.name}" for one in self._splits) + " images",
            **(
                {"validated on": f"{result.counts['truths']} objects"} if result is not None else {}
            ),
            **start_facts(history),
            "image size": f"{experiment.train.image_size} px",
            "objectness loss": loss.objectness.name if loss.objectness else "none",
            "class loss": loss.classification.name,
            "seed": str(experiment.train.seed),
            "device": str(gpus[0] if uses_gpu else environment.get("cpu", "CPU")),
            "precision": experiment.train.precision,
            "commit": str(environment.get("git") or "-")[:12],
        }

    def _budget(self, result: EvalResult | None) -> BudgetSection | None:
        budget = read_budget_section(
            self._folder.budget_summary,
            self._folder.budget,
            self._splits[0].class_names,
            loss_names(self._loaded.experiment.loss),
        )
        is_telling = result is not None and result.map50 > TELLING_AP50
        return budget if budget is None or is_telling else replace(budget, sentences=())

    def _figures(
        self, batches: TrainBatches | None, evaluation: SplitEvaluation | None
    ) -> Iterator[Figure]:
        if batches is None:
            return
        self._folder.plots.mkdir(exist_ok=True)
        for name, picture, caption in _pictures(
            self._loaded, self._splits[0].class_names, batches, evaluation
        ):
            jpeg = encode_jpeg(picture)
            (self._folder.plots / f"{name}.jpg").write_bytes(jpeg)
            yield Figure(source=data_uri(jpeg), caption=caption)


def _start_ap(history: History) -> float | None:
    """Return the AP of the evaluation before training, None where there was none."""
    return next((row["map50_95"] for row in history if row["epoch"] == 0), None)


def loss_names(settings: LossSettings) -> dict[str, str]:
    """Return the names of the losses of all branches for the report."""
    return {name: _loss_name(loss) for name, loss in settings.branches.items()}


def _loss_name(settings: Any) -> str:
    is_plain = isinstance(settings, FocalLossSettings) and settings.gamma == 0
    name = "bce" if is_plain else settings.name
    return name if settings.ohem is None else f"{name} with hard example mining"


def start_facts(history: History) -> dict[str, str]:
    """Return what the weights were worth before training, if they were evaluated."""
    start = _start_ap(history)
    return {} if start is None else {"before training": f"AP {start:.3f}"}


def lost_by_training(result: EvalResult | None, history: History) -> list[str]:
    """Return a note where training has only made the weights worse that it started with."""
    start = _start_ap(history)
    if result is None or start is None or start <= result.map50_95:
        return []
    note = (
        f"No epoch is better than the start: AP {start:.3f} before training, "
        f"{result.map50_95:.3f} at best afterwards. A lower train.optimizer.lr or "
        "train.freeze: [backbone] changes less of what the weights know."
    )
    logger.warning("%s", note)
    return [note]


def _notes(folder: RunFolder, result: EvalResult | None, splits: Sequence[Split]) -> list[str]:
    notes = [
        f"{split.report.num_rejected} of {split.report.num_rows} label rows of {split.name} were "
        f"rejected; {folder.labels_report.name} lists them."
        for split in splits
        if split.report.num_rejected
    ]
    for key, setting in (
        ("images_at_candidate_cap", "eval.max_candidates"),
        ("images_cut", "eval.max_detections"),
    ):
        if result is not None and result.counts.get(key):
            notes.append(
                f"{result.counts[key]} images hit the limit {setting}; increase it if recall "
                "matters."
            )
    return notes


def _curves(evaluation: SplitEvaluation | None, result: EvalResult | None) -> list[str]:
    if evaluation is None or result is None:
        return []
    analysis = analyse(
        evaluation.evaluator.truths,
        evaluation.evaluator.detections,
        judge="hotcoco",
        threshold=result.operating_points["given"]["threshold"],
        shared_threshold=result.operating_points["best_f1"]["threshold"],
    )
    charts = evaluation_charts(analysis, evaluation.split.class_names)
    return [charts[name].figure() for name in CURVES if name in charts]


def _files(folder: RunFolder) -> Iterator[tuple[str, str, str]]:
    for name, what in FILES.items():
        path = folder.path / name
        if path.is_file():
            size = path.stat().st_size
            yield name, f"{size / 2**20:.1f} MB" if size > 1e5 else f"{size / 1e3:.1f} kB", what


def _steps(folder: RunFolder, result: EvalResult | None) -> list[tuple[str, str]]:
    run = folder.path
    steps = [
        ("Find objects in your own images", f"python predict.py --weights {run} --source photos/"),
        ("Write a file that runs without torch", f"python export.py --weights {run} --format onnx"),
    ]
    if result is None:
        return [("Hold images back to see how good it is", "train.py ... data.val=0.2"), *steps]
    plots = f"python val.py --weights {run} --plots {run / 'evaluation'}"
    steps.insert(0, ("See the errors, the thresholds and the worst images", plots))
    doctor = ("Find wrong labels among the worst images", "python check_data.py YOUR_DATA")
    return [*steps, doctor]


def _pictures(
    loaded: LoadedExperiment,
    names: tuple[str, ...],
    batches: TrainBatches,
    evaluation: SplitEvaluation | None,
) -> Iterator[tuple[str, Picture, str]]:
    threshold = loaded.experiment.eval.report_threshold
    if evaluation is not None:
        for number, record in enumerate(_spread(evaluation.split.records, VALIDATION_PICTURES)):
            picture = truth_and_found(
                record, evaluation.evaluator.detections_of(record.image_id), names, threshold
            )
            caption = (
                f"{record.path.rsplit('/', 1)[-1]}: left ground truth, right detections at "
                f"{threshold:g}"
            )
            yield f"validation_{number}", picture, caption
    batch = next(iter(batches.epoch(0))).to(torch.device("cpu"))
    yield (
        "training_batch",
        _seen(batch, names),
        "first training batch, as the network saw it",
    )


def _spread(records: tuple[Record, ...], count: int) -> list[Record]:
    """Return up to `count` records at even distances, so that no picture is hand-picked."""
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


def say_result(
    folder: RunFolder, loaded: LoadedExperiment, summary: TrainingSummary, result: EvalResult
) -> None:
    """Log what a finished training has reached, where its loss came from, and where that is."""
    if result.map50 > TELLING_AP50:
        budget = read_budget_section(
            folder.budget_summary,
            folder.budget,
            tuple(result.per_class),
            loss_names(loaded.experiment.loss),
        )
        for sentence in budget.sentences if budget else ():
            logger.info("%s", sentence)
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
    import webbrowser

    has_desktop = sys.platform in ("win32", "darwin") or shutil.which("xdg-open") is not None
    if not has_desktop or not webbrowser.open(folder.report.resolve().as_uri()):
        logger.info("open %s in a browser", folder.report)
