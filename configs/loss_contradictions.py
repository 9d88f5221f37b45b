"""Losses whose settings are each right but work against each other."""

from collections.abc import Iterator

from configs.schema import Experiment
from configs.schema.branch_loss import BranchLoss, FocalLossSettings, FocalStarLoss

Contradiction = tuple[str, str]
"""A dotted key and what is wrong with it."""


def loss_contradictions(experiment: Experiment) -> Iterator[Contradiction]:
    """Yield what contradicts itself in the section `loss`."""
    objectness, classification = experiment.loss.objectness, experiment.loss.classification
    yield from _list_without_classes(objectness)
    yield from _lengths(classification, len(experiment.data.class_names))
    yield from _undone_smoothing(classification)
    for name, branch, default in (
        ("objectness", objectness, "iou"),
        ("classification", classification, "hard"),
    ):
        if isinstance(branch, FocalStarLoss) and (branch.target or default) == "iou":
            yield (
                f"loss.{name}.name",
                "is focal_star, which has no minimum on soft targets; "
                f"state loss.{name}.target: hard",
            )


def _list_without_classes(objectness: BranchLoss) -> Iterator[Contradiction]:
    if isinstance(getattr(objectness, "alpha", None), tuple):
        yield "loss.objectness.alpha", "is a list, one number a class; objectness has no classes"


def _lengths(classification: BranchLoss, num_classes: int) -> Iterator[Contradiction]:
    alpha = getattr(classification, "alpha", None)
    for key, values in (("alpha", alpha), ("class_weights", classification.class_weights)):
        if isinstance(values, tuple) and len(values) != num_classes:
            yield (
                f"loss.classification.{key}",
                f"has {len(values)} numbers, the data set has {num_classes} classes",
            )


def _undone_smoothing(classification: BranchLoss) -> Iterator[Contradiction]:
    if not isinstance(classification, FocalLossSettings) or classification.form != "linear":
        return
    if classification.gamma and classification.label_smoothing:
        yield (
            "loss.classification.label_smoothing",
            "is undone by form: linear, whose minimum on soft targets lies beyond them; "
            "state form: quality or label_smoothing: 0",
        )
