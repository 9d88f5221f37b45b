from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from models.losses import FocalLoss
from models.losses.criterion import criterion
from models.losses.criterion.matched_cells import spread_over_cells
from tests.models.losses.detection_case import (
    Case,
    crowd,
    empty,
    make_case,
    make_criterion,
    slow_terms,
    values,
)
from utils.structures.loss_terms import LossTerms
from utils.structures.predictions import Assignment, Predictions


def gradients(case: Case, loss: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, case.predictions.levels, allow_unused=True))


@pytest.mark.parametrize("claimed_twice", ["best", "last"])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("num_classes", [1, 3])
def test_terms_are_those_of_the_loops(
    claimed_twice: str, label_smoothing: float, num_classes: int
) -> None:
    case = crowd(num_classes)
    loss = make_criterion(claimed_twice=claimed_twice, label_smoothing=label_smoothing)
    expected = slow_terms(case, claimed_twice=claimed_twice, label_smoothing=label_smoothing)
    assert values(loss(case.predictions, case.targets)) == pytest.approx(expected, rel=2e-6)


coordinates = st.integers(0, 8 * 96).map(lambda value: value / 8)
rows = st.tuples(
    coordinates, coordinates, coordinates, coordinates, st.integers(0, 1), st.integers(0, 1)
)


@pytest.mark.slow
@settings(max_examples=15)
@given(
    rows=st.lists(rows, max_size=4),
    seed=st.integers(0, 99),
    claimed_twice=st.sampled_from(["best", "last"]),
)
def test_terms_are_those_of_the_loops_for_any_targets(
    rows: list[tuple[float, float, float, float, int, int]], seed: int, claimed_twice: str
) -> None:
    boxes = [[min(a, b), min(c, d) / 2, max(a, b), max(c, d) / 2] for a, b, c, d, *_ in rows]
    case = make_case(
        boxes=boxes,
        labels=[row[4] for row in rows],
        images=[row[5] for row in rows],
        num_classes=2,
        seed=seed,
    )
    terms = make_criterion(claimed_twice=claimed_twice)(case.predictions, case.targets)
    expected = slow_terms(case, claimed_twice=claimed_twice, label_smoothing=0.0)
    assert values(terms) == pytest.approx(expected, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("case", [crowd(), crowd(1), empty()], ids=["crowd", "one class", "empty"])
@pytest.mark.parametrize("claimed_twice", ["best", "last"])
def test_the_fixed_length_path_of_a_gpu_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, case: Case, claimed_twice: str
) -> None:
    loss = make_criterion(claimed_twice=claimed_twice)
    compact = loss(case.predictions, case.targets)
    compact_gradients = gradients(case, compact.total)
    monkeypatch.setattr(criterion, "is_counting_free", lambda device: False)
    padded = loss(case.predictions, case.targets)
    assert values(padded) == pytest.approx(values(compact), rel=1e-12)
    assert padded.num_foreground.item() == compact.num_foreground.item()
    for got, expected in zip(gradients(case, padded.total), compact_gradients, strict=True):
        torch.testing.assert_close(got, expected)


def test_best_and_last_differ_where_a_cell_is_claimed_twice() -> None:
    case = crowd()
    best, last = (
        make_criterion(claimed_twice=rule)(case.predictions, case.targets)
        for rule in ("best", "last")
    )
    assert abs(best["objectness"].item() - last["objectness"].item()) > 1e-5
    assert best["box"].item() == last["box"].item()


def test_the_objectness_target_is_the_best_or_the_last_overlap() -> None:
    case = make_case(
        boxes=[[10, 12, 34, 30]] * 3, labels=[0] * 3, images=[0] * 3, num_classes=2, seed=0
    )
    matches = make_criterion().assigner(case.predictions, case.targets).levels[0]
    matches = criterion.drop_invalid(matches)
    quality = torch.tensor([0.5, 0.9, 0.2], dtype=torch.float64)[matches.target]
    shape = case.predictions.levels[0].shape[:4]
    for rule, expected in (("best", 0.9), ("last", 0.2)):
        wanted = spread_over_cells(quality, matches, shape, rule).view(shape)
        claimed = wanted[matches.image, matches.anchor, matches.row, matches.column]
        assert (claimed == expected).all()
        assert (wanted > 0).sum().item() == len(matches.target) / 3


@pytest.mark.parametrize("num_classes", [1, 3])
def test_without_targets_only_objectness_is_left(num_classes: int) -> None:
    case = empty(num_classes)
    terms = make_criterion()(case.predictions, case.targets)
    assert values(terms)[::2] == [0, 0]
    assert terms.num_foreground.item() == 0
    weights = (4.0, 1.0, 0.4)
    expected = sum(
        weight * nn.functional.softplus(level[..., 4]).mean()
        for weight, level in zip(weights, case.predictions.levels, strict=True)
    )
    torch.testing.assert_close(terms["objectness"], expected)
    for gradient in gradients(case, terms.total):
        assert gradient.isfinite().all()
        assert not gradient[..., :4].any()
        assert not gradient[..., 5:].any()


def test_gradients_are_those_of_finite_differences() -> None:
    case = make_case(boxes=[[40, 8, 90, 44]], labels=[1], images=[1], num_classes=2, seed=4)
    # diou: the weight inside ciou is held constant on purpose, which differences would see.
    loss = make_criterion(box_overlap="diou", gains=(1, 0, 1))
    level = case.predictions.levels[2]

    def total(raw: Tensor) -> Tensor:
        levels = (*case.predictions.levels[:2], raw)
        predictions = replace(case.predictions, levels=levels)
        terms: LossTerms = loss(predictions, case.targets)
        return terms.total

    assert torch.autograd.gradcheck(total, (level,), fast_mode=True)


def test_the_overlap_in_the_objectness_target_has_no_gradient() -> None:
    case = crowd()
    terms = make_criterion(gains=(0, 1, 0))(case.predictions, case.targets)
    for gradient in gradients(case, terms["objectness"]):
        assert gradient[..., 4].any()
        assert not gradient[..., :4].any()


def test_gains_and_batch_size_multiply() -> None:
    case = crowd()
    plain = make_criterion()(case.predictions, case.targets)
    weighed = make_criterion(gains=(0.05, 0.7, 0.5))(case.predictions, case.targets)
    factors = [b / a for a, b in zip(values(plain), values(weighed), strict=True)]
    assert factors == pytest.approx([0.05, 0.7, 0.5])
    assert weighed.total.item() == pytest.approx(2 * sum(values(weighed)))


def test_level_balance_weighs_objectness_only() -> None:
    case = crowd()
    terms = [
        make_criterion(level_balance=balance)(case.predictions, case.targets)
        for balance in ((4.0, 1.0, 0.4), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    ]
    whole, *parts = (term["objectness"].item() for term in terms)
    assert whole == pytest.approx(4 * parts[0] + parts[1] + 0.4 * parts[2])
    assert {term["box"].item() for term in terms} == {terms[0]["box"].item()}


@pytest.mark.parametrize(
    ("num_levels", "expected"),
    [
        (1, (4,)),
        (2, (4, 1)),
        (3, (4, 1, 0.4)),
        (4, (4, 1, 0.25, 0.06)),
        (5, (4, 1, 0.25, 0.06, 0.02)),
    ],
)
def test_published_balance(num_levels: int, expected: tuple[float, ...]) -> None:
    assert criterion.balance_of_levels(num_levels, None) == expected


@pytest.mark.parametrize(("num_levels", "given"), [(3, (1.0, 1.0)), (6, None)])
def test_a_level_without_balance_is_an_error(
    num_levels: int, given: tuple[float, ...] | None
) -> None:
    with pytest.raises(ValueError, match=f"level_balance: the model has {num_levels} levels but"):
        criterion.balance_of_levels(num_levels, given)


@pytest.mark.parametrize("branch", ["objectness", "classification"])
def test_a_loss_that_reduces_by_itself_is_refused(branch: str) -> None:
    for loss in (nn.BCEWithLogitsLoss(), FocalLoss(nn.BCEWithLogitsLoss(reduction="sum"))):
        with pytest.raises(ValueError, match="reduction='none'"):
            make_criterion(**{branch: loss})


@pytest.mark.parametrize("label_smoothing", [-0.1, 1.0])
def test_label_smoothing_out_of_range_is_refused(label_smoothing: float) -> None:
    with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\)"):
        make_criterion(label_smoothing=label_smoothing)


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou", "eiou", "siou"])
def test_each_overlap_trains_the_box(kind: str) -> None:
    case = crowd()
    terms = make_criterion(box_overlap=kind)(case.predictions, case.targets)
    fine = gradients(case, terms["box"])[0]
    assert fine[..., :4].any()
    assert not fine[..., 4:].any()


class _GivesEverythingInvalid:
    def __init__(self, inner: object) -> None:
        self.inner = inner

    def __call__(self, predictions: Predictions, targets: object) -> Assignment:
        assignment: Assignment = self.inner(predictions, targets)  # type: ignore[operator]
        for level in assignment.levels:
            level.valid.zero_()
        return assignment


@pytest.mark.parametrize("counting_free", [True, False])
def test_entries_that_do_not_count_leave_no_trace(
    monkeypatch: pytest.MonkeyPatch, counting_free: bool
) -> None:
    monkeypatch.setattr(criterion, "is_counting_free", lambda device: counting_free)
    case = crowd()
    nothing = make_criterion(assigner=_GivesEverythingInvalid(make_criterion().assigner))
    terms = nothing(case.predictions, case.targets)
    without = make_criterion()(case.predictions, empty().targets)
    assert values(terms) == pytest.approx(values(without))
    for got, expected in zip(
        gradients(case, terms.total), gradients(case, without.total), strict=True
    ):
        torch.testing.assert_close(got, expected)
