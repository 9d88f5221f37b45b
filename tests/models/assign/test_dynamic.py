"""Assigners that look at predictions, against plain Python and worked examples."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from models.assign import cells as cells_module
from models.assign.assigner import Assigner
from models.assign.cells import ranked
from models.assign.dynamic_k import ClassCosts, SimOtaAssigner, SoftLabelAssigner
from models.assign.task_aligned import TaskAlignedAssigner
from models.heads.joint import DistanceDecoder
from models.heads.retina import DeltaDecoder
from models.heads.yolox import ShiftDecoder
from tests.models.assign import slow_dynamic as slow
from tests.models.modern_golden import CornerDecoder, as_targets, quality_of_cell, target_of_cell
from utils.structures.batch import Targets
from utils.structures.decoder import Decoder
from utils.structures.predictions import Predictions


def scene(
    seed: int, decoder: Decoder, *, num_images: int = 3, num_targets: int = 9, num_classes: int = 3
) -> tuple[Predictions, Targets]:
    """Return random predictions near their cells and targets of all sizes, some on the border."""
    generator = torch.Generator().manual_seed(seed)
    height, width, strides = 48, 64, (8, 16)
    channels = decoder.num_channels(num_classes)
    levels = tuple(
        torch.randn(num_images, 1, height // s, width // s, channels, generator=generator)
        for s in strides
    )
    centers = torch.rand(num_targets, 2, generator=generator) * torch.tensor([width, height])
    sides = torch.rand(num_targets, 2, generator=generator) * 36 + 1
    return (
        Predictions(levels=levels, strides=strides, decoder=decoder),
        Targets(
            boxes=torch.cat((centers - sides / 2, centers + sides / 2), dim=1),
            labels=torch.randint(num_classes, (num_targets,), generator=generator),
            image_index=torch.randint(num_images, (num_targets,), generator=generator),
        ),
    )


Slow = Callable[[list[slow.Cell], list[slow.Box], list[int]], slow.Result]


def slow_aligned(
    cells: list[slow.Cell], boxes: list[slow.Box], labels: list[int], **changes: Any
) -> slow.Result:
    rule = {"alpha": 0.5, "beta": 6.0, "topk": 10, "smallest": 16.0, "rescue": True}
    return slow.slow_task_aligned(cells, boxes, labels, **(rule | changes))


def slow_simota(
    cells: list[slow.Cell],
    boxes: list[slow.Box],
    labels: list[int],
    *,
    radius: float,
    center_only: bool,
) -> slow.Result:
    costs = [
        [slow.simota_cost(c, b, k, radius=radius, center_only=center_only) for c in cells]
        for b, k in zip(boxes, labels, strict=True)
    ]
    candidates = [
        any(
            slow.is_near(c, b, radius) or (not center_only and slow.is_inside(c, b))
            for b in boxes
            if slow.has_area(b)
        )
        for c in cells
    ]
    return slow.slow_dynamic_k(cells, boxes, costs, candidates, 10)


def slow_soft_label(
    cells: list[slow.Cell], boxes: list[slow.Box], labels: list[int]
) -> slow.Result:
    costs = [
        [slow.soft_label_cost(c, b, k) for c in cells] for b, k in zip(boxes, labels, strict=True)
    ]
    candidates = [any(slow.is_inside(c, b) for b in boxes) for c in cells]
    return slow.slow_dynamic_k(cells, boxes, costs, candidates, 13)


RULES: dict[str, tuple[Assigner, Slow]] = {
    "task_aligned": (TaskAlignedAssigner(), slow_aligned),
    "tood": (
        TaskAlignedAssigner(alpha=1, topk=3, min_side=0, rescue=False),
        partial(slow_aligned, alpha=1.0, topk=3, smallest=0.0, rescue=False),
    ),
    "simota": (SimOtaAssigner(), partial(slow_simota, radius=2.5, center_only=False)),
    "simota_center": (
        SimOtaAssigner(candidates="center"),
        partial(slow_simota, radius=1.5, center_only=True),
    ),
    "soft_label": (SoftLabelAssigner(), slow_soft_label),
}
DECODERS: dict[str, Decoder] = {
    "exp": DistanceDecoder(),
    "bins": DistanceDecoder(bins=5, box_channels=20),
    "yolox": ShiftDecoder(),
}


def check(assigner: Assigner, rule: Slow, predictions: Predictions, targets: Targets) -> None:
    num_images = len(predictions.levels[0])
    assignment = assigner(predictions, targets)
    found, quality = target_of_cell(assignment, num_images), quality_of_cell(assignment, num_images)
    for image in range(num_images):
        own, boxes, labels = slow.per_image(targets, image)
        offset = getattr(assigner, "offset", 0.5)
        expected = rule(slow.cells_of(predictions, image, offset), boxes, labels)
        assert found[image].tolist() == [own[t] if t >= 0 else -1 for t in expected.target]
        assert quality[image].tolist() == pytest.approx(expected.quality, abs=2e-5)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("seed", range(4))
def test_as_one_pair_at_a_time(name: str, decoder: str, seed: int) -> None:
    check(*RULES[name], *scene(seed, DECODERS[decoder]))


@pytest.mark.parametrize("name", RULES)
def test_targets_in_parts_give_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells_module, "LARGEST_TABLE", {True: 100, False: 100})
    check(*RULES[name], *scene(11, DECODERS["exp"], num_targets=15))


@pytest.mark.parametrize("name", RULES)
def test_no_targets_and_images_without(name: str) -> None:
    predictions, targets = scene(1, DECODERS["exp"], num_targets=4)
    none = Targets(
        boxes=targets.boxes[:0], labels=targets.labels[:0], image_index=targets.image_index[:0]
    )
    assert int(RULES[name][0](predictions, none).num_foreground) == 0
    lone = Targets(
        boxes=targets.boxes[:1], labels=targets.labels[:1], image_index=torch.tensor([2])
    )
    found = target_of_cell(RULES[name][0](predictions, lone), 3)
    assert bool((found[:2] == -1).all())
    assert bool((found[2] == 0).any())


@pytest.mark.parametrize("name", RULES)
def test_a_target_without_area_matches_nothing(name: str) -> None:
    predictions, targets = scene(2, DECODERS["exp"], num_targets=3, num_images=1)
    boxes = targets.boxes.clone()
    boxes[1, 2] = boxes[1, 0]
    empty = Targets(boxes=boxes, labels=targets.labels, image_index=targets.image_index)
    found = target_of_cell(RULES[name][0](predictions, empty), 1)
    assert bool((found != 1).all())
    assert bool((found == 0).any())


@pytest.mark.parametrize("name", RULES)
def test_the_first_of_equal_targets_and_cells_counts(name: str) -> None:
    """All cells of a level predict the same box, and every target stands in the list twice."""
    predictions, _ = scene(3, CornerDecoder(), num_images=1)
    box = torch.tensor([20.0, 12, 44, 36])
    levels = []
    for raw, stride in zip(predictions.levels, predictions.strides, strict=True):
        alike = torch.zeros_like(raw)
        alike[..., :4] = box / stride
        levels.append(alike)
    twice = Targets(
        boxes=torch.stack((box, box)),
        labels=torch.tensor([1, 1]),
        image_index=torch.tensor([0, 0]),
    )
    alike = Predictions(
        levels=tuple(levels), strides=predictions.strides, decoder=predictions.decoder
    )
    assigner, rule = RULES[name]
    check(assigner, rule, alike, twice)
    found = target_of_cell(assigner(alike, twice), 1)
    assert sorted(found.unique().tolist()) == [-1, 0]


@pytest.mark.parametrize("name", RULES)
def test_heads_with_anchors_are_refused(name: str) -> None:
    _, targets = scene(0, DECODERS["exp"])
    anchored = Predictions(
        levels=tuple(torch.zeros(1, 1, 2, 2, 7) for _ in range(2)),
        strides=(8, 16),
        decoder=DeltaDecoder(),
        anchors=torch.ones(2, 1, 2),
    )
    with pytest.raises(ValueError, match="heads without anchors"):
        RULES[name][0](anchored, targets)


@pytest.mark.parametrize("largest", [True, False])
def test_ranking_is_stable(largest: bool) -> None:
    generator = torch.Generator().manual_seed(5)
    values = torch.randint(6, (20, 30), generator=generator).float() / 7
    values[0] = torch.tensor([0.0, -0.0]).repeat(15)
    values[1, :3] = torch.inf
    expected = values.sort(dim=1, descending=largest, stable=True).indices[:, :8]
    assert torch.equal(ranked(values, 8, largest=largest), expected)
    assert ranked(values, 99, largest=largest).shape == (20, 30)


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [
        (TaskAlignedAssigner, {"alpha": -1}),
        (TaskAlignedAssigner, {"beta": 0}),
        (TaskAlignedAssigner, {"topk": 0}),
        (TaskAlignedAssigner, {"min_side": -1}),
        (SimOtaAssigner, {"candidates": "box"}),
        (SimOtaAssigner, {"radius": 0}),
        (SimOtaAssigner, {"num_overlaps": 0}),
        (SoftLabelAssigner, {"points": "left"}),
        (SoftLabelAssigner, {"num_overlaps": 0}),
    ],
)
def test_arguments_out_of_range(kind: type, arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=kind.__name__):
        kind(**arguments)


def spec_scene(*, has_objectness: bool = False) -> tuple[Predictions, Targets]:
    """Return 80 cells whose predictions are sines of their index, and three targets."""
    index = torch.arange(80, dtype=torch.float64)[:, None]
    distances = 1.4 + 0.6 * (0.9 * index + 1.7 * torch.arange(4)).sin()
    logits = -1 + 1.5 * (0.7 * index + 1.3 * torch.arange(3)).sin()
    levels, start = [], 0
    for stride in (8, 16):
        side = 64 // stride
        own = slice(start, start + side * side)
        objectness = (0.31 * index[own]).sin() if has_objectness else index[own, :0]
        raw = torch.cat((distances[own], objectness, logits[own]), dim=1)
        levels.append(raw.float().view(1, 1, side, side, -1))
        start += side * side
    decoder = DistanceDecoder(is_linear=True, has_objectness=has_objectness)
    return (
        Predictions(levels=tuple(levels), strides=(8, 16), decoder=decoder),
        as_targets(
            [[6, 10, 38, 34], [30, 20, 60, 58], [54, 6, 58, 10]],
            [1, 0, 2],
            [0, 0, 0],
        ),
    )


def matches(found: Tensor) -> dict[int, list[int]]:
    places: dict[int, list[int]] = {}
    for place, target in enumerate(found[0].tolist()):
        if target >= 0:
            places.setdefault(target, []).append(place)
    return places


@pytest.mark.parametrize(
    ("arguments", "counts", "total", "some"),
    [
        (
            {"min_side": 0, "rescue": False},
            [10, 10, 1],
            2.307362378,
            {10: 0.113860891, 11: 0.008205384, 17: 0.015331179},
        ),
        ({"alpha": 1, "topk": 13, "min_side": 0}, [13, 13, 1], 2.192615240, {}),
        ({}, [10, 10, 5], 2.362888790, {6: 0.017837206, 7: 0.017216129}),
    ],
)
def test_task_aligned_by_hand(
    arguments: dict[str, Any], counts: list[int], total: float, some: dict[int, float]
) -> None:
    assignment = TaskAlignedAssigner(**arguments)(*spec_scene())
    found = matches(target_of_cell(assignment, 1))
    assert [len(found[target]) for target in range(3)] == counts
    quality = quality_of_cell(assignment, 1)[0]
    assert float(quality.sum()) == pytest.approx(total, abs=2e-6)
    assert {place: float(quality[place]) for place in some} == pytest.approx(some, abs=2e-6)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, {0: [10, 18, 26, 27], 1: [30, 38, 74], 2: [67]}),
        ({"candidates": "center"}, {0: [10, 18, 26, 27], 1: [30, 38, 74], 2: [6]}),
    ],
)
def test_simota_by_hand(arguments: dict[str, Any], expected: dict[int, list[int]]) -> None:
    assignment = SimOtaAssigner(**arguments)(*spec_scene(has_objectness=True))
    assert matches(target_of_cell(assignment, 1)) == expected


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ("center", {0: [10, 18, 26, 27], 1: [30, 37, 38, 74], 2: [67]}),
        ("corner", {0: [18, 26, 27, 69], 1: [30, 37, 38, 74], 2: [15]}),
    ],
)
def test_soft_label_by_hand(points: str, expected: dict[int, list[int]]) -> None:
    assignment = SoftLabelAssigner(points=points)(*spec_scene())
    assert matches(target_of_cell(assignment, 1)) == expected


U = torch.tensor([[0.82, 0.74, 0.55, 0.30, 0.05], [0.10, 0.61, 0.66, 0.58, 0.40]])
SCORES = torch.tensor([[0.3, 0.5, 0.2, 0.6, 0.1], [0.2, 0.4, 0.7, 0.3, 0.8]])
CLASS_COSTS = torch.tensor([[0.9, 0.4, 1.2, 0.3, 2.0], [1.5, 0.7, 0.2, 0.8, 0.1]])


@pytest.fixture
def contested(monkeypatch: pytest.MonkeyPatch) -> tuple[Predictions, Targets]:
    """Five cells, two targets that hold them all, and the overlaps `U`."""
    monkeypatch.setattr(cells_module.Cells, "overlaps", lambda self, boxes, image: U.clone())
    raw = torch.cat((torch.zeros(5, 4), SCORES.T.logit()), dim=1).view(1, 1, 1, 5, 6)
    predictions = Predictions(levels=(raw,), strides=(8,), decoder=CornerDecoder())
    return predictions, as_targets([[0, 0, 40, 8]] * 2, [0, 1], [0, 0])


@pytest.mark.parametrize(
    ("alpha", "topk", "expected", "quality"),
    [
        (0.5, 3, {0: [0, 1], 1: [2, 3]}, [0.819999995, 0.571801682, 0.659999990, 0.199003120, 0]),
        (1.0, 2, {0: [0, 1], 1: [2]}, [0.819999991, 0.738192794, 0.659999989, 0, 0]),
    ],
)
def test_task_aligned_conflict_by_hand(
    contested: tuple[Predictions, Targets],
    alpha: float,
    topk: int,
    expected: dict[int, list[int]],
    quality: list[float],
) -> None:
    assignment = TaskAlignedAssigner(alpha=alpha, topk=topk)(*contested)
    assert matches(target_of_cell(assignment, 1)) == expected
    assert quality_of_cell(assignment, 1)[0].tolist() == pytest.approx(quality, abs=1e-6)


def test_simota_conflict_by_hand(
    contested: tuple[Predictions, Targets], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ClassCosts(
        background=torch.zeros(1, 5), change=CLASS_COSTS[None], logits=CLASS_COSTS[None]
    )
    monkeypatch.setattr(SimOtaAssigner, "class_costs", lambda self, *_: given)
    costs: list[Tensor] = []
    own = SimOtaAssigner.costs

    def kept(self: SimOtaAssigner, *arguments: Any) -> Tensor:
        costs.append(own(self, *arguments))
        return costs[-1]

    monkeypatch.setattr(SimOtaAssigner, "costs", kept)
    assignment = SimOtaAssigner(radius=100)(*contested)
    assert matches(target_of_cell(assignment, 1)) == {0: [0, 1], 1: [2]}
    expected = torch.tensor(
        [
            [1.495352780, 1.303315238, 2.993510948, 3.911918313, 10.987196221],
            [8.407754979, 2.182888916, 1.446546286, 2.434181475, 2.848872121],
        ]
    )
    torch.testing.assert_close(costs[0], expected, rtol=1e-6, atol=1e-6)


def test_costs_of_pairs_by_hand() -> None:
    """Class logits 0.4 and -1.2, objectness 0.8, label 0; then overlap 0.7 at 1.5 strides."""
    cell = slow.Cell(x=0, y=0, stride=8, box=[-4, -4, 4, 4], logits=[0.4, -1.2], objectness=0.8)
    joint = [(slow.sigmoid(z) * slow.sigmoid(0.8)) ** 0.5 for z in cell.logits]
    assert joint == pytest.approx([0.642712383, 0.399639828], abs=1e-9)
    class_cost = slow.simota_cost(cell, cell.box, 0, radius=2.5, center_only=False)
    assert class_cost == pytest.approx(0.952283477, abs=5e-8)
    # A box of 8 x 8 within one of 8 x 80 / 7: an overlap of 0.7, centres 12 px apart.
    length = 80 / 7
    moved = slow.Cell(12, 0, 8, [-4, -4, 4, 4], cell.logits, None)
    truth = [-4.0, -4.0, 4.0, length - 4]
    centre = (length - 8) / 2
    moved.y = centre
    total = slow.soft_label_cost(moved, truth, 0)
    assert total == pytest.approx(0.020604268 + 1.070024403 + 0.031622777, abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_crowded_images_take_bounded_memory(name: str) -> None:
    """200 targets in each of 8 images of 8,400 cells: whole tables would take 430 MB for 64."""
    tracked: list[int] = []
    generator = torch.Generator().manual_seed(0)
    levels = tuple(
        torch.randn(8, 1, 640 // s, 640 // s, 7, generator=generator) for s in (8, 16, 32)
    )
    predictions = Predictions(levels=levels, strides=(8, 16, 32), decoder=DistanceDecoder())
    corners = torch.rand(1600, 2, generator=generator) * 600
    targets = Targets(
        boxes=torch.cat((corners, corners + 10 + 30 * torch.rand(1600, 2)), dim=1),
        labels=torch.randint(3, (1600,), generator=generator),
        image_index=torch.arange(8).repeat_interleave(200),
    )

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                tracked.append(out.numel())
            return out

    with Largest():
        RULES[name][0](predictions, targets)
    assert max(tracked) <= 5 * cells_module.LARGEST_TABLE[True]
