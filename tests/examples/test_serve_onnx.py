"""The serving example, in a process where neither torch nor this project can be imported."""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands.export.cli import ExportCommand
from commands.export.run import export
from focaldet import load_detector
from tests.commands.tiny_weights import write_weights
from tests.data.synthetic.scene_files import SIZES

EXAMPLE = Path(__file__).parents[2] / "examples" / "serve_onnx.py"
ALONE = """
import runpy, sys
class Refusal:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {refused!r}:
            raise ImportError(f"{{name}} must not be imported here")
sys.meta_path.insert(0, Refusal())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
REFUSED = (
    "torch", "torchvision", "onnx", "PIL", "pydantic", "yaml", "tqdm", "focaldet",
    "commands", "configs", "data", "models", "utils",
)  # fmt: skip


def command(*arguments: object) -> list[str]:
    program = ALONE.format(refused=set(REFUSED))
    return [sys.executable, "-c", program, str(EXAMPLE), *map(str, arguments)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights, their export with suppression, and pictures of all shapes."""
    folder = tmp_path_factory.mktemp("serve")
    score_map = {"knots": [0.0, 0.5, 1.0], "values": [0.1, 0.3, 0.8]}
    weights = write_weights(folder / "w.safetensors", score_map=score_map)
    overrides = ("eval.score_threshold=0.15",)
    export(ExportCommand(weights=weights, nms=True, overrides=overrides))
    rng = np.random.default_rng(0)
    for index, size in enumerate(SIZES):
        # Noise, because flat areas give equal scores, whose order rounding decides.
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (*size, 3), np.uint8))
    return folder


def expected(folder: Path, name: str) -> Any:
    return load_detector(folder / "w.safetensors", score_threshold=0.15)(folder / name)


def assert_same(found: list[dict[str, Any]], wanted: Any) -> None:
    assert len(wanted) > 0
    assert [each["class"] for each in found] == [each.class_name for each in wanted]
    np.testing.assert_allclose([each["score"] for each in found], wanted.scores, atol=1e-6)
    np.testing.assert_allclose([each["box"] for each in found], wanted.boxes, atol=1e-3)


@pytest.mark.slow
def test_command_line_finds_what_the_detector_finds(folder: Path) -> None:
    names = [f"{index}.png" for index in range(len(SIZES))]
    done = subprocess.run(
        command(folder / "w-nms.onnx", *(folder / name for name in names)),
        capture_output=True,
        text=True,
        cwd=folder,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(line["image"]).name for line in lines] == names
    for line in lines:
        assert_same(line["detections"], expected(folder, Path(line["image"]).name))


def test_the_process_is_really_alone(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("import torch")
    done = subprocess.run(
        [sys.executable, "-c", ALONE.format(refused=set(REFUSED)), str(tmp_path / "x.py")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "torch must not be imported here" in done.stderr


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with subprocess.Popen(
        command(folder / "w-nms.onnx", "--port", 0),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=folder,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1]
        finally:
            process.kill()


def post(address: str, body: bytes) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(address, data=body, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_server_answers_with_json(folder: Path, address: str) -> None:
    status, answer = post(address, (folder / "0.png").read_bytes())
    assert status == 200
    assert_same(answer["detections"], expected(folder, "0.png"))
    assert post(address, b"no image") == (
        400,
        {"error": "the body is not a readable image"},
    )
    assert post(address, b"")[0] == 400


@pytest.mark.slow
def test_a_file_without_suppression_is_refused_in_one_line(folder: Path) -> None:
    export(ExportCommand(weights=folder / "w.safetensors"))
    done = subprocess.run(
        command(folder / "w.onnx", folder / "0.png"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.strip().endswith("w.onnx: export it again with --nms")
