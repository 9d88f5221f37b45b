"""Boxes and scores of cells as a network gives them, and an ONNX model that only passes them on."""

from typing import Any

import onnx
import torch
from onnx import TensorProto, helper

from tests.models.factories import random_predictions
from utils.structures.scored_cells import ScoredCells


def random_cells(seed: int, num_images: int = 2, num_classes: int = 3) -> ScoredCells:
    """Overlapping boxes of two levels; `shift` of the logits leaves few scores or many."""
    shift = (-4.0, -1.0, 0.0)[seed % 3]
    decoded = random_predictions(seed, num_images, num_classes, shift).decode()
    return ScoredCells(
        boxes=decoded.boxes, scores=decoded.objectness[..., None] * decoded.class_scores
    )


def pass_through(num_classes: int) -> Any:
    """A model whose inputs `in_boxes`, `in_scores` become the outputs boxes and scores."""
    shapes = {"boxes": ("batch", "cells", 4), "scores": ("batch", "cells", num_classes)}

    def values(prefix: str) -> list[Any]:
        return [
            helper.make_tensor_value_info(prefix + name, TensorProto.FLOAT, shape)
            for name, shape in shapes.items()
        ]

    nodes = [helper.make_node("Identity", ["in_" + name], [name]) for name in shapes]
    graph = helper.make_graph(nodes, "cells", values("in_"), values(""))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def tied(cells: ScoredCells) -> ScoredCells:
    """The same with scores rounded, so that many are equal."""
    return ScoredCells(boxes=cells.boxes, scores=(cells.scores * 20).round() / 20)


def nothing(num_images: int, num_classes: int) -> ScoredCells:
    return ScoredCells(
        boxes=torch.ones(num_images, 5, 4), scores=torch.zeros(num_images, 5, num_classes)
    )


__all__ = ["nothing", "onnx", "pass_through", "random_cells", "tied"]
