"""Contradictory settings, each valid alone: losses, compilation, heads, data."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from configs.heads import distribution_bins, head_name, head_traits
from configs.origins import Layer
from configs.schema import Experiment
from configs.schema.branch_loss import BranchLossSettings, FocalLossSettings, FocalStarLossSettings
from configs.schema.class_loss import ClassLoss
from configs.schema.data import SyntheticDataset
from configs.schema.train import TrainSettings


def compile_contradictions(settings: TrainSettings) -> Iterator[tuple[str, str]]:
    """Yield the key `train.compile` with each setting that prevents it."""
    for problem in _problems(settings) if settings.compile != "off" else ():
        yield "train.compile", f"is {settings.compile}, {problem} or train.compile=off"


def _problems(settings: TrainSettings) -> Iterator[str]:
    if settings.multi_scale:
        yield (
            "and would compile, for minutes, for each size that train.multi_scale draws; "
            "set train.multi_scale=0"
        )
    if settings.oom == "halve":
        yield "which is for whole batches, but train.oom=halve divides them; set train.oom=stop"
    if settings.threads == "adaptive":
        yield (
            "and compiled code has a number of threads built in, but train.threads=adaptive "
            "changes it; set auto, a number"
        )
    batches = round(settings.nominal_batch / settings.batch_size)
    if settings.compile == "graphs" and batches > 1:
        yield (
            f"and CUDA graphs overwrite gradients that wait for a step, but one takes {batches} "
            f"batches; set train.nominal_batch={settings.batch_size}, train.compile=network"
        )


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
    for name, branch in experiment.loss.branches.items():
        yield from _soft_targets(experiment, name, branch)


def _soft_targets(
    experiment: Experiment, name: str, branch: BranchLossSettings
) -> Iterator[Contradiction]:
    """Yield settings without meaning for soft targets."""
    assigner = experiment.loss.assigner
    target = experiment.loss.target_of(name)
    if target == "aligned" and not assigner.gives_quality:
        yield (
            f"loss.{name}.target",
            f"is aligned, but the assigner {assigner.name} gives matches no quality; take an "
            "assigner such as task_aligned, or target: iou",
        )
    if target == "iou" and isinstance(branch, FocalStarLossSettings):
        yield (
            f"loss.{name}.name",
            f"is focal_star, which has no minimum on soft targets; set loss.{name}.target: hard",
        )
    if target == "aligned" and branch.undoes_smoothing == branch.beyond_soft_targets:
        yield (
            f"loss.{name}.name",
            f"is {getattr(branch, 'name', '')}, {branch.undoes_smoothing}, and targets are the "
            f"qualities of {assigner.name}; set loss.{name}.target: hard or another loss",
        )


def _against_background(classification: ClassLoss) -> Iterator[Contradiction]:
    """Without objectness most cells have no class."""
    if classification.over_classes:
        yield (
            "loss.classification.name",
            f"is {classification.name}, which spreads one unit over the classes and so cannot say "
            "background; with loss.objectness: null take one with a sigmoid a class, such as focal",
        )
    if classification.label_smoothing:
        yield (
            "loss.classification.label_smoothing",
            "would give every background cell a target above 0; with loss.objectness: null set 0",
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
            yield key, f"is undone by form: linear, {reason}; set form: quality or leave it out"
    elif classification.undoes_smoothing:
        yield (
            key,
            f"is undone by {classification.name}, {classification.undoes_smoothing}; leave it out",
        )


def contradictions(
    experiment: Experiment, graph: Mapping[str, object], settings: Layer
) -> list[str]:
    """Return one sentence for each contradiction, with the place of the key."""
    found = [*_levels(experiment, graph), *_anchors(experiment, graph), *_thresholds(experiment)]
    found += [*_synthetic_names(experiment), *loss_contradictions(experiment)]
    found += [*_head(experiment, graph), *_coding(experiment, graph), *_threads(experiment)]
    found += [*compile_contradictions(experiment.train)]
    return [
        f"{key} ({settings.source(tuple(key.split('.'))).where}) {problem}"
        for key, problem in found
    ]


def head_contradictions(experiment: Experiment, graph: Mapping[str, object]) -> list[str]:
    """Return one sentence for each setting that contradicts the head of a graph: for heads whose
    traits are known only when a module of the user was imported.
    """
    found = (*_head(experiment, graph), *_coding(experiment, graph))
    return [f"{key} {problem}" for key, problem in found]


def num_levels(graph: Mapping[str, object]) -> int | None:
    """Return how many feature maps the last row of a graph reads, None where it does not say."""
    rows = graph.get("head")
    last = rows[-1] if isinstance(rows, list) and rows else None
    inputs = last[0] if isinstance(last, list) and last else None
    return len(inputs) if isinstance(inputs, list) else None


def _head(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield settings that contradict a known head; else the graph's reader reports them."""
    traits, is_stated = head_traits(graph), experiment.loss.objectness is not None
    if traits is None:
        return
    network = f"the head {head_name(graph)} of {PurePath(experiment.model.graph).name}"
    if is_stated and not traits.has_objectness:
        yield "loss.objectness", f"must be null: {network} has no objectness"
    if traits.has_objectness and not is_stated:
        yield (
            "loss.objectness",
            f"must not be null: {network} predicts objectness, which has to learn",
        )
    assigner = experiment.loss.assigner
    if traits.has_anchors:
        if assigner.forbids_anchors:
            yield (
                "loss.assigner.name",
                f"is {assigner.name}, which takes heads without anchors, and {network} has some",
            )
        return
    if experiment.model.anchors != "graph":
        yield "model.anchors", f"must be graph: {network} has no anchors"
    if assigner.needs_anchors:
        yield (
            "loss.assigner.name",
            f"is {assigner.name}, which matches anchors, and {network} has none; "
            "take one such as task_aligned, as presets/modern.yaml does",
        )


def _coding(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield losses of coded values that the head, where it is known, does not have."""
    traits, bins, loss = head_traits(graph), distribution_bins(graph), experiment.loss
    if traits is None:
        return
    network = f"the head {head_name(graph)} of {PurePath(experiment.model.graph).name}"
    if isinstance(experiment.model.bins, int) and not bins:
        yield "model.bins", f"must be graph: {network} does not predict box sides as distributions"
    if loss.distribution is not None and not bins:
        yield (
            "loss.distribution",
            f"must be null: {network} does not predict box sides as distributions",
        )
    if loss.l1 is not None and bins:
        yield "loss.l1", f"must be null: {network} predicts box sides as distributions"
    elif loss.l1 is not None and not traits.encodes:
        yield "loss.l1", f"must be null: {network} has no inverse of its box coding"


def _threads(experiment: Experiment) -> Iterator[tuple[str, str]]:
    if experiment.train.threads == "adaptive" and experiment.train.deterministic:
        yield (
            "train.threads",
            "adaptive changes the number of threads on the way, and with it the last digits of "
            "sums; set train.deterministic=false as well, or auto, or a number",
        )


def _levels(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    balance, levels = experiment.loss.level_balance, num_levels(graph)
    if balance is not None and levels is not None and len(balance) != levels:
        yield (
            "loss.level_balance",
            f"has {len(balance)} weights, the graph has {levels} levels; set one a level or null",
        )


def _anchors(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    anchors, levels = experiment.model.anchors, num_levels(graph)
    if isinstance(anchors, str):
        return
    if levels is not None and len(anchors) != levels:
        yield "model.anchors", f"has {len(anchors)} lists, the graph has {levels} levels"
    if len({len(level) for level in anchors}) != 1 or len(anchors[0]) % 2 or not anchors[0]:
        yield "model.anchors", "must have as many pairs w, h on every level"
    if any(side <= 0 for level in anchors for side in level):
        yield "model.anchors", "must have sides above 0 pixels"


def _thresholds(experiment: Experiment) -> Iterator[tuple[str, str]]:
    settings = experiment.eval
    if settings.report_threshold < settings.score_threshold:
        yield (
            "eval.report_threshold",
            f"is {settings.report_threshold}, but detections below eval.score_threshold, "
            f"{settings.score_threshold}, are dropped; raise this one or lower that one",
        )


def _synthetic_names(experiment: Experiment) -> Iterator[tuple[str, str]]:
    data = experiment.data
    if isinstance(data, SyntheticDataset):
        shapes = SyntheticDataset.model_fields["class_names"].default
        if data.class_names != shapes[: len(data.class_names)]:
            yield "data.class_names", f"must be the first of {', '.join(shapes)}, in this order"
