"""`model.bins`: enough for the size of the images, those of the weights, and a word where not."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from commands.build.box_bins import (
    REACH,
    needed_bins,
    objects_out_of_reach,
    report_bins,
    with_number_of_bins,
)
from commands.build.training_start import trained_graph
from configs.errors import ConfigError
from configs.heads import distribution_bins
from configs.origins import CONFIGS_FOLDER
from configs.reading.load import LoadedExperiment, load_experiment
from configs.schema.model import MAX_BINS
from models.detector import build_detector
from tests.configs.reading.weights.test_own import write_weights
from tests.data.anchors.records import record

FOCAL = yaml.safe_load((CONFIGS_FOLDER / "models" / "focal-n.yaml").read_text())
DATA = "data: {format: yolo, path: ., train: images, class_names: [a, b, c]}\n"


def loaded(folder: Path, *stated: str, base: str = "presets/modern.yaml") -> LoadedExperiment:
    (folder / "images").mkdir(exist_ok=True)
    graph = "" if base == "bccd_modern.yaml" else "model: {graph: models/focal-n.yaml}\n"
    (folder / "x.yaml").write_text(f"base: {base}\n{graph}{DATA}")
    return load_experiment(folder / "x.yaml", stated)


def bins_of(experiment: LoadedExperiment) -> Any:
    settled = with_number_of_bins(experiment)
    bins = settled.experiment.model.bins
    assert distribution_bins(settled.graph) == bins == distribution_bins(trained_graph(experiment))
    assert with_number_of_bins(settled) == settled
    return bins


@pytest.mark.parametrize(
    ("side", "bins"),
    [(64, 8), (192, 8), (320, 8), (352, 12), (416, 12), (640, 16), (1280, 32), (8192, MAX_BINS)],
)
def test_the_recipe_takes_what_images_of_a_size_need(side: int, bins: int, tmp_path: Path) -> None:
    assert bins_of(loaded(tmp_path, f"train.image_size={side}")) == bins


@given(st.integers(32, 4096), st.sampled_from([8, 16, 32, 64, 128]))
def test_needed_bins_reach_far_enough_and_no_further(side: int, stride: int) -> None:
    bins = needed_bins(side, stride)
    assert bins % 4 == 0
    if bins < MAX_BINS:
        assert (bins - 1) * stride >= REACH * side - 1e-3
    assert bins == 4 or (bins - 5) * stride < REACH * side


@pytest.mark.parametrize(
    ("stated", "bins"),
    [
        (("model.bins=graph", "train.image_size=640"), 8),
        (("model.bins=9", "train.image_size=640"), 9),
        (("model.graph=models/focal-s.yaml", "train.image_size=320"), 16),
        (("train.image_size=320", "train.multi_scale=0.5"), 12),
    ],
)
def test_what_is_stated_goes_first(stated: tuple[str, ...], bins: int, tmp_path: Path) -> None:
    assert bins_of(loaded(tmp_path, *stated)) == bins


def test_the_published_recipe_keeps_the_bins_of_the_graph(tmp_path: Path) -> None:
    losses = [
        "loss.objectness=null",
        "loss.assigner={name: task_aligned}",
        "loss.box={name: ciou, normalizer: targets}",
        "loss.classification={name: bce, normalizer: targets}",
    ]
    assert bins_of(loaded(tmp_path, *losses, base="presets/yolov5.yaml")) == 8


@pytest.mark.parametrize("of_weights", [6, 16, 20])
def test_weights_bring_their_bins(of_weights: int, tmp_path: Path) -> None:
    rows = [*FOCAL["head"][:-1], [[17, 20, 23], 1, "Joint", ["nc", of_weights]]]
    weights = write_weights(tmp_path / "w.safetensors", {**FOCAL, "head": rows})
    stated = (f"model.weights={weights}", "train.image_size=640")
    # The recipe names the network, the user does, or only the weights know it.
    recipes = (("presets/modern.yaml", ()), ("presets/finetune.yaml", ("model.graph=focal-n",)))
    losses = ("loss.objectness=null", "loss.assigner={name: task_aligned}")
    for base, more in recipes:
        own = (*more, *losses, "loss.classification={name: bce, normalizer: targets}")
        found = loaded(tmp_path, *stated, *(own if more else ()), base=base)
        assert bins_of(found) == of_weights
    (tmp_path / "fine.yaml").write_text(
        f"base: {CONFIGS_FOLDER / 'presets' / 'finetune.yaml'}\n{DATA}"
    )
    brought = load_experiment(tmp_path / "fine.yaml", stated)
    assert brought.graph_path == CONFIGS_FOLDER / "models" / "focal-n.yaml"
    assert bins_of(brought) == of_weights
    assert bins_of(loaded(tmp_path, *stated, "model.bins=12")) == 12


def test_weights_that_do_not_say_keep_the_bins_of_the_graph(tmp_path: Path) -> None:
    (tmp_path / "foreign.pt").write_bytes(b"x")
    stated = (f"model.weights={tmp_path / 'foreign.pt'}", "train.image_size=640")
    assert bins_of(loaded(tmp_path, *stated)) == 8


def test_heads_without_distributions_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "x.yaml").write_text(f"base: presets/scratch.yaml\n{DATA}")
    found = load_experiment(tmp_path / "x.yaml")
    assert with_number_of_bins(found) is found
    with pytest.raises(ConfigError, match=r"model\.bins .* must be graph: the head Detect"):
        load_experiment(tmp_path / "x.yaml", ["model.bins=16"])


@pytest.mark.parametrize("stated", ["1", "65", "8.5", "many", "true", "[8]", "null"])
def test_numbers_that_cannot_be_built_are_one_line(stated: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.bins") as caught:
        loaded(tmp_path, f"model.bins={stated}")
    assert "\n" not in str(caught.value)


def test_the_run_keeps_its_number_whatever_size_follows(tmp_path: Path) -> None:
    settled = with_number_of_bins(loaded(tmp_path, "train.image_size=640"))
    assert "auto: the 8 of focal-n.yaml reach 224 px" in settled.origins["model.bins"]
    (tmp_path / "run.yaml").write_text(settled.to_yaml())
    again = load_experiment(tmp_path / "run.yaml", ["train.image_size=320"])
    assert bins_of(again) == 16


def test_objects_out_of_reach_are_counted() -> None:
    """Eight bins on stride 32 reach 224 px: a box of 448 px is the largest."""
    records = [
        record([(640, 640), (448, 10), (449, 10)]),
        record([(10, 300), (10, 200)], size=(320, 320)),  # twice as large in training
    ]
    said = objects_out_of_reach(records, bins=8, stride=32, side=640)
    assert said is not None
    assert "no box is larger than 448 px; 3 of 5 objects (60.0%) are" in said
    assert said.endswith("set model.bins=16")
    assert objects_out_of_reach(records, bins=8, stride=32, side=320) is None
    assert objects_out_of_reach(records, bins=16, stride=32, side=640) is None
    assert objects_out_of_reach([], bins=2, stride=8, side=640) is None
    last = objects_out_of_reach(records, bins=64, stride=2, side=640)
    assert last is not None
    assert last.endswith("take smaller images")


def test_the_log_says_what_was_chosen_and_what_it_misses(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    records = [record([(640, 640)])]
    for stated, expected in (
        (("train.image_size=320",), ""),
        (("train.image_size=640",), "model.bins = 16: the 8 of focal-n.yaml reach 224 px"),
        (("train.image_size=640", "model.bins=10"), "1 of 1 objects (100.0%) are"),
    ):
        caplog.clear()
        report_bins(with_number_of_bins(loaded(tmp_path, *stated)), records, stride=32)
        assert (expected in caplog.text) if expected else not caplog.text


def test_no_box_of_the_head_is_larger(tmp_path: Path) -> None:
    """What the message says is what the decoder does, at the extremes of its output."""
    graph = trained_graph(loaded(tmp_path, "train.image_size=320"))
    detector = build_detector(graph, num_classes=3)
    decoder = detector.head.decoder
    extreme = torch.zeros(1, 4, 8)
    extreme[..., -1] = 100.0
    box = decoder.boxes(extreme.flatten(1), torch.zeros(1, 2), None, 32.0)[0]
    assert math.isclose(float(box[2] - box[0]), 448.0, rel_tol=1e-6)
