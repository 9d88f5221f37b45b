"""export.py as a person runs it, and what its files of released weights have to do."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from commands.build.detector import load_detector
from commands.export.cli import ExportCommand, parse_export_command
from commands.export.run import export
from configs.errors import ConfigError
from models.inference.export_wrapper import ExportWrapper
from tests.commands.tiny_weights import write_weights
from utils.export import packages
from utils.runtime.errors import UserError

REPOSITORY = Path(__file__).parents[1]


def run(*arguments: object, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, str(REPOSITORY / "export.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )


@pytest.mark.slow
def test_program_says_how_far_the_file_is_from_pytorch(tmp_path: Path) -> None:
    write_weights(tmp_path / "w.safetensors")
    done = run("--weights", "w.safetensors", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("written: w.onnx (0.")
    assert "px of PyTorch's (allowed 0.05), scores within" in lines[0]
    assert (tmp_path / "w.onnx").is_file()
    wrong = run("--weights", "w.safetensors", "train.image_size=100", cwd=tmp_path)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    assert "a multiple of 32" in wrong.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--weights none.safetensors", "none.safetensors: no such file"),
        ("--weights w.safetensors --check-images none", "--check-images none: no such"),
        ("--weights w.safetensors --format tensorrt", "needs a CUDA device"),
        ("--weights w.safetensors train.image_size=100", "a multiple of 32"),
        ("--weights w.safetensors --output w.safetensors", "--output w.safetensors:"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="TensorRT has its device here")
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_weights(tmp_path / "w.safetensors")
    with pytest.raises((UserError, ConfigError), match=message) as caught:
        export(parse_export_command(arguments.split()))
    assert "\n" not in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_weights(tmp_path / "w.safetensors")
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"--format onnx needs the package onnx, .*pip install onn"):
        export(ExportCommand(weights=weights))
    assert [path.name for path in tmp_path.iterdir()] == ["w.safetensors"]
    with pytest.raises(UserError, match="pip install there-is-none"):
        packages.require("there_is_none", purpose="x", package="there-is-none")


@pytest.mark.slow
def test_files_that_are_none_of_ours_are_refused(tmp_path: Path) -> None:
    for name in ("w.onnx", "w.xml", "w.torchscript"):
        path = tmp_path / name
        with pytest.raises(UserError, match="no such file"):
            load_detector(path, trusted=True)
        path.write_bytes(b"something else")
        with pytest.raises(UserError, match=f"{name} cannot be (run|read)"):
            load_detector(path, trusted=True)
    value = onnx.helper.make_tensor_value_info("x", 1, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    outputs = [onnx.helper.make_value_info("y", value.type)]
    graph = onnx.helper.make_graph([node], "g", [value], outputs)
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "o.onnx"
    )
    with pytest.raises(UserError, match=r"o\.onnx has no metadata of this program's export\.py"):
        load_detector(tmp_path / "o.onnx")


@pytest.fixture(scope="module")
def released(shared: Path) -> Path:
    return shared / "weights" / "yolov5n_v7.0.pt"


@pytest.mark.slow
@torch.no_grad()
def test_released_weights_in_onnxruntime(released: Path, tmp_path: Path) -> None:
    """Batch 1 and 4, 320x448 and 640x640, with and without suppression."""
    (raw,) = export(ExportCommand(weights=released, output=tmp_path))
    (nms,) = export(ExportCommand(weights=released, output=tmp_path, nms=True))
    network = ExportWrapper(load_detector(released).own_detector(released), fused=True)
    sessions = []
    for path in (raw, nms):
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert {opset.domain for opset in model.opset_import} == {""}
        sessions.append(onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"]))
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 4):
        for size in ((320, 448), (640, 640)):
            images = torch.rand(batch, 3, *size, generator=generator)
            boxes, scores = sessions[0].run(None, {"images": images.numpy()})
            expected = network(images)
            np.testing.assert_allclose(boxes, expected[0].numpy(), atol=5e-3)
            np.testing.assert_allclose(scores, expected[1].numpy(), atol=1e-5)
            found = sessions[1].run(None, {"images": images.numpy()})
            assert [output.shape for output in found] == [
                (batch, 300, 4), (batch, 300), (batch, 300), (batch,)
            ]  # fmt: skip
