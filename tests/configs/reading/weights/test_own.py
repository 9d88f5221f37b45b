"""A file of ours in `model.weights` brings its network where a recipe would train another one."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.origins import CONFIGS_FOLDER
from configs.reading.load import LoadedExperiment, load_experiment
from configs.reading.weights import own
from configs.reading.weights.own import read_content

MODERN = load_experiment("bccd_modern.yaml", ["data.path=/"]).experiment.model_dump(mode="json")
FOCAL = yaml.safe_load((CONFIGS_FOLDER / "models" / "focal-n.yaml").read_text())
YOLOV5 = yaml.safe_load((CONFIGS_FOLDER / "models" / "yolov5n.yaml").read_text())


def write_weights(path: Path, graph: dict[str, Any], name: str = "focal-n", **changes: Any) -> Path:
    """Write a file of ours without a tensor."""
    settings = {**MODERN, "model": {"anchors": "graph", "name": name}, **changes}
    content = {"graph": {**graph, "nc": 3}, "config": settings, "image_size": 320}
    header = {"__metadata__": {"focaldet": json.dumps({"metadata": {"content": content}})}}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    return path


def loaded(folder: Path, *stated: str, cfg: Path | str = "finetune.yaml") -> LoadedExperiment:
    data = folder / "data.yaml"
    (folder / "images").mkdir(exist_ok=True)
    data.write_text("{format: yolo, path: ., train: images, class_names: [a, b]}")
    return load_experiment(cfg, [f"data={data}", *stated])


def test_network_and_losses_come_with_the_file(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "mine.safetensors", FOCAL)
    found = loaded(tmp_path, f"model.weights={weights}")
    assert found.graph_path == CONFIGS_FOLDER / "models" / "focal-n.yaml"
    loss = found.experiment.loss
    assert loss.objectness is None
    assert (loss.assigner.name, loss.classification.target) == ("task_aligned", "aligned")
    assert found.experiment.eval.iou_threshold == 0.7
    assert found.words["augment.close_mosaic"] == "25%"  # the recipe stays that of fine-tuning
    assert found.origins["loss.assigner.name"] == "weights mine.safetensors"
    assert any("mine.safetensors brings focal-n and its losses" in note for note in found.notes)


def test_the_folder_of_a_run_stands_for_its_best_weights(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    write_weights(tmp_path / "run" / "best.safetensors", FOCAL)
    found = loaded(tmp_path, f"model.weights={tmp_path / 'run'}")
    assert found.graph_path.name == "focal-n.yaml"


def test_what_is_stated_beside_it_goes_first(tmp_path: Path) -> None:
    weights = write_weights(tmp_path / "mine.safetensors", FOCAL)
    found = loaded(tmp_path, f"model.weights={weights}", "loss.classification.gain=0.9")
    assert found.experiment.loss.classification.gain == 0.9
    assert found.experiment.loss.box.gain == 7.5


@pytest.mark.parametrize("stated", ["model.graph=yolov5s", "model.graph=yolov5n"])
def test_a_network_that_the_user_states_is_trained(tmp_path: Path, stated: str) -> None:
    weights = write_weights(tmp_path / "mine.safetensors", FOCAL)
    found = loaded(tmp_path, f"model.weights={weights}", stated)
    assert found.graph_path.stem == stated.partition("=")[2]
    assert found.experiment.loss.objectness is not None
    mine = tmp_path / "own.yaml"
    mine.write_text("base: presets/finetune.yaml\nmodel: {graph: yolov5s}\n")
    found = loaded(tmp_path, f"model.weights={weights}", cfg=mine)
    assert found.graph_path.stem == "yolov5s"
    assert not any("brings" in note for note in found.notes)


def test_a_recipe_that_states_both_is_taken_at_its_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = write_weights(tmp_path / "mine.safetensors", FOCAL)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"base: presets/finetune.yaml\nmodel: {{graph: yolov5s, weights: {weights}}}\n"
    )
    monkeypatch.setattr(own, "CONFIGS_FOLDER", tmp_path)
    assert loaded(tmp_path, cfg=recipe).graph_path.stem == "yolov5s"


def test_the_network_of_the_recipe_keeps_the_losses_of_the_recipe(tmp_path: Path) -> None:
    loss = {**MODERN["loss"], "objectness": {"name": "bce", "gain": 0.123}}
    weights = write_weights(tmp_path / "mine.safetensors", YOLOV5, name="yolov5n", loss=loss)
    found = loaded(tmp_path, f"model.weights={weights}")
    assert found.graph_path.name == "yolov5n.yaml"
    assert found.experiment.loss.objectness is not None
    assert found.experiment.loss.objectness.gain != 0.123


def test_a_network_of_ones_own_is_that_of_the_run(tmp_path: Path) -> None:
    wider = {**FOCAL, "width_multiple": 0.5}
    weights = write_weights(tmp_path / "mine.safetensors", wider)
    found = loaded(tmp_path, f"model.weights={weights}")
    assert found.graph_path.name == "yolov5n.yaml"  # nobody knows its YAML
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump(wider))
    found = loaded(tmp_path, f"model.weights={weights}")
    assert found.graph_path == tmp_path / "graph.yaml"


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff" * 40, struct.pack("<Q", 2) + b"[]", struct.pack("<Q", 14) + b'{"a": [1, 2]}x'],
)
def test_what_says_nothing_brings_nothing(tmp_path: Path, content: bytes) -> None:
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(content)
    assert read_content(weights) is None
    assert loaded(tmp_path, f"model.weights={weights}").graph_path.name == "yolov5n.yaml"
    assert read_content(tmp_path / "other.pt") is None
    assert read_content(tmp_path / "missing.safetensors") is None
