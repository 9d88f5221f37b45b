"""The budget of a batch: its sums are those of loops, and it changes nothing."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from models.assign import IouAssigner
from models.heads.detect import CellDecoder
from models.losses import Branch, DetectionCriterion, FocalLoss
from models.losses.box import OverlapLoss
from models.losses.criterion import budget
from models.losses.criterion.box_term import BoxTerm
from models.losses.criterion.branch import BranchInput
from models.losses.criterion.budget import measure_budget
from models.losses.criterion.selection import Selection
from models.losses.dice import FocalDiceLoss
from models.losses.equalized import EqualizedFocalLoss
from models.losses.ghm import GhmLoss
from models.losses.softmax import SeesawLoss, SoftmaxLoss
from tests.models.losses.detection_case import Case, crowd, empty, make_case, make_criterion
from tests.oracles import slow_matches
from utils.structures.budget import COUNT, GRADIENT, GROUPS, LOSS, BranchBudget
from utils.structures.predictions import Predictions


def bce(logit: float, target: float) -> float:
    return max(logit, 0) - logit * target + math.log1p(math.exp(-abs(logit)))


def slow_shares(given: BranchInput) -> dict[tuple[str, int, int], list[float]]:
    """Count, BCE and |gradient| of a mean over elements, by group, level and class."""
    found: dict[tuple[str, int, int], list[float]] = {}
    for level, (logits, targets) in enumerate(zip(given.logits, given.targets, strict=True)):
        columns = 1 if logits.ndim == 1 else logits.shape[1]
        weight = given.level_weights[level] / max(logits.numel(), 1)
        pairs = zip(logits.flatten().tolist(), targets.flatten().tolist(), strict=True)
        for number, (logit, target) in enumerate(pairs):
            score = 1 / (1 + math.exp(-logit))
            group = GROUPS[0] if target > 0 else GROUPS[2] if score < 0.1 else GROUPS[1]
            entry = found.setdefault((group, level, number % columns), [0.0, 0.0, 0.0])
            entry[COUNT] += 1
            entry[LOSS] += weight * bce(logit, target)
            entry[GRADIENT] += weight * abs(score - target)
    return found


def assert_sums(branch: BranchBudget, expected: dict[tuple[str, int, int], list[float]]) -> None:
    groups = branch.groups()
    assert groups[..., COUNT].sum() == sum(entry[COUNT] for entry in expected.values())
    for (group, level, label), entry in expected.items():
        got = groups[GROUPS.index(group), level, label].tolist()
        assert got == pytest.approx(entry, rel=1e-9)


@pytest.mark.parametrize("case", [crowd(), crowd(1), empty()], ids=["crowd", "one class", "empty"])
def test_sums_are_those_of_the_loops(case: Case) -> None:
    criterion = make_criterion()
    parts = criterion.parts(case.predictions, case.targets)
    measured = measure_budget(criterion, case.predictions, case.targets)
    for name, given_ in (
        ("objectness", parts.objectness),
        ("classification", parts.classification),
    ):
        if given_ is None:
            assert name not in measured.branches
        else:
            assert_sums(measured.branches[name], slow_shares(given_))


@pytest.mark.parametrize("case", [crowd(), empty()], ids=["crowd", "empty"])
def test_bins_are_those_of_the_loops(case: Case) -> None:
    criterion = make_criterion()
    given_ = criterion.parts(case.predictions, case.targets).objectness
    assert given_ is not None
    branch = measure_budget(criterion, case.predictions, case.targets).branches["objectness"]
    difficulty, scores = [[0] * 10, [0] * 10], [[0] * 20, [0] * 20]
    losses: list[dict[int, float]] = [{}, {}]
    for level, weight in enumerate(given_.level_weights):
        pairs = zip(given_.logits[level].tolist(), given_.targets[level].tolist(), strict=True)
        for logit, target in pairs:
            score, side = 1 / (1 + math.exp(-logit)), int(target <= 0)
            difficulty[side][int(abs(score - target) * 10)] += 1
            scores[side][int(score * 20)] += 1
            loss = weight * bce(logit, target) / len(given_.logits[level])
            bin_ = int((math.log2(loss) + 64) * 8)
            losses[side][bin_] = losses[side].get(bin_, 0.0) + loss
    assert branch.sums[..., COUNT].sum((2, 3)).tolist() == difficulty
    assert branch.scores.tolist() == scores
    for side, table in enumerate(branch.losses[..., 1].tolist()):
        assert {i: v for i, v in enumerate(table) if v} == pytest.approx(losses[side])


def test_matches_and_recall_are_those_of_the_loops() -> None:
    tiny = [100.0, 10.0, 100.5, 10.5]  # fits no anchor
    boxes = [[10.0, 12.0, 34.0, 30.0], [40.0, 8.0, 90.0, 44.0], tiny, [2.0, 50.0, 10.0, 60.0]]
    case = make_case(boxes=boxes, labels=[0, 2, 2, 0], images=[0, 0, 1, 1], num_classes=3, seed=2)
    measured = measure_budget(make_criterion(), case.predictions, case.targets)
    expected = torch.zeros(3, 2, 3)
    for level, raw in enumerate(case.predictions.levels):
        for match in slow_matches(
            boxes,
            [0, 0, 1, 1],
            case.predictions.anchors[level].tolist(),
            stride=case.predictions.strides[level],
            grid=(raw.shape[2], raw.shape[3]),
            max_ratio=4.0,
        ):
            expected[level, match.anchor, [0, 2, 2, 0][match.target]] += 1
    assert expected.sum() > 0
    assert measured.matches.tolist() == expected.tolist()
    assert measured.targets.tolist() == [2, 0, 2]
    assert measured.matched_targets.tolist() == [2, 0, 1]
    assert measured.best_possible_recall == 0.75
    assert (measured.images, measured.batches) == (2, 1)


def test_without_targets_there_is_no_recall_and_no_positive() -> None:
    case = empty()
    measured = measure_budget(make_criterion(), case.predictions, case.targets)
    assert measured.best_possible_recall is None
    assert measured.matches_per_image() == [0, 0, 0]
    for branch in measured.branches.values():
        assert branch.groups()[0].sum() == 0
        assert branch.cumulative_loss(0) is None
    assert measured.to_json()["branches"]["classification"]["totals"]["positives"]["count"] == 0


def branch(loss: nn.Module, **changes: Any) -> Branch:
    return Branch(loss, **{"gain": 0.7, **changes})


LOSSES: dict[str, Callable[[], Branch]] = {
    "bce": lambda: branch(nn.BCEWithLogitsLoss(reduction="none")),
    "focal by positives": lambda: branch(
        FocalLoss(nn.BCEWithLogitsLoss(reduction="none"), form="quality"), normalizer="positives"
    ),
    "weighted and smooth": lambda: branch(
        nn.BCEWithLogitsLoss(reduction="none"), class_weights=[1, 2, 3], label_smoothing=0.1
    ),
    "ohem": lambda: branch(
        nn.BCEWithLogitsLoss(reduction="none"), selection=Selection(negatives_per_positive=1)
    ),
    "running mean of positives": lambda: branch(
        nn.BCEWithLogitsLoss(reduction="none"), normalizer="ema_positives"
    ),
    "ghm": lambda: branch(GhmLoss(bins=10, momentum=0.5, divide_by="bins")),
    "equalized": lambda: branch(EqualizedFocalLoss(3, gamma=2, alpha=None, scale_factor=4)),
    "softmax": lambda: branch(SoftmaxLoss(gamma=1)),
    "seesaw": lambda: branch(SeesawLoss(3, mitigation=0.8, compensation=2)),
    "dice": lambda: branch(
        FocalDiceLoss(gamma=2, alpha=None, dice=0.5), normalizer="ema_positives"
    ),
}


def criterion_of(make: Callable[[], Branch]) -> DetectionCriterion:
    criterion = make_criterion()
    criterion.classification = make()
    return criterion


@pytest.mark.parametrize("name", LOSSES)
def test_sums_are_the_term_and_its_gradient(name: str) -> None:
    case = crowd()
    criterion = criterion_of(LOSSES[name])
    measured = measure_budget(criterion, case.predictions, case.targets)
    criterion.eval()
    given_ = criterion.parts(case.predictions, case.targets).classification
    assert given_ is not None
    positives = torch.tensor(sum(len(level) for level in given_.logits))
    term = criterion.classification(given_, positives)
    gradients = torch.autograd.grad(term, given_.logits)
    sums = measured.branches["classification"].sums.sum((0, 1, 2, 3))
    if name == "dice":  # the part of the whole set is no element's loss
        assert 0 < sums[LOSS].item() < term.item()
    else:
        assert sums[LOSS].item() == pytest.approx(term.item(), rel=1e-6)
    total = sum(level.abs().sum().item() for level in gradients)
    assert sums[GRADIENT].item() == pytest.approx(total, rel=1e-6)
    assert sums[COUNT].item() == given_.logits[0].shape[1] * positives.item()
    assert measured.branches["classification"].losses[..., 1].sum().item() == pytest.approx(
        sums[LOSS].item()
    )


def test_the_loss_of_a_softmax_is_on_the_true_class() -> None:
    case = crowd()
    criterion = criterion_of(LOSSES["softmax"])
    measured = measure_budget(criterion, case.predictions, case.targets)
    groups = measured.branches["classification"].groups().sum((1, 2))
    assert groups[1:, LOSS].tolist() == [0, 0]
    assert groups[0, COUNT].item() * 2 == groups[1:, COUNT].sum().item()
    assert (groups[1:, GRADIENT].sum() > 0).item()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("mode", [True, False])
def test_nothing_of_the_training_moves(name: str, mode: bool) -> None:
    def train(*, with_budget: bool) -> tuple[list[Tensor], dict[str, Tensor], float]:
        criterion = criterion_of(LOSSES[name]).train(mode)
        levels = []
        for seed in range(3):
            case = make_case(
                boxes=[[10.0, 12.0, 34.0, 30.0], [40.0, 8.0, 90.0, 44.0]][: seed + 1],
                labels=[0, 2][: seed + 1],
                images=[0, 1][: seed + 1],
                num_classes=3,
                seed=seed,
            )
            if with_budget:
                measure_budget(criterion, case.predictions, case.targets)
            criterion(case.predictions, case.targets).total.backward()
            levels += [level.grad for level in case.predictions.levels if level.grad is not None]
            assert all(module.training is mode for module in criterion.modules())
        return levels, dict(criterion.state_dict()), torch.rand(1).item()

    torch.manual_seed(0)
    without = train(with_budget=False)
    torch.manual_seed(0)
    measured = train(with_budget=True)
    assert without[2] == measured[2]
    for expected, got in zip(without[0], measured[0], strict=True):
        assert torch.equal(expected, got)
    assert without[1].keys() == measured[1].keys()
    for key, value in without[1].items():
        assert torch.equal(value, measured[1][key])


def test_a_failure_leaves_the_training_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    case, criterion = crowd(), make_criterion()
    monkeypatch.setattr(criterion, "assigner", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        measure_budget(criterion, case.predictions, case.targets)
    assert criterion.training


def test_a_gpu_sums_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    case = crowd()
    expected = measure_budget(make_criterion(), case.predictions, case.targets)
    monkeypatch.setattr(budget, "bincount_is_best", lambda device: False)
    got = measure_budget(make_criterion(), case.predictions, case.targets)
    assert got.matches.tolist() == expected.matches.tolist()
    for name, branch_ in expected.branches.items():
        torch.testing.assert_close(got.branches[name].sums, branch_.sums)
        torch.testing.assert_close(got.branches[name].losses, branch_.losses)
        assert torch.equal(got.branches[name].scores, branch_.scores)


def test_without_objectness_ignored_cells_do_not_count() -> None:
    case = crowd()
    predictions = Predictions(
        levels=tuple(level[..., 1:].detach() for level in case.predictions.levels),
        anchors=case.predictions.anchors,
        strides=case.predictions.strides,
        decoder=CellDecoder(has_objectness=False),
    )
    criterion = DetectionCriterion(
        assigner=IouAssigner(positive=0.5, negative=0.1),
        box=BoxTerm(OverlapLoss("ciou"), gain=1.0),
        objectness=None,
        classification=Branch(
            FocalLoss(nn.BCEWithLogitsLoss(reduction="none")), gain=1.0, normalizer="positives"
        ),
    )
    measured = measure_budget(criterion, predictions, case.targets)
    term = criterion(predictions, case.targets)["classification"]
    assignment = criterion.assigner(predictions, case.targets)
    ignored = sum(int(level.ignored.sum()) for level in assignment.levels)
    cells = sum(level[..., 0].numel() for level in predictions.levels)
    assert ignored > 0
    assert measured.branches.keys() == {"classification"}
    sums = measured.branches["classification"].sums.sum((0, 1, 2, 3))
    assert sums[COUNT].item() == (cells - ignored) * 3
    assert sums[LOSS].item() == pytest.approx(term.item(), rel=1e-6)
    assert measured.branches["classification"].scores.sum().item() == sums[COUNT].item()


def test_not_a_number_counts_without_harm() -> None:
    case = crowd()
    with torch.no_grad():
        case.predictions.levels[0][0, 0, 0, 0, 4] = float("nan")
    measured = measure_budget(make_criterion(), case.predictions, case.targets)
    branch_ = measured.branches["objectness"]
    assert branch_.scores.sum().item() == branch_.sums[..., COUNT].sum().item()
    assert branch_.sums[..., LOSS].sum().isnan()
