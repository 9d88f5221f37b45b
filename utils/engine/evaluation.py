"""The one evaluation: training and val.py both call `evaluate`, so they give the same numbers.

Detector and batches come in through protocols; metrics are computed in `utils/metrics`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from dataclasses import replace
from time import perf_counter
from typing import Protocol

import torch

from utils.metrics.evaluator import DetectionEvaluator
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.progress import progress_bar
from utils.structures.batch import Batch
from utils.structures.images import ImageMeta
from utils.structures.results import Detections, EvalResult


class DetectorOutput(Protocol):
    """Detections of a batch, one entry per image, and where a limit may have cut some off."""

    @property
    def detections(self) -> Sequence[Detections]:
        """Boxes in the network frame, on any device."""
        ...

    @property
    def at_candidate_cap(self) -> Sequence[bool]:
        """Whether the image had more candidates than NMS may look at."""
        ...

    @property
    def at_detection_cap(self) -> Sequence[bool]:
        """Whether the image had more detections than are kept."""
        ...


def evaluate(
    detect: Callable[[Batch], DetectorOutput],
    batches: Iterable[Batch],
    evaluator: DetectionEvaluator,
    *,
    device: torch.device,
    progress: bool,
    description: str,
    ranks: Ranks = ALONE,
) -> EvalResult:
    """Evaluate detections of all batches in the frame of the original images.

    Args:
        detect: maps a batch on `device` to its detections; called without gradient. A model has to
            be in evaluation mode.
        batches: the images of the evaluator's ground truth, each once, in any order.
        evaluator: is reset first, and keeps the detections afterwards (`to_coco_results`).
        device: where `detect` wants its batch.
        progress: show a bar where stderr is a terminal.
        description: what the bar says, such as "validate".
        ranks: this process among those that share the images; all return the same.

    Returns:
        The numbers, with wall seconds of loading (waiting for batches), inference (transfer,
        network, postprocessing) and of computing the AP.

    Raises:
        ValueError: from the evaluator, such as images that are missing or came twice.
    """
    evaluator.reset()
    seconds = {"load": 0.0, "inference": 0.0, "judge": 0.0}
    arriving: Iterable[Batch] = _timed(batches, seconds)
    if progress:
        arriving = _with_progress(arriving, batches, description)
    # no_grad, not inference_mode: a tensor that the model keeps, such as a grid of cells, must
    # still be usable by the training that continues afterwards.
    with torch.no_grad():
        for batch in arriving:
            start = perf_counter()
            ranks.at(f"{description}, image {batch.metas[0].image_id}")
            output = detect(batch.to(device))
            found = in_original_frame(output.detections, batch.metas)
            seconds["inference"] += perf_counter() - start
            evaluator.update(
                [meta.image_id for meta in batch.metas],
                found,
                at_candidate_cap=output.at_candidate_cap,
                at_detection_cap=output.at_detection_cap,
            )
    if ranks.size > 1:
        evaluator.join(ranks.gather)
    start = perf_counter()
    result = evaluator.compute()
    seconds["judge"] = perf_counter() - start
    return replace(result, seconds=seconds)


def in_original_frame(
    detections: Sequence[Detections], metas: Sequence[ImageMeta]
) -> list[Detections]:
    """Return detections, boxes (K, 4) in the network frame, on the CPU in their original frames.

    Mapped on the CPU, in float32, so that a result does not depend on the device's division.
    """
    mapped = []
    for found, meta in zip(detections, metas, strict=True):
        boxes, scores, labels = found.boxes.cpu(), found.scores.cpu(), found.labels.cpu()
        mapped.append(Detections(boxes=meta.to_original(boxes), scores=scores, labels=labels))
    return mapped


def _timed(batches: Iterable[Batch], seconds: dict[str, float]) -> Iterator[Batch]:
    """Yield the batches and add the waiting time for each to seconds["load"]."""
    start = perf_counter()
    for batch in batches:
        seconds["load"] += perf_counter() - start
        yield batch
        start = perf_counter()


def _with_progress(
    timed: Iterable[Batch], batches: Iterable[Batch], description: str
) -> Iterator[Batch]:
    total = len(batches) if isinstance(batches, Sized) else 0
    with progress_bar(description, total=total) as bar:
        for batch in timed:
            yield batch
            bar.update()
