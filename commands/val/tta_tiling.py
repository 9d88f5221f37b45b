"""Judges a detector that looks at every picture of a split several times."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter

from commands.build.tta_tiling import ViewInference
from data.images.io import read_image
from utils.metrics.evaluator import DetectionEvaluator
from utils.runtime.progress import progress_bar
from utils.structures.images import ImageArray, Record
from utils.structures.results import EvalResult

LOOK_AHEAD = 2
"""Pictures that are read while the network works on one."""


def evaluate_views(
    infer: ViewInference,
    records: Sequence[Record],
    evaluator: DetectionEvaluator,
    *,
    description: str,
) -> EvalResult:
    """Return how good `infer` is on the images of the evaluator's truths.

    As `utils.engine.evaluation.evaluate`, picture by picture.

    Raises:
        UserError: an image cannot be read.
    """
    evaluator.reset()
    seconds = {"load": 0.0, "inference": 0.0, "judge": 0.0}
    arriving = _pictures(records)
    with progress_bar(description, total=len(records), unit="picture") as bar:
        for record in records:
            start = perf_counter()
            picture = next(arriving)
            loaded = perf_counter()
            output = infer(picture)
            seconds["load"] += loaded - start
            seconds["inference"] += perf_counter() - loaded
            evaluator.update(
                [record.image_id],
                output.detections,
                at_candidate_cap=output.at_candidate_cap,
                at_detection_cap=output.at_detection_cap,
            )
            bar.update()
    start = perf_counter()
    result = evaluator.compute()
    seconds["judge"] = perf_counter() - start
    return replace(result, seconds=seconds)


def _pictures(records: Sequence[Record]) -> Iterator[ImageArray]:
    waiting: deque[Future[ImageArray]] = deque()
    with ThreadPoolExecutor(LOOK_AHEAD) as pool:
        for record in records:
            waiting.append(pool.submit(read_image, record.path))
            if len(waiting) > LOOK_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
