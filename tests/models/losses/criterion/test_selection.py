import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from models.losses.criterion.selection import Selection
from tests.models.losses.slow_losses import hardest

FEW_VALUES = st.lists(st.sampled_from([0.0, 0.1, 0.5, 2.0, 7.0]), max_size=12)
"""Ties are common."""


def flags(losses: list[float], seed: int, share: float) -> list[bool]:
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(len(losses), generator=generator) < share).tolist()


def keep(
    selection: Selection, losses: list[float], positive: list[bool], counted: list[bool] | None
) -> list[bool]:
    mask = None if counted is None else torch.tensor(counted, dtype=torch.bool)
    kept: Tensor = selection(torch.tensor(losses), torch.tensor(positive, dtype=torch.bool), mask)
    return kept.tolist()


def slow_kept(losses: list[float], candidates: list[int], wanted: int) -> set[int]:
    return {candidates[place] for place in hardest([losses[i] for i in candidates], wanted)}


@given(
    losses=FEW_VALUES, percent=st.integers(1, 100), seed=st.integers(0, 99), masked=st.booleans()
)
def test_a_share_of_all_keeps_the_hardest(
    losses: list[float], percent: int, seed: int, masked: bool
) -> None:
    counted = flags(losses, seed, 0.7) if masked else None
    candidates = [i for i in range(len(losses)) if counted is None or counted[i]]
    wanted = math.ceil(Fraction(percent, 100) * len(candidates))
    got = keep(Selection(share=percent / 100), losses, [False] * len(losses), counted)
    expected = slow_kept(losses, candidates, wanted)
    assert got == [i in expected for i in range(len(losses))]


@given(
    losses=FEW_VALUES,
    ratio=st.sampled_from([0.5, 1.0, 3.0]),
    seed=st.integers(0, 99),
    masked=st.booleans(),
)
def test_all_positives_and_the_hardest_negatives(
    losses: list[float], ratio: float, seed: int, masked: bool
) -> None:
    positive = flags(losses, seed + 1, 0.3)
    counted = flags(losses, seed, 0.7) if masked else None
    exists = [i for i in range(len(losses)) if counted is None or counted[i]]
    positives = [i for i in exists if positive[i]]
    negatives = [i for i in exists if not positive[i]]
    wanted = math.ceil(max(len(positives), 1) * ratio)
    expected = {*positives, *slow_kept(losses, negatives, wanted)}
    got = keep(Selection(negatives_per_positive=ratio), losses, positive, counted)
    assert got == [i in expected for i in range(len(losses))]


def test_the_number_kept_is_exact_for_every_share() -> None:
    for count in (1, 7, 25, 100, 700, 1999):
        losses = torch.arange(count).float()
        none = torch.zeros(count, dtype=torch.bool)
        for percent in range(1, 101):
            kept = Selection(share=percent / 100)(losses, none, None)
            assert kept.sum().item() == math.ceil(Fraction(percent, 100) * count), (count, percent)


def test_without_positives_there_are_as_many_negatives_as_for_one() -> None:
    losses = [0.1, 0.9, 0.3, 0.7, 0.5]
    got = keep(Selection(negatives_per_positive=3), losses, [False] * 5, None)
    assert got == [False, True, False, True, True]


def test_elements_of_rows_that_do_not_count_are_left_out_and_take_no_place() -> None:
    losses = torch.tensor([[5.0, 4], [9, 8], [1, 2]])
    positive = torch.zeros(3, 2, dtype=torch.bool)
    counted = torch.tensor([[True], [False], [True]])
    kept = Selection(share=0.5)(losses, positive, counted)
    assert kept.tolist() == [[True, True], [False, False], [False, False]]


@pytest.mark.parametrize("selection", [Selection(share=0.3), Selection(negatives_per_positive=3)])
def test_nothing_is_kept_of_nothing(selection: Selection) -> None:
    assert keep(selection, [], [], None) == []
    assert keep(selection, [1.0, 2.0], [True, False], [False, False]) == [False, False]


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ({}, "give either share or negatives_per_positive"),
        ({"share": 0.5, "negatives_per_positive": 3.0}, "give either"),
        ({"share": 0.0}, r"share must be in \(0, 1\], got 0"),
        ({"share": 1.1}, "got 1.1"),
        ({"share": float("nan")}, "got nan"),
        ({"negatives_per_positive": 0.0}, "must exceed 0, got 0"),
        ({"negatives_per_positive": float("nan")}, "got nan"),
    ],
)
def test_settings_out_of_range_are_refused(stated: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Selection(**stated)
