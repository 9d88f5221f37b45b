"""Exported files are the same detector: checked, judged and used like the weights."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from commands.build.detector import load_detector
from commands.export.check import Reference, check
from commands.export.cli import ExportCommand
from commands.export.run import Exporter, export
from commands.val.cli import ValCommand
from commands.val.run import evaluate_weights
from configs.errors import ConfigError
from focaldet import load_detector as load_for_python
from models.inference.export_wrapper import ExportWrapper
from models.inference.nms import Postprocess
from tests.commands.tiny_weights import CLASS_NAMES, uneven_detector, write_data_set, write_weights
from tests.data.synthetic.scene_files import write_scenes
from tests.utils.export.test_description import DESCRIPTION
from utils.runtime.errors import UserError
from utils.structures.scored_cells import ScoredCells

pytestmark = pytest.mark.slow


SHAPES = [(1, 3, 64, 64), (4, 3, 64, 64), (1, 3, 32, 48), (4, 3, 32, 48), (3, 3, 8, 8)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("weights") / "w.safetensors")


@pytest.fixture(scope="module")
def data(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data_set(tmp_path_factory.mktemp("data"), weights)


@pytest.fixture(scope="module")
def exported(weights: Path) -> dict[str, Path]:
    """Ending of the name after the stem -> file."""
    raw = ExportCommand(weights=weights, formats=("onnx", "openvino", "torchscript"))
    nms = ExportCommand(weights=weights, formats=("onnx", "openvino"), nms=True, like_val=True)
    paths = [*export(raw), *export(nms)]
    return {path.name.removeprefix("w"): path for path in paths}


ENDINGS = (".onnx", ".xml", ".torchscript", "-nms.onnx", "-nms.xml")


def test_all_files_are_there_and_nothing_else(weights: Path, exported: dict[str, Path]) -> None:
    assert tuple(exported) == ENDINGS
    names = {path.name for path in weights.parent.iterdir()}
    written = {path.name for path in exported.values()}
    assert names == {"w.safetensors", "w.bin", "w-nms.bin", *written}


@torch.no_grad()
@pytest.mark.parametrize("shape", SHAPES)
def test_onnx_takes_every_batch_and_size(exported: dict[str, Path], shape: tuple[int, ...]) -> None:
    onnx.checker.check_model(onnx.load(exported[".onnx"]), full_check=True)
    session = onnxruntime.InferenceSession(
        str(exported[".onnx"]), providers=["CPUExecutionProvider"]
    )
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    boxes, scores = session.run(None, {"images": images.numpy()})
    expected = ExportWrapper(uneven_detector(), fused=True)(images)
    np.testing.assert_allclose(boxes, expected[0].numpy(), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(scores, expected[1].numpy(), rtol=1e-5, atol=1e-6)


def test_metadata_say_what_a_stranger_needs(exported: dict[str, Path]) -> None:
    model = onnx.load(exported["-nms.onnx"])
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["class_names"]) == list(CLASS_NAMES)
    assert said["stride"] == "8"
    assert said["image_size"] == "64"
    assert said["pad_colour"] == "114"
    assert said["channel_order"] == "RGB"
    assert said["nms"] == "true"
    assert said["score_threshold"] == "0.001"
    assert {domain.domain for domain in model.opset_import} == {""}, "only standard operators"


def val_command(weights: Path, data: Path, *overrides: str) -> ValCommand:
    return ValCommand(
        weights=weights,
        data=str(data),
        split="val",
        json=None,
        save_detections=None,
        overrides=("train.workers=0", *overrides),
        trust=weights.suffix == ".torchscript",
    )


# OpenVINO's suppression takes equal scores in an order of its own, and flat pictures have many.
@pytest.mark.parametrize("ending", ENDINGS[:4])
def test_val_gives_the_numbers_of_the_weights(
    weights: Path, exported: dict[str, Path], data: Path, ending: str
) -> None:
    expected = evaluate_weights(val_command(weights, data)).result
    found = evaluate_weights(val_command(exported[ending], data)).result
    assert expected.map50_95 > 0
    assert found.map50_95 == pytest.approx(expected.map50_95, abs=1e-4)
    assert found.map50 == pytest.approx(expected.map50, abs=1e-4)
    assert found.counts["detections"] == expected.counts["detections"]


@pytest.mark.parametrize("ending", ENDINGS[:3])
def test_python_interface_takes_exported_files(
    weights: Path, exported: dict[str, Path], tmp_path: Path, ending: str
) -> None:
    path = write_scenes(tmp_path, 1)[0].path
    expected = load_for_python(weights, score_threshold=0.1)(path)
    is_program = ending == ".torchscript"
    found = load_for_python(exported[ending], score_threshold=0.1, trust=is_program)(path)
    assert len(expected) > 0
    assert found.labels.tolist() == expected.labels.tolist()
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-3)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_suppression_in_the_file_is_not_overruled_in_silence(
    exported: dict[str, Path], data: Path
) -> None:
    with pytest.raises(ConfigError, match=r"eval\.iou_threshold: w-nms\.onnx contains NMS"):
        evaluate_weights(val_command(exported["-nms.onnx"], data, "eval.iou_threshold=0.5"))
    same = evaluate_weights(val_command(exported["-nms.onnx"], data, "eval.iou_threshold=0.6"))
    assert same.result.counts["images"] > 0


def test_predict_defaults_are_those_of_the_file(exported: dict[str, Path], tmp_path: Path) -> None:
    path = write_scenes(tmp_path, 1)[0].path
    with pytest.raises(ConfigError, match=r"eval\.score_threshold: w-nms\.onnx contains"):
        load_for_python(exported["-nms.onnx"], score_threshold=0.5)(path)


def test_score_map_of_the_weights_goes_with_every_file(tmp_path: Path) -> None:
    score_map = {"knots": [0.0, 1.0], "values": [0.2, 0.8]}
    weights = write_weights(tmp_path / "w.safetensors", score_map=score_map)
    path = write_scenes(tmp_path, 1)[0].path
    expected = load_for_python(weights, score_threshold=0.3)(path)
    assert len(expected) > 0
    for nms in (False, True):
        command = ExportCommand(weights=weights, nms=nms, overrides=("eval.score_threshold=0.3",))
        (file,) = export(command)
        threshold = {} if nms else {"score_threshold": 0.3}
        if nms:
            threshold = {"score_threshold": load_detector(file).fixed_eval["score_threshold"]}
        found = load_for_python(file, **threshold)(path)
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-6)


def test_a_file_that_is_not_the_same_is_not_put_in_place(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Exporter._cells_graph

    def broken(self: Exporter) -> onnx.ModelProto:
        model = whole(self)
        model.graph.initializer[0].CopyFrom(
            onnx.numpy_helper.from_array(
                onnx.numpy_helper.to_array(model.graph.initializer[0]) * np.float32(1.01),
                model.graph.initializer[0].name,
            )
        )
        return model

    monkeypatch.setattr(Exporter, "_cells_graph", broken)
    for nms in (False, True):
        command = ExportCommand(weights=weights, output=tmp_path, nms=nms, like_val=True)
        with pytest.raises(UserError, match="the exported network"):
            export(command)
    assert list(tmp_path.iterdir()) == []


def test_exported_files_are_not_exported_again(exported: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="is an exported file; this needs the weights"):
        export(ExportCommand(weights=exported[".onnx"]))


def test_settings_without_effect_are_errors(weights: Path) -> None:
    for override in ("train.device=cpu", "eval.batch_size=4", "train.epochs=3"):
        with pytest.raises(ConfigError, match="has no effect"):
            export(ExportCommand(weights=weights, overrides=(override,)))


def test_pictures_to_check_on(
    weights: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(UserError, match=r"--check-images .*nowhere: no such file or folder"):
        export(ExportCommand(weights=weights, check_images=(tmp_path / "nowhere",)))
    with pytest.raises(UserError, match="no image in this folder"):
        export(ExportCommand(weights=weights, check_images=(tmp_path,)))
    write_scenes(tmp_path, 2)
    out = tmp_path / "out"
    export(ExportCommand(weights=weights, check_images=(tmp_path / "0.png",), output=out))
    assert "images 1x3x56x72, 1x3x32x32: boxes within" in caplog.text


def test_int8_finds_the_same_and_says_what_it_costs(
    weights: Path, data: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from commands.export.cli import DataSplit

    caplog.set_level(logging.INFO)
    named = DataSplit(data=str(data), split="val")
    command = ExportCommand(
        weights=weights, int8=True, calibration_data=named, data=named, output=tmp_path
    )
    single, int8 = export(command)
    assert int8.name == "w-int8.onnx"
    assert "AP on" in caplog.text
    kinds = [node.op_type for node in onnx.load(int8).graph.node]
    assert "DequantizeLinear" in kinds
    assert "QuantizeLinear" not in [node.op_type for node in onnx.load(single).graph.node]
    heads = [name for name in initializers(int8) if name.startswith("detector.model.4.")]
    assert heads, "the head keeps its float32 weights"


def initializers(path: Path) -> list[str]:
    return [
        tensor.name
        for tensor in onnx.load(path).graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    ]


def test_int8_needs_images(weights: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--int8 needs images of your data"):
        export(ExportCommand(weights=weights, int8=True, output=tmp_path))


class Answers:
    """A session that gives what it was made with."""

    runtime = "a fake"

    def __init__(self, *outputs: torch.Tensor) -> None:
        self._outputs = tuple(output.numpy() for output in outputs)

    def __call__(self, images: np.ndarray) -> tuple[np.ndarray, ...]:
        return self._outputs


@pytest.mark.parametrize(
    ("shift", "factor", "is_same"),
    [(0.0, 1.0, True), (0.04, 1.0, True), (0.06, 1.0, False), (0.0, 1.001, False)],
)
def test_tolerances(shift: float, factor: float, is_same: bool) -> None:
    cells = ScoredCells(boxes=torch.ones(1, 3, 4), scores=torch.full((1, 3, 3), 0.5))
    wanted = [Reference(torch.zeros(1, 3, 8, 8), cells)]
    session = Answers(cells.boxes + shift, cells.scores * factor)
    if is_same:
        assert "boxes within" in check(session, DESCRIPTION, wanted, Postprocess())
        return
    with pytest.raises(UserError, match="not the same function"):
        check(session, DESCRIPTION, wanted, Postprocess())


def test_nan_and_wrong_shapes_fail_the_check() -> None:
    cells = ScoredCells(boxes=torch.ones(1, 3, 4), scores=torch.full((1, 3, 3), 0.5))
    wanted = [Reference(torch.zeros(1, 3, 8, 8), cells)]
    with pytest.raises(UserError, match="not the same function"):
        check(Answers(cells.boxes * torch.nan, cells.scores), DESCRIPTION, wanted, Postprocess())
    with pytest.raises(UserError, match=r"gives \(1, 2, 4\) where PyTorch gives \(1, 3, 4\)"):
        check(Answers(cells.boxes[:, :2], cells.scores), DESCRIPTION, wanted, Postprocess())


def test_int8_that_finds_nothing_again_fails_the_check() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [50, 50, 70, 70], [100, 0, 120, 10]]])
    cells = ScoredCells(boxes=boxes, scores=torch.full((1, 3, 3), 0.9))
    wanted = [Reference(torch.zeros(1, 3, 8, 8), cells)]
    int8 = replace(DESCRIPTION, precision="int8")
    answer = check(Answers(boxes + 1, cells.scores), int8, wanted, Postprocess())
    assert "3 of PyTorch's 3 objects" in answer
    with pytest.raises(UserError, match="int8 is too coarse"):
        check(Answers(boxes + 200, cells.scores), int8, wanted, Postprocess())
