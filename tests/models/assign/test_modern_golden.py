"""Assigners that look at predictions against what published implementations assigned."""

from pathlib import Path

import pytest
import torch

from models.assign.dynamic_k import SimOtaAssigner, SoftLabelAssigner
from models.assign.task_aligned import TaskAlignedAssigner
from tests.models import modern_golden as golden
from utils.structures.predictions import Assignment


def check(assignment: Assignment, expected: torch.Tensor, quality: torch.Tensor) -> None:
    num_images = len(expected)
    torch.testing.assert_close(
        golden.target_of_cell(assignment, num_images), expected.long(), rtol=0, atol=0
    )
    own = golden.quality_of_cell(assignment, num_images)
    torch.testing.assert_close(own, torch.where(expected >= 0, quality, 0.0), rtol=0, atol=1e-5)


@pytest.mark.parametrize("path", golden.golden_files("tal_*.npz"), ids=lambda path: path.stem)
def test_task_aligned(path: Path) -> None:
    data = golden.load(path)
    predictions, targets = golden.tal_case(data)
    assigner = TaskAlignedAssigner(
        alpha=float(data["alpha"]),
        beta=float(data["beta"]),
        topk=int(data["topk"]),
        min_side=0,
        rescue=False,
        eps=1e-7,  # what these files were made with; later codes have 1e-9
    )
    expected = golden.tensor(data["target_of_cell"])[None]
    assert int((expected >= 0).sum()) > 10
    check(assigner(predictions, targets), expected, golden.tensor(data["quality_of_cell"])[None])


@pytest.mark.parametrize("path", golden.golden_files("yolox_loss_*.npz"), ids=lambda p: p.stem)
def test_simota(path: Path) -> None:
    data = golden.load(path)
    predictions, targets, first = golden.yolox_case(data)
    own = golden.tensor(data["target_of_cell"])
    expected = torch.where(own >= 0, own + first, -1)
    assert int((expected >= 0).sum()) >= 5
    assigner = SimOtaAssigner(candidates="center")
    check(assigner(predictions, targets), expected, golden.tensor(data["iou_of_cell"]))


@pytest.mark.parametrize("path", golden.golden_files("rtmdet_loss_*.npz"), ids=lambda p: p.stem)
def test_soft_label(path: Path) -> None:
    data = golden.load(path)
    predictions, targets, first = golden.rtmdet_case(data)
    own = golden.tensor(data["target_of_cell"])
    expected = torch.where(own >= 0, own + first, -1)
    assert int((expected >= 0).sum()) >= 5
    assigner = SoftLabelAssigner(points="corner")
    check(assigner(predictions, targets), expected, golden.tensor(data["iou_of_cell"]))
