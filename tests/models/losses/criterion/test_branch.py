"""How a term is summed, against loops over single elements (`SlowBranch`)."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from models.losses import Branch, FocalLoss
from models.losses.criterion.branch import BranchInput, Normalizer
from models.losses.criterion.selection import Selection
from tests.models.losses.focal_case import bce, value_and_slope
from tests.models.losses.loss_settings import ALL_NAMES, build, rows
from tests.models.losses.slow_losses import cross_entropy, hardest, softmax_focal

SIZES = (7, 0, 5)
WEIGHTS = (4.0, 1.0, 0.4)
NORMALIZERS: tuple[Normalizer, ...] = ("mean", "positives", "ema_positives")


def plain() -> nn.Module:
    return nn.BCEWithLogitsLoss(reduction="none")


def given(
    classes: int = 3, *, masked: bool = True, seed: int = 3, hard: bool = True
) -> BranchInput:
    """Three levels of which the second has no row; some rows without a class, some not counted."""
    logits, targets = rows(sum(SIZES), classes, hard=hard, seed=seed)
    counted = torch.arange(sum(SIZES)) % 3 != 1
    return BranchInput(
        logits=logits.split(SIZES),
        targets=targets.split(SIZES),
        counted=counted.split(SIZES) if masked else None,
        level_weights=WEIGHTS,
    )


def flat(seed: int = 3) -> BranchInput:
    """Objectness: one logit a row, all rows count."""
    columns = given(1, masked=False, seed=seed)
    return BranchInput(
        logits=tuple(level[:, 0] for level in columns.logits),
        targets=tuple(level[:, 0] for level in columns.targets),
        counted=None,
        level_weights=WEIGHTS,
    )


def slow_term(
    content: BranchInput,
    divisor: float | None,
    *,
    smoothing: float = 0.0,
    class_weights: tuple[float, ...] | None = None,
) -> float:
    """Weighted sum over levels of cross-entropy, element by element."""
    total = 0.0
    counted = content.counted or tuple(torch.ones(size) for size in SIZES)
    for weight, logits, targets, exists in zip(
        content.level_weights, content.logits, content.targets, counted, strict=True
    ):
        losses = []
        for row, wanted, counts in zip(
            logits.tolist(), targets.tolist(), exists.tolist(), strict=True
        ):
            if not counts:
                continue
            factor = 1.0
            if class_weights is not None and max(wanted) > 0:
                factor = class_weights[wanted.index(max(wanted))]
            for x, t in zip(row, wanted, strict=True):
                smooth = t * (1 - smoothing) + smoothing / 2
                losses.append(factor * cross_entropy(x, smooth))
        total += weight * sum(losses) / (divisor or max(len(losses), 1))
    return total


class TestReduction:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("class_weights", [None, (0.5, 1.0, 3.0)])
    def test_mean_is_by_level_over_counted_rows_and_classes(
        self, masked: bool, smoothing: float, class_weights: tuple[float, ...] | None
    ) -> None:
        branch = Branch(plain(), gain=0.5, label_smoothing=smoothing, class_weights=class_weights)
        content = given(masked=masked)
        expected = slow_term(content, None, smoothing=smoothing, class_weights=class_weights)
        assert branch(content, torch.tensor(5)).item() == pytest.approx(0.5 * expected, rel=1e-12)

    @pytest.mark.parametrize("count", [0, 1, 5])
    def test_positives_divide_the_sum_over_all_levels(self, count: int) -> None:
        content = given()
        term = Branch(plain(), gain=2.0, normalizer="positives")(content, torch.tensor(count))
        assert term.item() == pytest.approx(2 * slow_term(content, max(count, 1)), rel=1e-6)

    def test_ema_positives_divide_by_a_running_average_that_starts_with_the_first(self) -> None:
        branch = Branch(plain(), gain=1.0, normalizer="ema_positives")
        content, average = given(), None
        for count in (0, 10, 4, 0, 30):
            average = count if not average else 0.9 * average + 0.1 * count
            term = branch(content, torch.tensor(count))
            assert term.item() == pytest.approx(slow_term(content, max(average, 1)), rel=1e-6)
            assert branch.positives_average.item() == pytest.approx(average, rel=1e-6)

    def test_ema_positives_of_evaluation_are_not_remembered(self) -> None:
        branch = Branch(plain(), gain=1.0, normalizer="ema_positives")
        branch(given(), torch.tensor(10))
        seen = branch.eval()(given(), torch.tensor(20))
        assert branch.positives_average.item() == 10
        assert seen.item() == pytest.approx(slow_term(given(), 11), rel=1e-6)

    def test_the_multiplier_scales_the_term(self) -> None:
        branch = Branch(plain(), gain=1.0)
        once = branch(given(), torch.tensor(5))
        branch.multiplier = 7.0
        torch.testing.assert_close(branch(given(), torch.tensor(5)), 7 * once)

    @pytest.mark.parametrize("normalizer", NORMALIZERS)
    def test_levels_without_a_row_add_nothing(self, normalizer: Normalizer) -> None:
        branch = Branch(plain(), gain=1.0, normalizer=normalizer)
        empty = BranchInput(
            logits=(torch.zeros(0, 3, requires_grad=True),) * 2,
            targets=(torch.zeros(0, 3),) * 2,
            counted=None,
            level_weights=(1.0, 1.0),
        )
        term = branch(empty, torch.tensor(0))
        (gradient,) = torch.autograd.grad(term, empty.logits[0])
        assert term.item() == 0
        assert gradient.shape == (0, 3)

    @pytest.mark.parametrize("normalizer", NORMALIZERS)
    def test_rows_that_do_not_count_have_no_gradient(self, normalizer: Normalizer) -> None:
        content = given()
        assert content.counted is not None
        logits = torch.cat(content.logits).requires_grad_()
        masked = BranchInput(
            logits=logits.split(SIZES),
            targets=content.targets,
            counted=content.counted,
            level_weights=WEIGHTS,
        )
        term = Branch(plain(), gain=1.0, normalizer=normalizer)(masked, torch.tensor(3))
        (gradient,) = torch.autograd.grad(term, logits)
        assert torch.equal(gradient.any(dim=1), torch.cat(content.counted))

    def test_a_softmax_smooths_towards_all_classes(self) -> None:
        content = given()
        branch = Branch(build("softmax"), gain=1.0, label_smoothing=0.3, normalizer="positives")
        expected = 0.0
        for weight, logits, targets, exists in zip(
            WEIGHTS, content.logits, content.targets, content.counted or (), strict=True
        ):
            for row, wanted, counts in zip(
                logits.tolist(), targets.tolist(), exists.tolist(), strict=True
            ):
                smooth = [0.7 * t + 0.3 / 3 for t in wanted]
                expected += weight * counts * softmax_focal(row, smooth)
        assert branch(content, torch.tensor(4)).item() == pytest.approx(expected / 4, rel=1e-6)

    def test_a_class_weight_is_that_of_the_highest_target(self) -> None:
        content = BranchInput(
            logits=(torch.zeros(3, 2).double(),),
            targets=(torch.tensor([[0.2, 0.9], [0.6, 0.0], [0.0, 0.0]]).double(),),
            counted=None,
            level_weights=(1.0,),
        )
        branch = Branch(plain(), gain=1.0, class_weights=(2.0, 5.0))
        (shares,) = branch.contributions(content, torch.tensor(2))
        expected = torch.tensor([[5, 5], [2, 2], [1, 1]]).double() * math.log(2) / 6
        torch.testing.assert_close(shares, expected)

    @pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
    def test_smoothing_out_of_range_is_refused(self, smoothing: float) -> None:
        with pytest.raises(ValueError, match=r"label_smoothing must be in \[0, 1\)"):
            Branch(plain(), gain=1.0, label_smoothing=smoothing)

    def test_a_loss_that_reduces_is_refused(self) -> None:
        with pytest.raises(ValueError, match="reduction='none'"):
            Branch(nn.BCEWithLogitsLoss(), gain=1.0)


class TestSelection:
    @pytest.mark.parametrize("normalizer", ["mean", "positives"])
    def test_only_the_hardest_of_all_levels_learn(self, normalizer: Normalizer) -> None:
        content = flat()
        branch = Branch(plain(), gain=1.0, normalizer=normalizer, selection=Selection(share=0.25))
        losses = [
            [cross_entropy(x, t) for x, t in zip(xs.tolist(), ts.tolist(), strict=True)]
            for xs, ts in zip(content.logits, content.targets, strict=True)
        ]
        kept = hardest([loss for level in losses for loss in level], 3)  # of 12
        expected, place = 0.0, 0
        for weight, level in zip(WEIGHTS, losses, strict=True):
            chosen = [loss for i, loss in enumerate(level) if place + i in kept]
            place += len(level)
            divisor = max(len(chosen), 1) if normalizer == "mean" else 2
            expected += weight * sum(chosen) / divisor
        assert branch(content, torch.tensor(2)).item() == pytest.approx(expected, rel=1e-6)

    def test_rows_that_do_not_count_are_never_chosen(self) -> None:
        content = given()
        assert content.counted is not None
        branch = Branch(plain(), gain=1.0, selection=Selection(negatives_per_positive=1))
        shares = branch.contributions(content, torch.tensor(2))
        for level, exists in zip(shares, content.counted, strict=True):
            assert not level[~exists].any()

    def test_smoothed_negatives_are_negatives(self) -> None:
        branch = Branch(
            plain(),
            gain=1.0,
            label_smoothing=0.2,
            selection=Selection(negatives_per_positive=1),
            normalizer="positives",
        )
        content = BranchInput(
            logits=(torch.tensor([[0.0, 3.0, 1.0]]),),
            targets=(torch.tensor([[1.0, 0.0, 0.0]]),),
            counted=None,
            level_weights=(1.0,),
        )
        (shares,) = branch.contributions(content, torch.tensor(1))
        assert (shares > 0).tolist() == [[True, True, False]]

    def test_rows_of_a_softmax_are_chosen_whole(self) -> None:
        branch = Branch(build("softmax"), gain=1.0, selection=Selection(share=0.5))
        content = given(masked=False)
        shares = torch.cat(branch.contributions(content, torch.tensor(2)))
        assert (shares > 0).sum().item() == 6


class TestContributions:
    @pytest.mark.parametrize("name", ALL_NAMES)
    @pytest.mark.parametrize("normalizer", NORMALIZERS)
    def test_they_add_up_to_the_term_without_its_set_part(
        self, name: str, normalizer: Normalizer
    ) -> None:
        branch = Branch(
            build(name, 3),
            gain=0.5,
            normalizer=normalizer,
            class_weights=(0.5, 1.0, 3.0),
            selection=Selection(share=0.8),
        )
        branch.multiplier = 3.0
        for seed in range(3):
            content = given(seed=seed)
            shares = branch.contributions(content, torch.tensor(4 + seed))
            term = branch(content, torch.tensor(4 + seed))
            whole = getattr(branch.loss, "set_term", None)
            if whole is not None:
                levels = (content.logits, content.targets, content.counted or ())
                term = term - 1.5 * whole(*(torch.cat(level) for level in levels))
            total = sum(level.sum() for level in shares)
            torch.testing.assert_close(total, term, rtol=1e-6, atol=1e-9)
            for level, logits in zip(shares, content.logits, strict=True):
                assert len(level) == len(logits)
                assert level.shape in (logits.shape, logits.shape[:1])

    @pytest.mark.parametrize("name", ALL_NAMES)
    def test_asking_changes_no_state(self, name: str) -> None:
        branch = Branch(build(name, 3), gain=1.0, normalizer="ema_positives")
        branch(given(seed=1), torch.tensor(4))
        before = {key: value.clone() for key, value in branch.state_dict().items()}
        first = branch.contributions(given(seed=2), torch.tensor(9))
        second = branch.contributions(given(seed=2), torch.tensor(9))
        assert branch.training
        assert branch.loss.training
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a, b)
        for key, value in branch.state_dict().items():
            assert torch.equal(value, before[key]), key


class TestFocal:
    def test_without_gamma_and_alpha_it_is_bce_bit_for_bit(self) -> None:
        for content in (given(), given(hard=False), flat()):
            for normalizer in NORMALIZERS:
                results = []
                for loss in (plain(), FocalLoss(plain(), 0.0, None)):
                    leaf = torch.cat(content.logits).requires_grad_()
                    same = BranchInput(
                        logits=leaf.split(SIZES),
                        targets=content.targets,
                        counted=content.counted,
                        level_weights=WEIGHTS,
                    )
                    term = Branch(loss, gain=0.7, normalizer=normalizer)(same, torch.tensor(5))
                    results.append((term.detach(), *torch.autograd.grad(term, leaf)))
                assert torch.equal(results[0][0], results[1][0])
                assert torch.equal(results[0][1], results[1][1])

    def test_twenty_steps_of_either_give_the_same_weights(self) -> None:
        weights = []
        for loss in (plain(), FocalLoss(plain(), 0.0, None)):
            torch.manual_seed(0)
            layer = nn.Linear(4, 3)
            branch = Branch(loss, gain=0.5)
            optimizer = torch.optim.SGD(layer.parameters(), lr=0.5, momentum=0.9)
            for step in range(20):
                generator = torch.Generator().manual_seed(step)
                x = torch.randn(12, 4, generator=generator)
                content = given(seed=step)
                said = BranchInput(
                    logits=layer(x).split(SIZES),
                    targets=tuple(level.float() for level in content.targets),
                    counted=content.counted,
                    level_weights=WEIGHTS,
                )
                optimizer.zero_grad()
                branch(said, torch.tensor(5)).backward()
                optimizer.step()
            weights.append(layer.weight.detach().clone())
        assert torch.equal(*weights)

    def test_hard_targets_over_positives_are_retinanets_loss(self) -> None:
        content = given(masked=False)
        branch = Branch(build("focal"), gain=1.0, normalizer="positives")
        one_weight = BranchInput(
            logits=content.logits, targets=content.targets, counted=None, level_weights=(1.0,) * 3
        )
        expected = sigmoid_focal_loss(
            torch.cat(content.logits),
            torch.cat(content.targets),
            alpha=0.25,
            gamma=2,
            reduction="sum",
        )
        term = branch(one_weight, torch.tensor(6))
        torch.testing.assert_close(term, expected / 6, rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ALL_NAMES)
@pytest.mark.parametrize("normalizer", NORMALIZERS)
def test_a_term_of_any_loss_is_finite_with_saturated_logits_and_with_nothing(
    name: str, normalizer: Normalizer
) -> None:
    branch = Branch(build(name, 3), gain=1.0, normalizer=normalizer)
    targets = torch.eye(3)
    extreme = torch.tensor([[1e4, -1e4, 1e4], [-1e4, 1e4, 0], [32.1, -104, 1e4]])
    for count in (3, 0):
        leaf = extreme[:count].clone().requires_grad_()
        content = BranchInput(
            logits=(leaf,),
            targets=(targets[:count],),
            counted=(torch.tensor([True, False, True])[:count],),
            level_weights=(1.0,),
        )
        term = branch(content, torch.tensor(count))
        (gradient,) = torch.autograd.grad(term, leaf)
        assert term.isfinite()
        assert gradient.isfinite().all()


def test_a_loss_with_state_is_told_which_rows_count() -> None:
    class Told(nn.Module):
        needs_counted = True
        seen: Any = None

        def forward(self, logits: Tensor, targets: Tensor, counted: Tensor | None) -> Tensor:
            self.seen = counted
            return bce(logits, targets)

    told, content = Told(), given()
    Branch(told, gain=1.0)(content, torch.tensor(1))
    assert content.counted is not None
    assert torch.equal(told.seen, torch.cat(content.counted))
    Branch(told, gain=1.0)(flat(), torch.tensor(1))
    assert told.seen is None


def test_slopes_of_a_term_are_those_of_its_contributions() -> None:
    """Each element's own slope times what divides it."""
    content = flat()
    leaf = torch.cat(content.logits).requires_grad_()
    said = BranchInput(
        logits=leaf.split(SIZES), targets=content.targets, counted=None, level_weights=WEIGHTS
    )
    (got,) = torch.autograd.grad(Branch(plain(), gain=1.0)(said, torch.tensor(1)), leaf)
    _, slopes = value_and_slope(plain(), leaf, torch.cat(content.targets))
    factors = [weight / max(size, 1) for weight, size in zip(WEIGHTS, SIZES, strict=True)]
    expected = slopes * torch.tensor(factors).double().repeat_interleave(torch.tensor(SIZES))
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=0)
