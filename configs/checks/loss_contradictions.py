"""Losses whose settings are each right but work against each other."""

from collections.abc import Iterator

from configs.schema import Experiment
from configs.schema.branch_loss import BranchLossSettings, FocalLossSettings, FocalStarLossSettings
from configs.schema.class_loss import ClassLoss

Contradiction = tuple[str, str]
"""A dotted key and what is wrong with it."""


def loss_contradictions(experiment: Experiment) -> Iterator[Contradiction]:
    """Yield what contradicts itself in the section `loss`."""
    objectness, classification = experiment.loss.objectness, experiment.loss.classification
    if objectness is None:
        yield from _against_background(classification)
    else:
        yield from _list_without_classes(objectness)
    yield from _lengths(classification, len(experiment.data.class_names))
    yield from _undone_smoothing(classification)
    for name, branch, default in (
        ("objectness", objectness, "iou"),
        ("classification", classification, "hard"),
    ):
        if isinstance(branch, FocalStarLossSettings) and (branch.target or default) == "iou":
            yield (
                f"loss.{name}.name",
                "is focal_star, which has no minimum on soft targets; "
                f"state loss.{name}.target: hard",
            )


def _against_background(classification: ClassLoss) -> Iterator[Contradiction]:
    """Without objectness most cells belong to no class at all."""
    if classification.over_classes:
        yield (
            "loss.classification.name",
            f"is {classification.name}, which spreads one unit over the classes and so cannot say "
            "background; with loss.objectness: null take one with a sigmoid a class, such as focal",
        )
    if classification.label_smoothing:
        yield (
            "loss.classification.label_smoothing",
            "would give every background cell a target above 0; with loss.objectness: null state 0",
        )


def _list_without_classes(objectness: BranchLossSettings) -> Iterator[Contradiction]:
    if isinstance(getattr(objectness, "alpha", None), tuple):
        yield "loss.objectness.alpha", "is a list, one number a class; objectness has no classes"


def _lengths(classification: BranchLossSettings, num_classes: int) -> Iterator[Contradiction]:
    alpha = getattr(classification, "alpha", None)
    for key, values in (("alpha", alpha), ("class_weights", classification.class_weights)):
        if isinstance(values, tuple) and len(values) != num_classes:
            yield (
                f"loss.classification.{key}",
                f"has {len(values)} numbers, the data set has {num_classes} classes",
            )


def _undone_smoothing(classification: ClassLoss) -> Iterator[Contradiction]:
    if not classification.label_smoothing:
        return
    key = "loss.classification.label_smoothing"
    if isinstance(classification, FocalLossSettings):
        if classification.form == "linear" and classification.gamma:
            reason = FocalLossSettings.beyond_soft_targets
            yield key, f"is undone by form: linear, {reason}; state form: quality or leave it out"
    elif classification.undoes_smoothing:
        yield (
            key,
            f"is undone by {classification.name}, {classification.undoes_smoothing}; leave it out",
        )
