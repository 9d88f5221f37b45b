"""What a file of ours in `model.weights` brings: the network it was trained as, and its losses."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.heads import distribution_bins, with_bins
from configs.origins import CONFIGS_FOLDER, Layer, Source
from configs.reading.locate import find_graph
from configs.reading.yaml_reader import read_yaml

SUFFIX = ".safetensors"
GRAPH_OF_RUN = "graph.yaml"
"""Beside the weights in the folder of a run."""
ROWS = ("depth_multiple", "width_multiple", "backbone", "head")
"""What tells one network from another; the number of classes follows from the data."""
SUPPRESSION = ("iou_threshold", "box_voting")
"""Settings of an evaluation that fit a head."""
LONGEST_HEADER = 100_000_000
ANY_BINS = 2


def read_content(path: Path) -> Mapping[str, Any] | None:
    """Return what a file of ours says about itself: settings, graph, classes, size of its images.

    Only the header is read, and without torch: a mistake shall show before that is loaded.

    Args:
        path: weights, ours or foreign.

    Returns:
        None where the file does not say; what is wrong with it is told when it is taken.
    """
    if path.suffix != SUFFIX:
        return None
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, LONGEST_HEADER)))
        content = json.loads(header["__metadata__"]["focaldet"])["metadata"]["content"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def network_of_file(layers: list[Layer], place: int, weights: Path) -> Layer | None:
    """Return the settings that a file brings, None where it brings nothing.

    Weights of a network other than the recipe's bring theirs, with the losses they were trained
    with and the suppression that fits its head. They bring nothing where the user states
    `model.graph`, in a file or beside them.

    Args:
        layers: lowest first.
        place: of the layer that names the file.
        weights: the file.
    """
    content = read_content(weights)
    stated = _stated_graph(layers[:place])
    is_the_users = stated is not None and stated[1].folder not in _recipes()
    if content is None or is_the_users or _stated_graph(layers[place:]) is not None:
        return None
    own, settings = content.get("graph"), content.get("config")
    if not isinstance(own, dict) or not isinstance(settings, dict):
        return None
    if stated is not None and _rows(_read(*stated)) == _rows(own):
        return None
    source = Source(
        f"weights {weights.name}", weights.parent, rank=layers[place].source(()).rank, by_user=False
    )
    graph = _find_network(own, settings, source)
    loss, evaluation = settings.get("loss"), settings.get("eval")
    if graph is None or not isinstance(loss, dict) or not isinstance(evaluation, dict):
        return None
    suppression = {key: evaluation[key] for key in SUPPRESSION if key in evaluation}
    model = {"graph": graph, **({"bins": "auto"} if distribution_bins(own) else {})}
    values: dict[str, Any] = {"model": model, "loss": loss, "eval": suppression}
    return Layer(values=values, sources={(): source})


def _recipes() -> tuple[Path, Path]:
    return CONFIGS_FOLDER, CONFIGS_FOLDER / "presets"


def _stated_graph(layers: list[Layer]) -> tuple[str, Source] | None:
    """Return the graph that the last of the layers to do so states, and where."""
    for layer in reversed(layers):
        model = layer.values.get("model")
        if isinstance(model, dict) and isinstance(model.get("graph"), str):
            return model["graph"], layer.source(("model", "graph"))
    return None


def _find_network(
    own: Mapping[str, Any], settings: Mapping[str, Any], source: Source
) -> str | None:
    """Return the YAML of a file's network: the shipped one of its name, or the run's."""
    model = settings.get("model")
    named = model.get("name") if isinstance(model, dict) else None
    for name in (named, str(source.folder / GRAPH_OF_RUN)):
        if isinstance(name, str) and _rows(_read(name, source)) == _rows(own):
            return name
    return None


def _read(name: str, source: Source) -> Mapping[str, Any]:
    """Return a graph as plain data, nothing where it cannot be read: that is told elsewhere."""
    try:
        return read_yaml(find_graph(name, source)).values
    except ConfigError:
        return {}


def _rows(graph: Mapping[str, Any]) -> str:
    """Return the rows as text, without the number of bins: that is fitted to the size of images."""
    graph = with_bins(graph, ANY_BINS)
    rows = [graph.get(key) for key in ROWS]
    return json.dumps(rows).replace('"None"', "null")
