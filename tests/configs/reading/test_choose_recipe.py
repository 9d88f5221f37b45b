"""The experiment that a command line without one stands for."""

from pathlib import Path

import pytest

from configs.reading.load import load_experiment
from configs.reading.overrides import as_overrides, choose_recipe


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ([], "from_scratch.yaml"),
        (["model.weights=null"], "from_scratch.yaml"),
        (["model.weights="], "from_scratch.yaml"),
        (["model.weights=mine.safetensors"], "finetune.yaml"),
        (["model.weights=mine.safetensors", "model.graph=focal-s"], "finetune.yaml"),
        (["model.weights=mine.safetensors", "model.weights=~"], "from_scratch.yaml"),
        (["model.graph=yolov5s"], "from_scratch_anchors.yaml"),
        (["model.graph=models/yolov5s.yaml"], "from_scratch_anchors.yaml"),
        (["model.graph=focal-s"], "from_scratch.yaml"),
        (["model.graph=no-such-network"], "from_scratch.yaml"),
        (["model.graph=["], "from_scratch.yaml"),
        (["model.graph=yolov5s", "model.graph=focal-n"], "from_scratch.yaml"),
        (as_overrides({"model": {"graph": "yolov5s"}}), "from_scratch_anchors.yaml"),
        (as_overrides({"model": {"weights": None}}), "from_scratch.yaml"),
    ],
)
def test_it_follows_from_weights_and_head(stated: list[str], name: str) -> None:
    assert choose_recipe(stated).name == name


@pytest.mark.parametrize("graph", ["yolov5n", "yolov5s6", "focal-n", "focal-x"])
def test_its_losses_fit_the_network(graph: str, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    data = tmp_path / "data.yaml"
    data.write_text("{format: yolo, path: ., train: images, class_names: [a, b]}")
    stated = [f"data={data}", f"model.graph={graph}"]
    loaded = load_experiment(choose_recipe(stated), stated)
    assert loaded.graph_path.stem == graph
    assert (loaded.experiment.loss.objectness is None) == graph.startswith("focal")
