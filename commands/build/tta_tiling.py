"""Inference and evaluation on several views of an image: tiles, test-time augmentation (TTA)."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from time import perf_counter

import torch

from commands.view_options import ViewOptions
from configs.schema.evaluation import EvalSettings
from data.images.io import read_image
from data.loading.dataset import collate
from data.loading.framing import Framing
from data.loading.tta_tiling import View, ViewPlan
from models.inference.merge_views import merge
from models.inference.nms import Postprocessed
from utils.engine.evaluation import DetectorOutput, in_original_frame
from utils.metrics.evaluator import DetectionEvaluator
from utils.runtime.progress import progress_bar
from utils.structures.batch import Batch
from utils.structures.images import ImageArray, Record
from utils.structures.results import Detections, EvalResult


class ViewInference:
    """Maps one picture to its detections, in pixels of the picture, on the CPU."""

    def __init__(
        self,
        infer: Callable[[Batch], DetectorOutput],
        options: ViewOptions,
        *,
        framing: Framing,
        settings: EvalSettings,
        device: torch.device,
    ) -> None:
        """Prepare.

        Args:
            infer: detects objects in a batch on `device`, with NMS in each view.
            options: the views.
            framing: of an ordinary input.
            settings: batch_size, and the suppression that merges the views.
            device: where `infer` wants its batch.
        """
        self._infer = infer
        self._plan = ViewPlan(
            framing=framing,
            tile=options.tile,
            overlap=options.overlap,
            is_augmented=options.tta,
        )
        self._settings = settings
        self._device = device

    @torch.no_grad()
    def __call__(self, picture: ImageArray) -> Postprocessed:
        """Return the detections of a picture (H, W, 3) uint8 RGB."""
        views = self._plan.views((picture.shape[0], picture.shape[1]))
        by_shape: dict[tuple[int, int], list[int]] = defaultdict(list)
        for index, view in enumerate(views):
            by_shape[view.shape].append(index)
        found: dict[int, Detections] = {}
        had_more = is_full = False
        for indices in by_shape.values():
            for start in range(0, len(indices), self._settings.batch_size):
                chosen = indices[start : start + self._settings.batch_size]
                parts, output = self._look(picture, [views[index] for index in chosen])
                found.update(zip(chosen, parts, strict=True))
                had_more |= any(output.at_candidate_cap)
                is_full |= any(output.at_detection_cap)
        if len(views) == 1:
            # Suppressed already, and in the network's frame, before clipping: as without views.
            return Postprocessed(
                detections=(found[0],), at_candidate_cap=(had_more,), at_detection_cap=(is_full,)
            )
        merged, has_more = merge(
            [found[index] for index in range(len(views))],
            [view.is_cut(found[index].boxes) for index, view in enumerate(views)],
            iou_threshold=self._settings.iou_threshold,
            max_detections=self._settings.max_detections,
            class_agnostic=self._settings.class_agnostic,
        )
        return Postprocessed(
            detections=(merged,),
            at_candidate_cap=(had_more,),
            at_detection_cap=(is_full or has_more,),
        )

    def _look(
        self, picture: ImageArray, views: list[View]
    ) -> tuple[list[Detections], DetectorOutput]:
        """Return the detections of views of one network shape, and the raw predictions."""
        batch = collate([view.sample(picture) for view in views])
        output = self._infer(batch.to(self._device))
        of_regions = in_original_frame(output.detections, batch.metas)
        found = [view.to_picture(each) for view, each in zip(views, of_regions, strict=True)]
        return found, output


LOOK_AHEAD = 2
"""Pictures read ahead of the network."""


def evaluate_views(
    infer: ViewInference,
    records: Sequence[Record],
    evaluator: DetectionEvaluator,
    *,
    description: str,
) -> EvalResult:
    """Evaluate `infer` on the images of the evaluator.

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
            waiting.append(pool.submit(read_image, record.path, record.depth))
            if len(waiting) > LOOK_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
