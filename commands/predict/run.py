"""What predict.py does: detect objects in all pictures and write the outputs."""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from time import perf_counter

import torch

from commands.build.detector import load_detector, say_origin
from commands.build.predictor import Predictor, prediction_settings
from commands.predict.cli import PredictCommand
from commands.predict.outputs.output import Output
from commands.predict.outputs.pictures import AnnotatedImages, AnnotatedVideos, Crops
from commands.predict.outputs.prelabels import (
    CocoPrelabels,
    CvatAnnotations,
    LabelStudioTasks,
    YoloPrelabels,
)
from commands.predict.outputs.tables import CocoResults, CsvTable, YoloLabels
from data.sources import FrameBatch, SourceBatches, find_sources
from data.sources.frame import Skipped
from utils.report.drawing import Style
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import BadNameError
from utils.runtime.files.json_file import BrokenJsonError, read_json_object
from utils.runtime.files.regular_file import LARGEST_FILE, UnreadableFileError
from utils.runtime.files.run_folder import claim_run_folder
from utils.runtime.files.targets import require_target
from utils.runtime.interrupt import StopRequest, StopWaiting
from utils.runtime.machine.threads import available_cores, loader_workers, set_threads
from utils.runtime.printable import printable, shortened
from utils.runtime.progress import progress_bar
from utils.structures.results import Detections

logger = logging.getLogger(__name__)

SHOWN_FAULTS = 10
SHOWN_NAME = 60
LOW_SCORE = 0.01
"""A threshold that shows what a network is not certain of."""


@dataclass(slots=True)
class PredictionSummary:
    """Result of one call of predict.py."""

    class_names: tuple[str, ...]
    written: tuple[Path, ...]
    """Folders and files that contain the results."""
    num_pictures: int = 0
    found: Counter[int] = field(default_factory=Counter)
    """Objects per label."""
    skipped: list[Skipped] = field(default_factory=list)
    unwritten: list[Skipped] = field(default_factory=list)
    """Results of pictures whose file could not be written."""
    seconds: float = 0.0
    threshold: float = 0.0
    """Score below which nothing counts as an object."""
    was_interrupted: bool = False

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        rate = self.num_pictures / max(self.seconds, 1e-9)
        yield (
            f"{_counted(self.num_pictures, 'picture')} in {self.seconds:.1f} s ({rate:.1f}/s), "
            f"{_counted(self.found.total(), 'object')}{self._by_class()}"
        )
        if not self.found and self.threshold > LOW_SCORE:
            yield (
                f"no score reached eval.score_threshold={self.threshold:g}; "
                f"eval.score_threshold={LOW_SCORE:g} shows what is less certain"
            )
        for what, skips in (("skipped", self.skipped), ("not written", self.unwritten)):
            if not skips:
                continue
            yield f"{what}: {_counted(sum(skip.count for skip in skips), 'picture')}"
            for skip in skips[:SHOWN_FAULTS]:
                yield f"  {printable(skip.source)}: {printable(skip.reason)}"
            if len(skips) > SHOWN_FAULTS:
                yield f"  and {len(skips) - SHOWN_FAULTS} more sources"
        if self.was_interrupted:
            yield "stopped on request; what is above was done"
        if self.written:
            yield f"written: {', '.join(map(str, self.written))}"

    def _by_class(self) -> str:
        counts = [
            f"{shortened(self.class_names[label], SHOWN_NAME)} {count}"
            for label, count in self.found.most_common()
        ]
        return f": {', '.join(counts)}" if counts else ""


def predict(command: PredictCommand) -> PredictionSummary:
    """Run prediction.

    Raises:
        UserError, ConfigError: weights, settings or sources cannot be used, or a stream broke off;
            earlier detections are written.
    """
    loaded = load_detector(command.weights, trusted=command.trust)
    say_origin(loaded.metadata)
    experiment = prediction_settings(loaded, command.overrides, like_val=command.like_val)
    predictor = Predictor(loaded, experiment, command.views)
    wanted = _labels(command.classes, predictor.class_names)
    category_ids = predictor.category_ids
    if command.categories is not None:
        category_ids = read_category_ids(command.categories, predictor.class_names)
    batches = SourceBatches(
        sources=find_sources(command.sources),
        framing=predictor.framing,
        batch_size=predictor.batch_size,
        threads=max(
            1,
            min(loader_workers(experiment.train.workers, predictor.device.type), available_cores()),
        ),
        depth=predictor.depth,
    )
    # As many as val.py takes: another number may change the last bit of a score.
    set_threads(experiment.train.threads)
    _require_targets(command, batches)
    folder = (
        claim_run_folder(command.save_dir.parent, command.save_dir.name).path
        if command.save
        else None
    )
    written = tuple(path for path in (folder, command.save_json) if path is not None)
    summary = PredictionSummary(
        predictor.class_names,
        written,
        skipped=batches.skipped,
        threshold=0.0 if wanted is not None else experiment.eval.score_threshold,
    )
    with (
        _reported(summary),
        _emptied(folder),
        _open_outputs(command, folder, predictor, category_ids) as outputs,
    ):
        _run(predictor, batches, outputs, wanted, summary)
    if not summary.num_pictures:
        faults = [f"{skip.source}: {skip.reason}" for skip in summary.skipped]
        raise UserError(": ".join(["no picture could be read", *faults[:1]]))
    return summary


def _run(
    predictor: Predictor,
    batches: SourceBatches,
    outputs: Sequence[Output],
    wanted: torch.Tensor | None,
    summary: PredictionSummary,
) -> None:
    total = batches.num_pictures()
    with (
        _stopped_while_waiting(summary),
        StopRequest(while_waiting=True) as stop,
        progress_bar("predict", total=total, unit="picture") as bar,
    ):
        for item in batches:
            found = [only(wanted, each) for each in predictor.look(item.frames, item.batch)]
            _write(item, found, outputs, summary)
            summary.num_pictures += len(item.frames)
            for each in found:
                summary.found.update(each.labels.tolist())
            bar.update(len(item.frames))
            if stop.requested:
                summary.was_interrupted = True
                return


@contextmanager
def _stopped_while_waiting(summary: PredictionSummary) -> Iterator[None]:
    try:
        yield
    except StopWaiting:
        summary.was_interrupted = True
        if not summary.num_pictures:
            raise KeyboardInterrupt from None


def _write(
    item: FrameBatch,
    found: Sequence[Detections],
    outputs: Sequence[Output],
    summary: PredictionSummary,
) -> None:
    for frame, each in zip(item.frames, found, strict=True):
        image = cache(frame.image)
        for output in outputs:
            try:
                output.write(frame, image, each)
            except BadNameError as error:
                summary.unwritten.append(Skipped(frame.source, str(error)))


def only(labels: torch.Tensor | None, found: Detections) -> Detections:
    """Return the detections whose label is among `labels` (M,), all of them where that is None."""
    if labels is None:
        return found
    kept = torch.isin(found.labels, labels)
    return Detections(boxes=found.boxes[kept], scores=found.scores[kept], labels=found.labels[kept])


@contextmanager
def _reported(summary: PredictionSummary) -> Iterator[None]:
    """Log the summary also where a stream broke off."""
    start = perf_counter()
    try:
        yield
    finally:
        summary.seconds = perf_counter() - start
        if summary.num_pictures:
            for line in summary.lines():
                logger.info("%s", line)


@contextmanager
def _emptied(folder: Path | None) -> Iterator[None]:
    """Leave no folder behind in which nothing was written."""
    try:
        yield
    finally:
        if folder is not None and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def _open_outputs(
    command: PredictCommand,
    folder: Path | None,
    predictor: Predictor,
    category_ids: Sequence[int],
) -> Iterator[list[Output]]:
    names = predictor.class_names
    style = Style(
        line_width=command.line_width,
        has_names=not command.hides_labels,
        has_scores=not command.hides_scores,
    )
    with ExitStack() as stack:
        outputs: list[Output] = []
        if folder is not None:
            makers: dict[str, Callable[[Path], Output]] = {
                "images": lambda path: AnnotatedImages(path, names, style),
                "video": lambda path: AnnotatedVideos(path, names, style),
                "txt": lambda path: YoloLabels(path / "labels"),
                "csv": lambda path: CsvTable(path / "detections.csv", names),
                "json": lambda path: CocoResults(path / "detections.json", category_ids),
                "crops": lambda path: Crops(path / "crops", names),
                "coco": lambda path: CocoPrelabels(path / "coco", names, category_ids),
                "yolo": lambda path: YoloPrelabels(path / "yolo", names),
                "labelstudio": lambda path: LabelStudioTasks(path / "labelstudio", names),
                "cvat": lambda path: CvatAnnotations(path / "cvat", names),
            }
            outputs += [makers[kind](folder) for kind in command.save]
        if command.save_json is not None:
            outputs.append(CocoResults(command.save_json, category_ids))
        for output in outputs:
            stack.callback(output.close)
        yield outputs


def _require_targets(command: PredictCommand, batches: SourceBatches) -> None:
    """Raise UserError if results would overwrite an input, or anything but JSON."""
    if command.save_json is None:
        return
    sources = batches.sources
    inputs = [Path(found.location) for found in (*sources.stills, *sources.videos)]
    inputs.append(command.weights)
    if command.categories is not None:
        inputs.append(command.categories)
    require_target(command.save_json, option="--save-json", inputs=inputs)


def _labels(classes: Sequence[str], class_names: Sequence[str]) -> torch.Tensor | None:
    if not classes:
        return None
    unknown = [name for name in classes if name not in class_names]
    if unknown:
        close = get_close_matches(unknown[0], class_names, n=1)
        known = f"did you mean {close[0]!r}?" if close else f"theirs are {', '.join(class_names)}"
        raise UserError(f"--classes: the weights have no class {unknown[0]!r}; {known}")
    return torch.tensor([class_names.index(name) for name in classes])


def read_category_ids(path: Path, class_names: Sequence[str]) -> tuple[int, ...]:
    """Return the category id of each class in a COCO annotation file.

    Raises:
        UserError: the file cannot be read, or a class is not among its categories.
    """
    try:
        categories = read_json_object(path, limit=LARGEST_FILE)["categories"]
        ids = {category["name"]: category["id"] for category in categories}
        if not all(type(category_id) is int for category_id in ids.values()):
            raise TypeError("an id is a whole number")
    except UnreadableFileError as error:
        raise UserError(f"--categories {path}: {error.reason}") from error
    except (BrokenJsonError, KeyError, TypeError) as error:
        raise UserError(f"--categories {path}: is not a COCO annotation file") from error
    missing = [name for name in class_names if name not in ids]
    if missing:
        raise UserError(f"--categories {path}: has no category {missing[0]!r}")
    return tuple(ids[name] for name in class_names)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
