"""What `model.prior` counts, against counting one object at a time."""

from pathlib import Path

import numpy as np
import pytest
import torch

import commands.build.priors as module
from commands.build.priors import positive_shares
from configs.schema.loss import LossSettings
from configs.schema.model import AssignerSettings, IouAssignerSettings
from models.assign import build_assigner
from models.detector import Detector, build_detector
from tests.models.factories import read_graph
from utils.structures.batch import Targets
from utils.structures.images import Record


def record(index: int, boxes: list[list[float]], labels: list[int], ignore: list[bool]) -> Record:
    """An image of 96 x 128 pixels."""
    array = np.array(boxes, np.float32).reshape(-1, 4)
    return Record(
        path=Path(f"{index}.png"),
        image_id=index,
        size=(96, 128),
        boxes=array,
        labels=np.array(labels, np.int64),
        ignore=np.array(ignore, bool),
        area=(array[:, 2:] - array[:, :2]).prod(axis=1),
    )


RECORDS = [
    record(0, [[10, 10, 50, 40], [60, 20, 90, 70]], [0, 1], [False, False]),
    record(1, [], [], []),
    record(2, [[5, 5, 100, 90], [20, 30, 45, 60]], [1, 0], [True, False]),
]


@pytest.fixture
def detector() -> Detector:
    return build_detector(read_graph("retinanet-csp-n"), num_classes=3)


@pytest.mark.slow
@pytest.mark.parametrize("at_a_time", [1, 2, 32])
@pytest.mark.parametrize("assigner", [None, IouAssignerSettings(name="iou", negative=0.1)])
def test_shares_equal_those_of_one_image_after_the_other(
    detector: Detector,
    assigner: IouAssignerSettings | None,
    at_a_time: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "IMAGES_AT_A_TIME", at_a_time)
    loss = LossSettings().model_copy(update={"assigner": assigner} if assigner else {})
    positives, cells = [0, 0, 0], 0
    with torch.no_grad():
        predictions = detector.eval()(torch.rand(1, 3, 64, 64))
    for image in RECORDS:
        kept = ~image.ignore
        boxes = torch.tensor(image.boxes[kept] / 2 + np.array([0, 8, 0, 8])).float()
        targets = Targets(
            boxes=boxes,
            labels=torch.tensor(image.labels[kept]),
            image_index=torch.zeros(len(boxes), dtype=torch.int64),
        )
        for level, raw in zip(
            build_assigner(loss.assigner)(predictions, targets).levels,
            predictions.levels,
            strict=True,
        ):
            for target in level.target[level.valid].tolist():
                positives[int(targets.labels[target])] += 1
            cells += raw[..., 0].numel()
            cells -= 0 if level.ignored is None else int(level.ignored.sum())
    assert sum(positives) > 0
    shares = positive_shares(RECORDS, detector, loss, image_size=64)
    assert shares == pytest.approx([count / cells for count in positives])


def test_many_images_are_thinned_out(detector: Detector, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COUNTED_IMAGES", 1)
    alone = positive_shares(RECORDS[:1], detector, LossSettings(), image_size=64)
    assert positive_shares(RECORDS, detector, LossSettings(), image_size=64) == alone


@pytest.mark.parametrize("at_a_time", [1, 32])
def test_for_an_assigner_that_reads_predictions_an_object_is_one_cell(
    detector: Detector, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "IMAGES_AT_A_TIME", at_a_time)
    monkeypatch.setattr(AssignerSettings, "reads_predictions", True)
    cells = 3 * 9 * (8 * 8 + 4 * 4 + 2 * 2 + 1 + 1)
    shares = positive_shares(RECORDS, detector, LossSettings(), image_size=64)
    assert shares == pytest.approx([2 / cells, 1 / cells, 0.0])
