"""Non-maximum suppression in ONNX operators, put behind a network's boxes and scores.

The rule is that of `models/inference/nms.py`: scores above the threshold are candidates,
the best `max_candidates` of them enter suppression per class, the best `max_detections` of what
survives are given, equal scores in the order of cells, then classes. It compares boxes in float32,
where ours does in float64: overlaps within rounding of the threshold may be decided differently.
Legend: B images, P cells, C classes, M survivors of all images, K max_detections.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from utils.export.description import Suppression
from utils.export.packages import require
from utils.structures.scored_cells import VOTING_SHARE

OUTPUTS = ("detection_boxes", "detection_scores", "detection_labels", "num_detections")
NO_LABEL = -1
TINY = 1e-12
FLOAT, INT64 = 1, 7
"""onnx.TensorProto.FLOAT and INT64."""


class _Nodes:
    """A growing list of operators; every method returns the name of what it makes."""

    def __init__(self, prefix: str = "nms") -> None:
        self._onnx = require("onnx", purpose="--nms")
        self._prefix = prefix
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []

    def constant(self, values: Any, dtype: npt.DTypeLike = np.int64) -> str:
        name = f"{self._prefix}/constant_{len(self.initializers)}"
        array = np.asarray(values, dtype)
        self.initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def filled(self, value: float, shape: str) -> str:
        """Return a float tensor of `shape`; Expand takes several times as long."""
        numbers = np.array([value], np.float32)
        return self("ConstantOfShape", shape, value=self._onnx.numpy_helper.from_array(numbers))

    def __call__(
        self,
        operator: str,
        *inputs: str,
        outputs: int = 1,
        name: str | None = None,
        **attributes: Any,
    ) -> str:
        return self.several(operator, *inputs, outputs=1, name=name, **attributes)[0]

    def several(
        self, operator: str, *inputs: str, outputs: int, name: str | None = None, **attributes: Any
    ) -> tuple[str, ...]:
        node = f"{self._prefix}/{operator}_{len(self.nodes)}"
        made = (name,) if name else tuple(f"{node}_{index}" for index in range(outputs))
        self.nodes.append(
            self._onnx.helper.make_node(operator, list(inputs), list(made), name=node, **attributes)
        )
        return made

    def branch(self, output: str, rank: int) -> Any:
        """Return the operators as a subgraph that gives a float tensor of so many dimensions."""
        helper = self._onnx.helper
        value = helper.make_tensor_value_info(output, FLOAT, [None] * rank)
        return helper.make_graph(self.nodes, self._prefix, [], [value], self.initializers)


def append_suppression(model: Any, settings: Suppression) -> None:
    """Replace the outputs boxes (B, P, 4) and scores (B, P, C) of a model by detections.

    Afterwards they are detection_boxes (B, K, 4) float32, detection_scores (B, K) float32,
    detection_labels (B, K) int64, best first, and num_detections (B,) int64: how many of the K are
    detections. The rest have boxes and scores of 0 and label -1.

    Args:
        model: an `onnx.ModelProto`, changed in place.
        settings: thresholds and limits, fixed in the file.
    """
    onnx = require("onnx", purpose="--nms")
    add = _Nodes()
    by_class = _candidates(add, settings)
    selected, labels = _survivors(add, by_class, settings)
    _place(add, selected, labels, settings)
    graph = model.graph
    graph.node.extend(add.nodes)
    graph.initializer.extend(add.initializers)
    limit = settings.max_detections
    shapes = (("batch", limit, 4), ("batch", limit), ("batch", limit), ("batch",))
    kinds = (FLOAT, FLOAT, INT64, INT64)
    del graph.output[:]
    graph.output.extend(
        onnx.helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in zip(OUTPUTS, kinds, shapes, strict=True)
    )


def _candidates(add: _Nodes, settings: Suppression) -> str:
    """Return scores (B, C, P), with -1 for those that are not candidates."""
    if settings.multi_label:
        return _candidates_of_all_classes(add, settings)
    return _candidates_of_best_classes(add, settings)


def _candidates_of_all_classes(add: _Nodes, settings: Suppression) -> str:
    above = add("Greater", "scores", add.constant(settings.score_threshold, np.float32))
    # Floats are summed several times as fast; sums beyond their digits are many all the same.
    counts = add("ReduceSum", add("Cast", above, to=FLOAT), add.constant([1, 2]), keepdims=0)
    most = add("ReduceMax", counts, axes=[0], keepdims=0)
    is_many = add("Greater", most, add.constant(settings.max_candidates, np.float32))
    many, few = _Nodes("nms/many"), _Nodes("nms/few")
    kept = _best_candidates(many, "scores", settings)
    # Ranking millions of scores costs more than everything else, and is rarely needed.
    return add(
        "If",
        is_many,
        then_branch=many.branch(many("Transpose", kept, perm=[0, 2, 1]), 3),
        else_branch=few.branch(few("Transpose", "scores", perm=[0, 2, 1]), 3),
    )


def _candidates_of_best_classes(add: _Nodes, settings: Suppression) -> str:
    """Look for the class only where a cell's best score is above the threshold: in few cells."""
    best = add("ReduceMax", "scores", axes=[2], keepdims=0)
    above = add("Greater", best, add.constant(settings.score_threshold, np.float32))
    cells = add("Transpose", add("NonZero", above), perm=[1, 0])  # (N, 2) image and cell
    label = add("ArgMax", add("GatherND", "scores", cells), axis=1, keepdims=1)
    values = add("GatherND", best, cells)
    image, cell = (add("Gather", cells, add.constant([place]), axis=1) for place in (0, 1))
    is_many = add("Greater", _size(add, cells, 0), add.constant(settings.max_candidates))
    shape = add("Shape", "scores")
    turned = add("Gather", shape, add.constant([0, 2, 1]), axis=0)
    many, few = _Nodes("nms/many"), _Nodes("nms/few")

    def scattered(into: _Nodes, size: str, *columns: str) -> str:
        empty = into.filled(-1.0, size)
        return into("ScatterND", empty, into("Concat", *columns, axis=1), values)

    kept = _best_candidates(many, scattered(many, shape, image, cell, label), settings)
    return add(
        "If",
        is_many,
        then_branch=many.branch(many("Transpose", kept, perm=[0, 2, 1]), 3),
        else_branch=few.branch(scattered(few, turned, image, label, cell), 3),
    )


def _best_candidates(add: _Nodes, scores: str, settings: Suppression) -> str:
    """Return scores (B, P, C) of which only the best `max_candidates` of an image are left."""
    flat = add("Reshape", scores, add.constant([0, -1]))
    limit = add("Min", add.constant([settings.max_candidates]), _sizes(add, flat, 1))
    values, places = add.several("TopK", flat, limit, outputs=2, axis=1)
    empty = add.filled(-1.0, add("Shape", flat))
    kept = add("ScatterElements", empty, places, values, axis=1)
    return add("Reshape", kept, add("Shape", scores))


def _survivors(add: _Nodes, by_class: str, settings: Suppression) -> tuple[str, str]:
    """Return which candidates survive: image, class and cell (M, 3), best first, and labels (M,).

    Of a cell, one that is class-agnostic keeps only the best class: its boxes are all the same.
    """
    labels = ""
    if settings.class_agnostic:
        labels = add("ArgMax", by_class, axis=1, keepdims=1)
        by_class = add("ReduceMax", by_class, axes=[1], keepdims=1)
    selected = add(
        "NonMaxSuppression",
        "boxes",
        by_class,
        add.constant([settings.max_detections]),
        add.constant([settings.iou_threshold], np.float32),
        add.constant([settings.score_threshold], np.float32),
    )
    if settings.class_agnostic:
        label = add("GatherND", labels, selected)
    else:
        label = _column(add, selected, 1)
    cell = _column(add, selected, 2)
    place = add("Add", add("Mul", cell, _size(add, "scores", 2)), label)
    # TopK takes equal values in the order it finds them, so the first sorting breaks the ties.
    count = _sizes(add, selected, 0)
    _, by_place = add.several("TopK", place, count, outputs=2, axis=0, largest=0)
    found = add("GatherND", by_class, add("Gather", selected, by_place, axis=0))
    _, by_score = add.several("TopK", found, count, outputs=2, axis=0)
    order = add("Gather", by_place, by_score, axis=0)
    return add("Gather", selected, order, axis=0), add("Gather", label, order, axis=0)


def _place(add: _Nodes, selected: str, labels: str, settings: Suppression) -> None:
    """Make the outputs: survivors (M, 3), best first over all images, each in its image's rows."""
    zero, one = add.constant(0), add.constant(1)
    batch = _size(add, "scores", 0)
    image, cell = _column(add, selected, 0), _column(add, selected, 2)
    images = add("Range", zero, batch, one)
    is_of = add("Equal", add("Unsqueeze", image, add.constant([1])), images)  # (M, B)
    counted = add("Cast", is_of, to=INT64)
    so_far = add("CumSum", counted, zero)
    ranks = add("ReduceSum", add("Mul", so_far, counted), add.constant([1]), keepdims=0)
    row = add("Sub", ranks, one)
    limit = add.constant(settings.max_detections)
    fits = add("Less", row, limit)
    targets = add("Compress", _pairs(add, image, row), fits, axis=0)
    sources = add("Compress", _pairs(add, image, cell), fits, axis=0)
    label = add("Compress", labels, fits, axis=0)
    places = add("Concat", sources, add("Unsqueeze", label, add.constant([1])), axis=1)
    boxes, found = add("GatherND", "boxes", sources), add("GatherND", "scores", places)
    if settings.box_voting is not None:
        boxes = _voted(add, boxes, found, (_column(add, sources, 0), label), settings)
    rows = add("Concat", _sizes(add, "scores", 0), add.constant([settings.max_detections]), axis=0)
    wide = add("Concat", rows, add.constant([4]), axis=0)
    no_score, no_label = add.constant(0.0, np.float32), add.constant(NO_LABEL)
    contents = (
        (add("Expand", no_score, wide), boxes),
        (add("Expand", no_score, rows), found),
        (add("Expand", no_label, rows), label),
    )
    for name, (empty, values) in zip(OUTPUTS, contents, strict=False):
        add("ScatterND", empty, targets, values, name=name)
    total = add("ReduceSum", counted, add.constant([0]), keepdims=0)
    add("Min", total, limit, name=OUTPUTS[3])


def _voted(
    add: _Nodes, boxes: str, scores: str, place: tuple[str, str], settings: Suppression
) -> str:
    """Return boxes (M, 4) after the vote of `models/inference/box_voting.py`, of all N cells.

    Args:
        add: where operators go.
        boxes: (M, 4) of the survivors.
        scores: (M,) theirs.
        place: image (M,) and class (M,).
        settings: overlap and score threshold.
    """
    image, label = place
    least = add.constant(VOTING_SHARE * settings.score_threshold, np.float32)
    best = add("ReduceMax", "scores", axes=[2], keepdims=0)
    cells = add("Transpose", add("NonZero", add("Greater", best, least)), perm=[1, 0])
    voters = add("GatherND", "boxes", cells)
    # One number that is not finite would enter every mean, even by a weight of 0.
    is_odd = add("Or", add("IsNaN", voters), add("IsInf", voters))
    voters = add("Where", is_odd, add.constant(0.0, np.float32), voters)
    given = add("Gather", add("GatherND", "scores", cells), label, axis=1)  # (N, M)
    share = add("Mul", scores, add.constant(VOTING_SHARE, np.float32))
    overlap = add.constant(settings.box_voting, np.float32)
    near = add("Relu", add("Sub", _overlaps(add, voters, boxes), overlap))
    weights = add("Mul", near, add("Relu", add("Sub", given, share)))
    is_same = add("Equal", add("Gather", cells, add.constant([0]), axis=1), image)
    weights = add("Mul", weights, add("Cast", is_same, to=FLOAT))
    total = add(
        "Unsqueeze", add("ReduceSum", weights, add.constant([0]), keepdims=0), add.constant([1])
    )
    sums = add("MatMul", add("Transpose", weights, perm=[1, 0]), voters)
    moved = add("Sub", sums, add("Mul", total, boxes))
    tiny = add.constant(TINY, np.float32)
    return add("Add", boxes, add("Div", moved, add("Max", total, tiny)))


def _overlaps(add: _Nodes, voters: str, boxes: str) -> str:
    """Return the IoU (N, M) of voters (N, 4) and boxes (M, 4)."""
    sides, areas = [], []
    for table, keep in ((voters, True), (boxes, False)):
        columns = [
            add("Gather", table, add.constant([side] if keep else side), axis=1)
            for side in range(4)
        ]
        width, height = (add("Sub", columns[axis + 2], columns[axis]) for axis in (0, 1))
        sides.append(columns)
        areas.append(add("Mul", width, height))
    lengths = [
        add(
            "Relu",
            add(
                "Sub",
                add("Min", sides[0][axis + 2], sides[1][axis + 2]),
                add("Max", sides[0][axis], sides[1][axis]),
            ),
        )
        for axis in (0, 1)
    ]
    common = add("Mul", *lengths)
    union = add("Sub", add("Add", *areas), common)
    return add("Div", common, add("Max", union, add.constant(TINY, np.float32)))


def _size(add: _Nodes, tensor: str, axis: int) -> str:
    """Return one size of a tensor, a scalar."""
    return add("Gather", add("Shape", tensor), add.constant(axis), axis=0)


def _sizes(add: _Nodes, tensor: str, axis: int) -> str:
    """Return one size of a tensor, (1,)."""
    return add("Gather", add("Shape", tensor), add.constant([axis]), axis=0)


def _column(add: _Nodes, table: str, column: int) -> str:
    return add("Gather", table, add.constant(column), axis=1)


def _pairs(add: _Nodes, first: str, second: str) -> str:
    """Return two columns (M,) side by side, (M, 2)."""
    axis = add.constant([1])
    return add("Concat", add("Unsqueeze", first, axis), add("Unsqueeze", second, axis), axis=1)
