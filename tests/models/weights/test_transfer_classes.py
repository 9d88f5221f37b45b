"""Weights of other classes: which rows of the head go where."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.detector import Detector, init_weights
from models.weights.transfer import TransferReport, transfer
from tests.models.factories import tiny_detector

HEAD = ("model.4.m.0.weight", "model.4.m.0.bias", "model.4.m.1.weight", "model.4.m.1.bias")
ANCHORS, BOX_ROWS = 2, 5


def pair(theirs: list[str], ours: list[str], **changes: Any) -> tuple[Detector, Detector]:
    source = tiny_detector(len(theirs), seed=1)
    target = tiny_detector(len(ours), seed=2, **changes)
    init_weights(source)
    init_weights(target)
    return source, target


def carry(
    source: Detector, target: Detector, theirs: list[str] | None, ours: list[str]
) -> TransferReport:
    return transfer(target, source.state_dict(), class_names=ours, offered_names=theirs)


def expected_rows(own: Tensor, offered: Tensor, theirs: list[str], ours: list[str]) -> list[Any]:
    """Oracle: row by row, in plain Python; weights of new classes get a deviation of 0.01."""
    plain = [name.strip().lower() for name in theirs]
    rows = []
    for anchor in range(ANCHORS):
        for row in range(BOX_ROWS + len(ours)):
            chosen = own[anchor * (BOX_ROWS + len(ours)) + row]
            is_new = True
            name = ours[row - BOX_ROWS].strip().lower() if row >= BOX_ROWS else None
            if name is None or name in plain:
                is_new = False
            if name is None:
                chosen = offered[anchor * (BOX_ROWS + len(theirs)) + row]
            elif name in plain:
                place = BOX_ROWS + plain.index(name)
                chosen = offered[anchor * (BOX_ROWS + len(theirs)) + place]
            rows.append((chosen, is_new))
    values = [v for row, is_new in rows if is_new for v in row.flatten().tolist()]
    if own.ndim == 1 or not values:
        return [row.tolist() for row, _ in rows]
    mean = sum(values) / len(values)
    deviation = (sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5
    return [(row * (0.01 / deviation) if is_new else row).tolist() for row, is_new in rows]


WORDS = st.sampled_from(["cat", "Dog ", "dog", "owl", "CAT", "eel"])


@pytest.mark.slow
@settings(max_examples=25)
@given(
    theirs=st.lists(WORDS, min_size=1, max_size=5),
    ours=st.lists(WORDS, min_size=1, unique_by=lambda name: name.strip().lower()),
)
def test_every_row_comes_from_where_its_class_was(theirs: list[str], ours: list[str]) -> None:
    source, target = pair(theirs, ours)
    before = {name: target.state_dict()[name].clone() for name in HEAD}
    carry(source, target, theirs, ours)
    for name in HEAD:
        offered = source.state_dict()[name]
        expected = expected_rows(before[name], offered, theirs, ours)
        torch.testing.assert_close(
            target.state_dict()[name], torch.tensor(expected), rtol=1e-5, atol=0
        )


def test_the_rest_of_the_network_is_taken_whole() -> None:
    source, target = pair(["cat", "dog"], ["dog", "eel", "owl"])
    report = carry(source, target, ["cat", "dog"], ["dog", "eel", "owl"])
    assert set(report.partly) == set(HEAD) == report.fresh
    assert set(report.taken) == target.state_dict().keys() - set(HEAD)
    assert (report.missing, report.left, report.classes) == ((), (), ("dog",))
    assert "class weights for 1 of 3 classes: dog" in report.summary()
    assert "detection head: box weights taken" in report.summary()


def test_equal_numbers_of_other_classes_are_not_mixed_up() -> None:
    source, target = pair(["cat", "dog"], ["dog", "cat"])
    report = carry(source, target, ["cat", "dog"], ["dog", "cat"])
    assert report.classes == ("dog", "cat")
    theirs, ours = (d.state_dict()["model.4.m.0.bias"].view(2, -1) for d in (source, target))
    assert torch.equal(ours[:, 5:], theirs[:, 5:].flip(1))


@pytest.mark.parametrize("theirs", [[" CAT", "Dog"], None])
def test_the_same_or_unknown_classes_are_taken_whole(theirs: list[str] | None) -> None:
    source, target = pair(["cat", "dog"], ["cat", "dog"])
    report = carry(source, target, theirs, ["cat", "dog"])
    assert report.fresh == frozenset()
    assert torch.equal(target.head.m[1].weight, source.head.m[1].weight)


def test_weights_without_names_give_box_and_objectness() -> None:
    source, target = pair(["a", "b"], ["c", "d", "e"])
    before = target.head.m[0].bias.detach().clone().view(2, -1)
    report = carry(source, target, None, ["c", "d", "e"])
    assert set(report.partly) == set(HEAD)
    after, theirs = target.head.m[0].bias.view(2, -1), source.head.m[0].bias.view(2, -1)
    assert torch.equal(after[:, :5], theirs[:, :5])
    assert torch.equal(after[:, 5:], before[:, 5:])


def test_another_number_of_anchors_leaves_the_head_as_it_was() -> None:
    anchors = [[4, 5, 8, 7, 9, 9], [16, 12, 20, 30, 40, 40]]
    source, target = pair(["cat"], ["cat", "dog"], anchors=anchors)
    before = target.head.m[0].bias.detach().clone()
    report = carry(source, target, ["cat"], ["cat", "dog"])
    why = dict(report.left)["model.4.m.0.bias"]
    assert "shape (12,) in the weights, (21,) in the network" in why
    assert "2 anchors a level in the weights, 3 in the network" in why
    assert torch.equal(target.head.m[0].bias, before)
    assert set(HEAD) <= set(report.missing)


def test_rows_that_do_not_divide_are_left() -> None:
    _, target = pair(["cat"], ["cat", "dog"])
    offered = {"model.4.m.0.bias": torch.ones(11), "model.4.m.1.bias": torch.ones(2)}
    for theirs in (["cat"], None):
        report = transfer(target, offered, class_names=["cat", "dog"], offered_names=theirs)
        assert len(report.left) == 2
        assert all("layout" in why for _, why in report.left)


@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_new_classes_start_at_the_prior_whatever_the_features(size: float) -> None:
    source, target = pair(["cat", "dog"], ["eel", "owl", "dog"])
    bias = target.head.m[0].bias.detach().clone().view(ANCHORS, -1)
    carry(source, target, ["cat", "dog"], ["eel", "owl", "dog"])
    features = torch.randn(1, target.head.m[0].in_channels, 9, 9) * size
    logits = target.head.m[0](features).unflatten(1, (ANCHORS, -1))[0]
    spread = logits[:, BOX_ROWS : BOX_ROWS + 2] - bias[:, BOX_ROWS : BOX_ROWS + 2, None, None]
    assert float(spread.detach().std()) < 0.06 * size
    assert torch.equal(target.head.m[0].bias.view(ANCHORS, -1)[:, 5:7], bias[:, 5:7])
