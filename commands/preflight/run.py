"""Everything that a training does, once and small: read, step, evaluate, save, resume, export."""

import copy
import importlib.util
import logging
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter

import torch

from commands.build.batch_size import choose_batch_size
from commands.build.criterion import unscaled_criterion
from commands.build.derived_recipe import derive_recipe
from commands.build.evaluation import build_evaluation
from commands.build.training_start import TrainingStart, build_training_detector, weights_metadata
from commands.export.cli import parse_export_command
from commands.export.run import export
from commands.preflight.findings import Preflight, check_disk, check_folder, judge_speed
from commands.train.banner import banner
from commands.train.hooks import training_hooks
from configs.reading.load import LoadedExperiment
from configs.schema.train import TrainSettings
from data.doctor.examine import worst_lines
from data.images.cache import ImageCache
from data.loading.loader import (
    TrainBatches,
    build_train_batches,
    eval_reader,
    open_training_cache,
    train_reader,
)
from data.records.load import Split, load_split
from models.detector import Detector
from utils.engine.hook import Hook
from utils.engine.learner import Learner, too_little_memory
from utils.engine.precision import choose_precision
from utils.engine.run import Run
from utils.engine.trainer import Trainer
from utils.runtime.distributed.ranks import ALONE
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.memory import GIB, is_out_of_memory, used_memory
from utils.runtime.machine.threads import available_cores, loader_workers, set_threads
from utils.runtime.progress import format_duration, progress_bar
from utils.runtime.seeding import seed_process, set_deterministic
from utils.structures.batch import Batch
from utils.structures.exact import move
from utils.structures.images import Record

STEPS = 2
"""Batches learned in each precision, and by the training that is killed."""
LOADED = 4
"""Batches that are loaded to see how long that takes."""
EVALUATED = 16
"""Images of the evaluation."""
SHOWN = 3


def preflight(loaded: LoadedExperiment) -> Preflight:
    """Try what `loaded` would train; nothing of it stays but the cache of decoded images.

    Mistakes of the user become findings; those of the configuration are found before.
    """
    result = Preflight()
    settings = loaded.experiment.train
    check_folder(result, Path(loaded.experiment.run.folder))
    device = choose_device(settings.device)
    set_threads(settings.threads)
    set_deterministic(settings.deterministic)
    splits: list[Split] = []
    with result.trying("labels"):
        splits += _read_labels(result, loaded)
    if not splits:
        return result
    parts: _Parts | None = None
    with result.trying("network and loss"):
        parts = _build(result, loaded, splits, device)
    if parts is None:
        return result
    with result.trying(f"{sum(len(split.records) for split in splits)} images read"):
        _read_images(parts, splits)
    try:
        _try_training(result, parts)
    finally:
        parts.batches.close()
    return result


@dataclass(kw_only=True)
class _Parts:
    start: TrainingStart
    splits: list[Split]
    batches: TrainBatches
    cache: ImageCache | None
    device: torch.device

    @property
    def settings(self) -> TrainSettings:
        return self.start.loaded.experiment.train


def _read_labels(result: Preflight, loaded: LoadedExperiment) -> list[Split]:
    data = loaded.experiment.data
    names = ["train", *(["val"] if data.format == "synthetic" or data.val is not None else [])]
    splits = [load_split(data, name) for name in names]  # type: ignore[arg-type]
    for split in splits:
        for line in split.report.summary()[:2]:
            result.say(line)
        split.report.require_usable(data.max_rejected)
        if split.report.num_rejected:
            result.warn(f"{split.name}: {split.report.num_rejected} label rows are not used")
    if not any(len(record.boxes) for record in splits[0].records):
        raise UserError(f"not one object in {len(splits[0].records)} training images")
    for line in worst_lines(splits, image_size=loaded.experiment.train.image_size):
        result.warn(line.removeprefix("data: "))
    return splits


def _build(
    result: Preflight, loaded: LoadedExperiment, splits: list[Split], device: torch.device
) -> _Parts:
    loaded = choose_batch_size(loaded, splits[0], device, ALONE)
    loaded = derive_recipe(loaded, splits[0])
    settings = loaded.experiment.train
    seed_process(settings.seed)
    start = build_training_detector(loaded, splits[0])
    if start.transfer is not None:
        result.say(start.transfer.summary().splitlines()[0])
    val = splits[1].records if len(splits) > 1 else ()
    for line in banner(
        start.detector,
        settings,
        device,
        ALONE,
        network=loaded.network_name,
        images=(len(splits[0].records), len(val)),
    ):
        result.say(line)
    stride = start.detector.size_multiple
    cache = open_training_cache(settings, splits[0].records, val, stride=stride)
    batches = build_train_batches(
        splits[0].records, start.loaded.experiment, stride=stride, device=device, cache=cache
    )
    parameters = sum(parameter.numel() for parameter in start.detector.parameters())
    wanted = 0
    if cache is not None:
        needs = train_reader(settings, stride, None).wanted(splits[0].records)
        wanted = sum((needs | eval_reader(settings.image_size, None).wanted(val)).values())
    folder = Path(loaded.experiment.run.folder)
    check_disk(result, folder, parameters=parameters, cache_bytes=wanted)
    return _Parts(start=start, splits=splits, batches=batches, cache=cache, device=device)


def _read_images(parts: _Parts, splits: list[Split]) -> None:
    """Read every image once, which fills the cache of decoded ones.

    Raises:
        UserError: some cannot be read; names the first of them.
    """
    readers = (
        train_reader(parts.settings, parts.start.detector.size_multiple, parts.cache),
        eval_reader(parts.settings.image_size, parts.cache),
    )
    faults: list[str] = []

    def read(record: Record, number: int) -> None:
        try:
            readers[number](record)
        except UserError as error:
            faults.append(str(error))

    work = [(record, number) for number, split in enumerate(splits) for record in split.records]
    with (
        ThreadPoolExecutor(available_cores()) as pool,
        progress_bar("reading images", total=len(work), unit="image") as bar,
    ):
        for _ in pool.map(lambda item: read(*item), work):
            bar.update()
    if faults:
        more = f" and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise UserError("; ".join(faults[:SHOWN]) + more)


def _try_training(result: Preflight, parts: _Parts) -> None:
    """Load, step in every precision, then train, evaluate, kill, resume and export."""
    batches: list[Batch] = []
    load_s = 0.0
    with result.trying("batches loaded"):
        batches, load_s = _load(parts.batches)
    if not batches:
        return
    step_s = 0.0
    for name in precisions(parts.device):
        with result.trying(f"{STEPS} steps in {name}"):
            seconds = _step(parts, batches, name)
            result.say(f"{name}: {seconds * 1e3:.0f} ms a step, {_memory(parts.device)} held")
            is_chosen = choose_precision(parts.settings.precision, parts.device) == (
                choose_precision(name, parts.device)
            )
            step_s = seconds if is_chosen else step_s
    workers = loader_workers(parts.settings.workers, parts.device.type)
    if step_s:
        epoch_s = judge_speed(
            result, load_s=load_s, step_s=step_s, workers=workers, batches=len(parts.batches)
        )
        epochs = parts.settings.epochs
        result.say(
            f"an epoch: about {format_duration(epoch_s)}, {epochs} of them "
            f"{format_duration(epoch_s * epochs)}, evaluation not included"
        )
    if not result.is_clear:
        return
    with tempfile.TemporaryDirectory(prefix="focaldet-preflight-") as scratch:
        folder = RunFolder(Path(scratch))
        with result.trying("trained, evaluated, killed and resumed"):
            _train_killed_and_resumed(parts, folder, batches)
        if folder.best.is_file():
            with result.trying("exported as ONNX and checked"):
                _export(result, folder)


def precisions(device: torch.device) -> list[str]:
    """Return the arithmetic that the device has: float32, and what `auto` would take."""
    dtype = choose_precision("auto", device)
    halves = {torch.bfloat16: "bf16", torch.float16: "fp16"}
    own = [] if dtype is None else [halves[dtype]]
    return ["float32", *own, *(["fp16"] if device.type == "cuda" and own == ["bf16"] else [])]


def _load(source: TrainBatches) -> tuple[list[Batch], float]:
    """Return the first batches and the seconds for one, the start of the workers not counted."""
    began = perf_counter()
    times: list[float] = []
    batches = []
    for batch in islice(source.epoch(0), LOADED):
        times.append(perf_counter() - began)
        began = perf_counter()
        batches.append(batch)
    later = times[1:] or times
    return batches, sum(later) / max(len(later), 1)


def _learner(parts: _Parts, detector: Detector, settings: TrainSettings) -> Learner:
    experiment = parts.start.loaded.experiment
    criterion = unscaled_criterion(experiment.loss, experiment, detector, parts.splits[0])
    return Learner(
        detector,
        move(criterion, parts.device),
        settings,
        batches_per_epoch=STEPS,
        device=parts.device,
        rules=parts.start.rules,
    )


def _step(parts: _Parts, batches: list[Batch], precision: str) -> float:
    """Return the seconds of the last of a few steps.

    Raises:
        UserError: loss or gradient are not finite, or the memory is too small.
    """
    changes = {"precision": precision, "nominal_batch": parts.settings.batch_size}
    settings = parts.settings.model_copy(update=changes)
    learner = _learner(parts, copy.deepcopy(parts.start.detector), settings)
    learner.model.train()
    seconds = 0.0
    try:
        for iteration in range(STEPS):
            began = perf_counter()
            terms = learner.learn(batches[iteration % len(batches)], iteration)
            if terms is not None:
                float(terms.total)  # waits for the device
            seconds = perf_counter() - began
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise too_little_memory(parts.device, settings) from error
    return seconds


def _memory(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{torch.cuda.max_memory_reserved(device) / GIB:.2g} GiB"
    return f"{used_memory(device) / GIB:.2g} GiB"


class _Killed(BaseException):
    """Ends a training where nobody catches it, as a kill does."""


class _KillAfterSave(Hook):
    """Saves after the first batch and kills the training after the second."""

    def after_step(self, run: Run, losses: object) -> None:
        """Save or kill."""
        if run.batch > 1:
            raise _Killed
        run.save()


class _FirstBatches:
    """An epoch of a few batches that are there already."""

    def __init__(self, batches: list[Batch]) -> None:
        self._batches = [batches[number % len(batches)] for number in range(STEPS)]

    def __len__(self) -> int:
        return STEPS

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        yield from self._batches[start:]


def _train_killed_and_resumed(parts: _Parts, folder: RunFolder, batches: list[Batch]) -> None:
    """Train an epoch of two batches twice: killed after the first was saved, then resumed.

    Raises:
        UserError: a part of it fails, or the training does not go on where it was saved.
    """
    try:
        _trainer(parts, folder, batches, _KillAfterSave()).run()
    except _Killed:
        pass
    else:
        raise UserError("the training was not killed")
    trainer = _trainer(parts, folder, batches)
    trainer.resume()
    if trainer.current.batch != 1:
        raise UserError(f"resumed at batch {trainer.current.batch} instead of 1")
    trainer.run()


def _trainer(parts: _Parts, folder: RunFolder, batches: list[Batch], *own: Hook) -> Trainer:
    loaded, train, *others = parts.start.loaded, *parts.splits
    settings = parts.settings.model_copy(update={"epochs": 1})
    seed_process(settings.seed)
    detector = copy.deepcopy(parts.start.detector)
    evaluation = None
    if others:
        small = replace(others[0], records=others[0].records[:EVALUATED])
        experiment = loaded.experiment.model_copy(
            update={"train": settings.model_copy(update={"workers": 0})}
        )
        evaluation = build_evaluation(
            detector, small, experiment, device=parts.device, cache=parts.cache
        )
    return Trainer(
        learner=_learner(parts, detector, settings),
        batches=_FirstBatches(batches),
        evaluate=evaluation,
        folder=folder,
        hooks=training_hooks(
            loaded.experiment,
            folder,
            metadata=weights_metadata(loaded, detector, train),
            budget=None,
            own=own,
            page=None,
        ),
    )


def _export(result: Preflight, folder: RunFolder) -> None:
    if importlib.util.find_spec("onnx") is None:
        result.warn("export not tried: pip install -r requirements-export.txt")
        return
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.WARNING)
    try:
        export(parse_export_command(["--weights", str(folder.best)]))
    finally:
        logging.getLogger().setLevel(level)
