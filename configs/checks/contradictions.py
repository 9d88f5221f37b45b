"""Settings that are each right but do not go together, and so have no meaning."""

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from configs.checks.compile_contradictions import compile_contradictions
from configs.checks.loss_contradictions import loss_contradictions
from configs.heads import head_name, head_traits
from configs.origins import Layer
from configs.schema import Experiment
from configs.schema.data import SyntheticDataset


def contradictions(
    experiment: Experiment, graph: Mapping[str, object], settings: Layer
) -> list[str]:
    """Return one sentence for each contradiction, with the place that states the key."""
    found = [*_levels(experiment, graph), *_anchors(experiment, graph), *_thresholds(experiment)]
    found += [*_synthetic_names(experiment), *loss_contradictions(experiment)]
    found += [*_head(experiment, graph), *_threads(experiment)]
    found += [*compile_contradictions(experiment.train)]
    return [
        f"{key} ({settings.source(tuple(key.split('.'))).where}) {problem}"
        for key, problem in found
    ]


def num_levels(graph: Mapping[str, object]) -> int | None:
    """Return how many feature maps the last row of a graph reads, None where it does not say."""
    rows = graph.get("head")
    last = rows[-1] if isinstance(rows, list) and rows else None
    inputs = last[0] if isinstance(last, list) and last else None
    return len(inputs) if isinstance(inputs, list) else None


def _head(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield what goes against the head, where it is known: else the graph's reader says so."""
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
    if traits.has_anchors:
        return
    if experiment.model.anchors != "graph":
        yield "model.anchors", f"must be graph: {network} has no anchors"
    assigner = experiment.loss.assigner
    if assigner.needs_anchors:
        yield (
            "loss.assigner.name",
            f"is {assigner.name}, which matches anchors, and {network} has none",
        )


def _threads(experiment: Experiment) -> Iterator[tuple[str, str]]:
    if experiment.train.threads == "auto" and experiment.train.deterministic:
        yield (
            "train.threads",
            "auto changes the number of threads on the way, and with it the last digits of sums; "
            "state train.deterministic=false as well, or a number",
        )


def _levels(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    balance, levels = experiment.loss.level_balance, num_levels(graph)
    if balance is not None and levels is not None and len(balance) != levels:
        yield (
            "loss.level_balance",
            f"has {len(balance)} weights, the graph has {levels} levels; state one a level or null",
        )


def _anchors(experiment: Experiment, graph: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    anchors, levels = experiment.model.anchors, num_levels(graph)
    if isinstance(anchors, str):
        return
    if levels is not None and len(anchors) != levels:
        yield "model.anchors", f"has {len(anchors)} lists, the graph has {levels} levels"
    if len({len(level) for level in anchors}) != 1 or len(anchors[0]) % 2 or not anchors[0]:
        yield "model.anchors", "must hold as many pairs w, h on every level"
    if any(side <= 0 for level in anchors for side in level):
        yield "model.anchors", "must hold sides above 0 pixels"


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
