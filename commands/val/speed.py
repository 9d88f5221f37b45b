"""What `val.py --task speed` does: time each stage from file to detections."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from time import perf_counter
from typing import Any

import torch

from commands.val.cli import ValCommand
from commands.val.run import load_for_evaluation
from data.images.io import read_image
from data.loading.framing import Framing
from data.loading.loader import check_image_size
from models.inference.inference import Inference
from utils.report.tables.tables import table
from utils.runtime.errors import UserError
from utils.runtime.machine.device import choose_device
from utils.runtime.progress import progress_bar
from utils.structures.images import ImageArray, Record

IMAGES = 32
"""Images that are read and framed, at even distances in the split."""
WARM_UP = 3
"""Rounds that are not counted."""
FEWEST_ROUNDS, MOST_ROUNDS = 7, 50
ENOUGH_S = 5.0
"""Seconds after which no further round begins, once there are enough."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Medians in milliseconds per image at one batch size."""

    batch_size: int
    read: float
    """File to pixels."""
    frame: float
    """Resizing, padding, collating, transfer to the device."""
    network: float
    """Scaling to [0, 1] and forward pass."""
    suppress: float
    """Score threshold, candidates, NMS, on the device."""

    @property
    def total(self) -> float:
        """Sum of all stages; in training and val.py, reading overlaps with the network."""
        return self.read + self.frame + self.network + self.suppress


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedReport:
    """The measurements and their conditions."""

    device: str
    threads: int
    shape: tuple[int, int]
    """(height, width) of the network input: the most frequent one of the split."""
    score_threshold: float
    times: Sequence[StageTimes]

    def lines(self) -> Iterator[str]:
        """Yield the lines of the summary."""
        yield (
            f"{self.device}, {self.threads} threads, input {self.shape[0]}x{self.shape[1]}, "
            f"detections from score {self.score_threshold:g}; medians, ms per image"
        )
        heads = ["batch size", "read", "frame", "network", "NMS", "total", "images/s"]
        rows = [
            [
                str(one.batch_size),
                *(f"{ms:.2f}" for ms in (one.read, one.frame, one.network, one.suppress)),
                f"{one.total:.2f}",
                f"{1e3 / one.total:.1f}",
            ]
            for one in self.times
        ]
        yield table([heads, *rows])

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists and numbers."""
        return asdict(self)


def measure_speed(command: ValCommand) -> SpeedReport:
    """Measure the speed.

    Raises:
        UserError, ConfigError: weights or data cannot be used.
    """
    loaded, experiment, split = load_for_evaluation(command)
    if not split.records:
        raise UserError(f"split {command.split} has no image to measure on")
    device = choose_device(experiment.train.device)
    detector = loaded.detector.to(device)
    check_image_size(experiment.train.image_size, detector.size_multiple)
    framing = Framing(
        image_size=experiment.train.image_size,
        stride=detector.size_multiple,
        rectangular=experiment.eval.rectangular,
    )
    records, shape = _of_one_shape(split.records, framing)
    images = [read_image(record.path, record.depth) for record in records]
    infer = Inference(detector, experiment.eval, fused=experiment.model.fuse)
    read = _reading_ms(records)
    return SpeedReport(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        shape=shape,
        score_threshold=experiment.eval.score_threshold,
        times=[
            _stage_times(infer, framing, images, size, read, device) for size in command.batch_sizes
        ],
    )


def _of_one_shape(
    records: Sequence[Record], framing: Framing
) -> tuple[list[Record], tuple[int, int]]:
    shapes = [framing.letterbox(record.size).shape for record in records]
    shape, _ = Counter(shapes).most_common(1)[0]
    chosen = [record for record, one in zip(records, shapes, strict=True) if one == shape]
    return chosen[:: max(1, len(chosen) // IMAGES)][:IMAGES], shape


def _stage_times(
    infer: Inference,
    framing: Framing,
    images: Sequence[ImageArray],
    batch_size: int,
    read: float,
    device: torch.device,
) -> StageTimes:
    frame: list[float] = []
    network: list[float] = []
    suppress: list[float] = []
    started = perf_counter()
    with progress_bar(f"batch size {batch_size}", total=None, unit="round") as bar:
        for round_number in range(-WARM_UP, MOST_ROUNDS):
            if round_number >= FEWEST_ROUNDS and perf_counter() - started > ENOUGH_S:
                break
            # Other pictures each time, as in use: their decoded pixels are not in the cache.
            shift = round_number % len(images)
            chosen = [images[(shift + index) % len(images)] for index in range(batch_size)]
            times = _one_round(infer, framing, chosen, device)
            bar.update()
            if round_number >= 0:
                for stage, ms in zip((frame, network, suppress), times, strict=True):
                    stage.append(ms / batch_size)
    return StageTimes(
        batch_size=batch_size,
        read=read,
        frame=statistics.median(frame),
        network=statistics.median(network),
        suppress=statistics.median(suppress),
    )


def _one_round(
    infer: Inference, framing: Framing, images: Sequence[ImageArray], device: torch.device
) -> tuple[float, float, float]:
    """Return ms of framing, network and suppression of one batch."""
    marks = [_now(device)]
    batch = framing.batch(images).to(device)
    marks.append(_now(device))
    outputs = infer.outputs(batch)
    marks.append(_now(device))
    infer.detections(outputs)
    marks.append(_now(device))
    frame, network, suppress = ((end - start) * 1e3 for start, end in pairwise(marks))
    return frame, network, suppress


def _reading_ms(records: Sequence[Record]) -> float:
    """Return ms of reading an image that was read before, so that its file is in memory."""
    times = []
    for record in records:
        start = perf_counter()
        read_image(record.path, record.depth)
        times.append((perf_counter() - start) * 1e3)
    return statistics.median(times)


def _now(device: torch.device) -> float:
    """Return the time after `device` has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return perf_counter()
