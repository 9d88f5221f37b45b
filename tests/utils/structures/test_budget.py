"""Budgets add up as sums do, and what is derived from them is what its definition says."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.checkpoint.state import load_state, save_state
from utils.structures.budget import (
    COUNT,
    GRADIENT,
    GROUPS,
    LOSS,
    LOSS_BINS,
    LOSS_BINS_PER_OCTAVE,
    LOWEST_OCTAVE,
    NEGATIVE,
    POSITIVE,
    BranchBudget,
    LossBudget,
)


def random_branch(seed: int, num_levels: int = 2, num_classes: int = 3) -> BranchBudget:
    generator = torch.Generator().manual_seed(seed)

    def whole(*shape: int) -> torch.Tensor:
        return torch.randint(0, 1000, shape, generator=generator).double()

    return BranchBudget(
        sums=whole(2, 10, num_levels, num_classes, 3),
        scores=whole(2, 20),
        losses=whole(2, LOSS_BINS, 2),
    )


def random_budget(seed: int, strides: tuple[int, ...] = (8, 16)) -> LossBudget:
    generator = torch.Generator().manual_seed(seed)
    matched = torch.randint(0, 9, (3,), generator=generator).double()
    return LossBudget(
        branches={
            "objectness": random_branch(seed, num_classes=1),
            "classification": random_branch(seed + 1),
        },
        matches=torch.randint(0, 9, (2, 2, 3), generator=generator).double(),
        targets=matched + 1,
        matched_targets=matched,
        images=seed + 1,
        batches=1,
        strides=strides,
    )


seeds = st.integers(0, 2**16)


@pytest.mark.slow
@given(first=seeds, second=seeds, third=seeds)
def test_addition_does_not_depend_on_the_order(first: int, second: int, third: int) -> None:
    a, b, c = map(random_budget, (first, second, third))
    assert ((a + b) + c).to_json() == (a + (b + c)).to_json()
    assert (a + b).to_json() == (b + a).to_json()


@given(first=seeds, second=seeds)
def test_a_sum_holds_what_its_parts_hold(first: int, second: int) -> None:
    a, b = random_budget(first), random_budget(second)
    total = a + b
    assert (total.images, total.batches) == (a.images + b.images, 2)
    for name, branch in total.branches.items():
        parts = [budget.branches[name].groups() for budget in (a, b)]
        assert torch.equal(branch.groups(), parts[0] + parts[1])
    assert torch.equal(total.matches, a.matches + b.matches)


def test_budgets_of_different_heads_are_not_added() -> None:
    with pytest.raises(ValueError, match="different heads"):
        random_budget(0) + random_budget(0, strides=(8, 32))
    with pytest.raises(ValueError, match="different heads"):
        random_branch(0) + random_branch(0, num_classes=4)
    with pytest.raises(ValueError, match=r"must be \(2, 10, L, C, 3\)"):
        BranchBudget(
            sums=torch.zeros(2, 9, 1, 1, 3), scores=torch.zeros(2, 20), losses=torch.ones(1)
        )


def test_groups_split_the_negatives_after_the_first_bin() -> None:
    branch = random_branch(3)
    positives, hard, easy = branch.groups()
    assert torch.equal(easy, branch.sums[NEGATIVE, 0])
    assert torch.equal(hard, sum(branch.sums[NEGATIVE, bin_] for bin_ in range(1, 10)))
    assert torch.equal(positives, branch.sums[POSITIVE].sum(0))
    assert branch.shares().sum(0).tolist() == pytest.approx([1, 1])


def test_shares_are_of_loss_and_gradient() -> None:
    sums = torch.zeros(2, 10, 1, 1, 3, dtype=torch.float64)
    sums[POSITIVE, 4, 0, 0, LOSS] = 6
    sums[NEGATIVE, 0, 0, 0, LOSS] = 2
    sums[NEGATIVE, 0, 0, 0, GRADIENT] = 3
    sums[NEGATIVE, 7, 0, 0, GRADIENT] = 1
    sums[..., COUNT] = 1
    branch = BranchBudget(sums=sums, scores=torch.zeros(2, 20), losses=torch.zeros(2, LOSS_BINS, 2))
    shares = branch.to_json()["shares"]
    assert list(shares) == list(GROUPS)
    assert shares["positives"] == {"loss": 0.75, "gradient": 0.0}
    assert shares["hard_negatives"] == {"loss": 0.0, "gradient": 0.25}
    assert shares["easy_negatives"] == {"loss": 0.25, "gradient": 0.75}


def test_nothing_has_no_share_and_no_curve() -> None:
    branch = BranchBudget(
        sums=torch.zeros(2, 10, 1, 1, 3, dtype=torch.float64),
        scores=torch.zeros(2, 20),
        losses=torch.zeros(2, LOSS_BINS, 2),
    )
    assert branch.shares().tolist() == [[0, 0]] * 3
    assert branch.cumulative_loss(POSITIVE) is None


def slow_curve(losses: list[float]) -> list[float]:
    """Sort, cumulate and read off at every hundredth of the elements."""
    ordered = sorted(losses)
    held = [0.0]
    for loss in ordered:
        held.append(held[-1] + loss)
    curve = []
    for percent in range(101):
        place = percent / 100 * len(ordered)
        below = min(int(place), len(ordered) - 1)
        curve.append((held[below] + (place - below) * ordered[below]) / held[-1])
    return curve


def branch_of_losses(losses: list[float]) -> BranchBudget:
    table = torch.zeros(2, LOSS_BINS, 2, dtype=torch.float64)
    for loss in losses:
        octave = torch.tensor(loss).log2().item() - LOWEST_OCTAVE if loss > 0 else 0.0
        bin_ = min(max(int(octave * LOSS_BINS_PER_OCTAVE), 0), LOSS_BINS - 1)
        table[NEGATIVE, bin_, 0] += 1
        table[NEGATIVE, bin_, 1] += loss
    return BranchBudget(sums=torch.zeros(2, 10, 1, 1, 3), scores=torch.zeros(2, 20), losses=table)


@pytest.mark.slow
@given(
    losses=st.lists(
        st.one_of(st.just(0.0), st.floats(-60, 15).map(lambda power: 2.0**power)),
        min_size=1,
        max_size=40,
    ).filter(any)
)
def test_the_curve_is_that_of_sorted_losses(losses: list[float]) -> None:
    curve = branch_of_losses(losses).cumulative_loss(NEGATIVE)
    assert curve is not None
    assert (len(curve), curve[-1]) == (101, pytest.approx(1))
    assert curve == sorted(curve)
    for got, expected in zip(curve, slow_curve(losses), strict=True):
        assert -1e-6 <= got - expected <= 0.022


@given(seed=seeds)
def test_best_possible_recall_and_matches_are_means(seed: int) -> None:
    budget = random_budget(seed)
    expected = sum(budget.matched_targets.tolist()) / sum(budget.targets.tolist())
    assert budget.best_possible_recall == expected
    per_level = [sum(map(sum, level)) / (seed + 1) for level in budget.matches.tolist()]
    assert budget.matches_per_image() == pytest.approx(per_level)


def test_a_saved_budget_comes_back_bit_for_bit(tmp_path: Path) -> None:
    budget = random_budget(5) + random_budget(6)
    save_state(tmp_path / "state", budget.state())
    loaded = LossBudget.from_state(load_state(tmp_path / "state"))
    assert loaded.to_json() == budget.to_json()
    assert loaded.strides == budget.strides
    for name, branch in budget.branches.items():
        assert torch.equal(loaded.branches[name].sums, branch.sums)
        assert torch.equal(loaded.branches[name].losses, branch.losses)
