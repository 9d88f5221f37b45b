"""A batch gives what its images give, in however many parts it is computed."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from configs.schema.evaluation import EvalSettings
from models.inference.inference import Inference
from models.inference.nms import Postprocessed
from tests.models.factories import randomise_norms, tiny_detector
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta
from utils.structures.score_calibrator import ScoreCalibrator
from utils.structures.scored_cells import ScoredCells

SIZE = 32


def noise(count: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator)
    nothing = torch.zeros(0, dtype=torch.int64)
    meta = ImageMeta(path="", image_id=0, original_size=(SIZE, SIZE), scale=(1.0, 1.0), pad=(0, 0))
    return Batch(
        images=images.permute(0, 3, 1, 2),
        targets=Targets(boxes=torch.zeros(0, 4), labels=nothing, image_index=nothing),
        metas=(meta,) * count,
    )


def limits(found: Postprocessed) -> tuple[tuple[bool, ...], tuple[bool, ...]]:
    return found.at_candidate_cap, found.at_detection_cap


@pytest.mark.parametrize(
    ("images", "pixels", "parts"),
    [
        (5, 5 * SIZE**2, [5]),
        (5, 5 * SIZE**2 - 1, [3, 2]),
        (5, 2 * SIZE**2, [2, 2, 1]),
        (3, 1, [1, 1, 1]),
        (1, 1, [1]),
    ],
)
def test_parts_stay_below_the_limit_and_give_the_whole(
    images: int, pixels: int, parts: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = tiny_detector()
    randomise_norms(detector)
    settings = EvalSettings(max_detections=7, max_candidates=1000)
    infer, batch = Inference(detector, settings, fused=True), noise(images)
    whole = infer.detections(infer.outputs(batch))
    sizes: list[int] = []
    compute: Callable[[Batch], object] = infer.outputs
    monkeypatch.setattr(infer, "outputs", lambda part: (sizes.append(len(part)), compute(part))[1])
    monkeypatch.setattr("models.inference.inference.PART_PIXELS", pixels)
    found = infer(batch)
    assert sizes == parts
    assert limits(found) == limits(whole) == ((False,) * images, (True,) * images)
    assert len(found.detections) == images
    for ours, expected in zip(found.detections, whole.detections, strict=True):
        assert len(expected) == 7
        torch.testing.assert_close(ours.boxes, expected.boxes)
        torch.testing.assert_close(ours.scores, expected.scores)
        assert torch.equal(ours.labels, expected.labels)


class Program:
    """A network of another program."""

    size_multiple = 8
    score_calibrator: ScoreCalibrator | None = None

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def to(self, device: torch.device) -> "Program":
        return self

    def check_settings(self, settings: EvalSettings) -> None:
        pass

    def __call__(self, images: Tensor) -> ScoredCells:
        self.sizes.append(len(images))
        return ScoredCells(
            boxes=torch.zeros(len(images), 1, 4), scores=torch.ones(len(images), 1, 2)
        )


def test_other_programs_get_whole_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.inference.inference.PART_PIXELS", 1)
    program = Program()
    found = Inference(program, EvalSettings(), fused=True)(noise(3))
    assert program.sizes == [3]
    assert [len(each) for each in found.detections] == [2, 2, 2]
