"""Matches, losses and gradients of the published detector, for every reference file there is.

Files are found by what they hold, so new ones (other seeds, classes, levels) need no change here.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor, nn

from models.assign import AnchorRatioAssigner
from models.heads.detect import CellDecoder
from models.losses import Branch, DetectionCriterion, FocalLoss
from models.losses.box import OverlapLoss
from models.losses.criterion.box_term import BoxTerm
from tests.conftest import golden_files
from utils.structures.batch import Targets
from utils.structures.predictions import LevelAssignment, Predictions

Arrays = dict[str, npt.NDArray[Any]]
NEEDED = {"pred0", "grad0", "match0", "targets", "anchors_px", "strides", "hyp"}


def cases() -> list[Path]:
    found = []
    for path in golden_files("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            if set(arrays.files) >= NEEDED:
                found.append(path)
    return found


CASES = cases()


class Reference:
    """One file: the inputs as our types, the results as they are."""

    def __init__(self, path: Path) -> None:
        with np.load(path, allow_pickle=False) as arrays:
            self.arrays: Arrays = {name: arrays[name] for name in arrays.files}
        self.settings = json.loads(str(self.arrays["hyp"]))
        self.num_levels = len(self.arrays["strides"])
        self.levels = tuple(
            torch.tensor(self.arrays[f"pred{i}"]).requires_grad_() for i in range(self.num_levels)
        )
        self.predictions = Predictions(
            levels=self.levels,
            anchors=torch.tensor(self.arrays["anchors_px"]),
            strides=tuple(int(stride) for stride in self.arrays["strides"]),
            decoder=CellDecoder(),
        )
        rows = torch.tensor(self.arrays["targets"])
        height, width = self.arrays["imgsz_hw"].tolist()
        pixels = torch.tensor([width, height], dtype=torch.float32)
        centers, half_sizes = rows[:, 2:4] * pixels, rows[:, 4:6] * pixels / 2
        self.targets = Targets(
            boxes=torch.cat((centers - half_sizes, centers + half_sizes), dim=1),
            labels=rows[:, 1].long(),
            image_index=rows[:, 0].long(),
        )
        self.assigner = AnchorRatioAssigner(max_ratio=self.settings["anchor_t"])

    def criterion(self, claimed_twice: str) -> DetectionCriterion:
        return DetectionCriterion(
            assigner=self.assigner,
            box=BoxTerm(OverlapLoss("ciou"), gain=self.settings["box"]),
            objectness=Branch(self.loss("obj_pw"), gain=self.settings["obj"], target="iou"),
            classification=Branch(
                self.loss("cls_pw"),
                gain=self.settings["cls"],
                label_smoothing=self.settings["label_smoothing"],
            ),
            claimed_twice=claimed_twice,  # type: ignore[arg-type]
        )

    def loss(self, weight_key: str) -> nn.Module:
        weight = torch.tensor([self.settings[weight_key]])
        bce = nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")
        gamma = self.settings["fl_gamma"]
        return FocalLoss(bce, gamma, 0.25, form="linear") if gamma > 0 else bce


def table(level: LevelAssignment) -> Tensor:
    cells = (level.image, level.anchor, level.row, level.column)
    return torch.stack(cells, dim=1)[level.valid]


each_case = pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)


@each_case
def test_matches_are_equal_as_sets(path: Path) -> None:
    case = Reference(path)
    assignment = case.assigner(case.predictions, case.targets)
    assert len(assignment.levels) == case.num_levels
    for index, level in enumerate(assignment.levels):
        expected = [tuple(row) for row in case.arrays[f"match{index}"].tolist()]
        got = [tuple(row) for row in table(level).tolist()]
        assert len(got) == len(expected)
        assert set(got) == set(expected)


@each_case
def test_every_match_has_its_box_and_class(path: Path) -> None:
    case = Reference(path)
    for index, level in enumerate(case.assigner(case.predictions, case.targets).levels):
        expected = {
            tuple(cell): (box, label)
            for cell, box, label in zip(
                case.arrays[f"match{index}"].tolist(),
                case.arrays[f"match_box{index}"],
                case.arrays[f"match_cls{index}"].tolist(),
                strict=True,
            )
        }
        for cell, target in zip(table(level).tolist(), level.target[level.valid], strict=True):
            expected_box, expected_label = expected[tuple(cell)]
            box = case.targets.boxes[target] / case.predictions.strides[index]
            centre = (box[:2] + box[2:]) / 2 - torch.tensor([cell[3], cell[2]])
            got = torch.cat((centre, box[2:] - box[:2]))
            np.testing.assert_allclose(got.numpy(), expected_box, rtol=1e-5, atol=1e-5)
            assert case.targets.labels[target].item() == expected_label


@each_case
@pytest.mark.parametrize("claimed_twice", ["best", "last"])
def test_loss_terms_agree_within_1e_5(path: Path, claimed_twice: str) -> None:
    case = Reference(path)
    terms = case.criterion(claimed_twice)(case.predictions, case.targets)
    got = [terms["box"].item(), terms["objectness"].item(), terms["classification"].item()]
    np.testing.assert_allclose(got, case.arrays["loss_box_obj_cls"], rtol=1e-5, atol=0)
    np.testing.assert_allclose(terms.total.item(), case.arrays["loss_total"].item(), rtol=1e-5)
    matches = sum(len(case.arrays[f"match{index}"]) for index in range(case.num_levels))
    assert terms.num_foreground.item() == matches


@each_case
def test_gradients_agree_within_1e_5_of_the_largest(path: Path) -> None:
    case = Reference(path)
    case.criterion("best")(case.predictions, case.targets).total.backward()
    largest = max(np.abs(case.arrays[f"grad{i}"]).max() for i in range(case.num_levels))
    for index, level in enumerate(case.levels):
        expected = case.arrays[f"grad{index}"]
        assert level.grad is not None
        limit = 1e-5 * min(largest, np.abs(expected).max())
        np.testing.assert_allclose(level.grad.numpy(), expected, rtol=0, atol=limit)
