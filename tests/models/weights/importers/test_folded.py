"""YOLOX from an ONNX file: the real one, and files that this test writes."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.build.detector import build_imported, coco_names, import_file
from models.weights.importers.renaming import renamed
from models.weights.importers.yolox import INNER, ROWS
from models.weights.importers.yolox_folded import DEPTHS, convert_folded, execution_order
from models.weights.unfold import set_statistics, unfold_norms
from tests.models.filled import golden, layout
from utils.export.onnx_weights import read_convolutions
from utils.runtime.errors import UserError

onnx = pytest.importorskip("onnx")
SIDE = 416


@pytest.fixture(scope="module")
def real(shared: Path) -> Path:
    path = shared / "weights" / "yolox_nano_0.1.1rc0.onnx"
    if not path.exists():
        pytest.skip(f"no {path.name}")
    return path


def test_raw_output_of_the_real_file(real: Path) -> None:
    imported = import_file(real)
    assert imported is not None
    assert imported.graph_name == "yolox-nano"
    assert imported.notes["import_format"] == "yolox-onnx"
    assert imported.notes["folded_norms"] is True
    assert imported.notes["licence"] == "Apache-2.0"
    assert imported.notes["sha256"].startswith("d39bee73")
    detector = build_imported(imported, real)
    waves = np.sin(0.001 * np.arange(3 * SIDE * SIDE))
    pixels = np.floor(127.5 + 127.5 * waves).reshape(1, 3, SIDE, SIDE).astype(np.float32)
    with torch.no_grad():
        levels = detector(torch.from_numpy(pixels).flip(1) / 255).levels
    raw = torch.cat([level[:, 0].flatten(1, 2) for level in levels], dim=1)
    raw[..., 4:] = raw[..., 4:].sigmoid()
    expected = torch.from_numpy(golden("yolox_nano_golden.npz")["synth_raw"])
    torch.testing.assert_close(raw, expected, atol=1e-3, rtol=0)


def test_files_whose_nodes_have_no_names_are_read_by_their_order(real: Path) -> None:
    convolutions = read_convolutions(real)
    numbered = [(f"Conv_{i}", w, b) for i, (_, w, b) in enumerate(convolutions)]
    by_name, by_order = (convert_folded(c, coco_names()) for c in (convolutions, numbered))
    assert by_name is not None
    assert by_order is not None
    assert by_name.tensors.keys() == by_order.tensors.keys()
    assert all(torch.equal(by_name.tensors[n], by_order.tensors[n]) for n in by_name.tensors)
    assert convert_folded(numbered[:-1], coco_names()) is None
    assert convert_folded([], coco_names()) is None
    assert convert_folded([("a", torch.zeros(16, 3, 3, 3), torch.zeros(16))], ()) is None


@pytest.mark.parametrize("size", list(DEPTHS))
def test_the_order_has_every_convolution_once(size: str) -> None:
    entries = layout("yolox", size)["entries"]
    expected = {n.removesuffix(".weight") for n, shape in entries.items() if len(shape) == 4}
    order = execution_order(size)
    assert len(order) == len(expected)
    assert set(order) == expected
    assert all(renamed(path, ROWS, INNER) for path in order)


def write(path: Path, real: Path, change: Any) -> Path:
    model = onnx.load(str(real))
    change(model.graph)
    path.write_bytes(model.SerializeToString())
    return path


def external(graph: Any) -> None:
    graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL
    entry = graph.initializer[0].external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"


def short(graph: Any) -> None:
    graph.initializer[20].raw_data = graph.initializer[20].raw_data[:-4]


def endless(graph: Any) -> None:
    graph.initializer[20].dims[0] = 2**50


def computed(graph: Any) -> None:
    next(node for node in graph.node if node.op_type == "Conv").input[1] = graph.input[0].name


def flat(graph: Any) -> None:
    del graph.initializer[20].dims[:]
    graph.initializer[20].dims.extend([len(graph.initializer[20].raw_data) // 4])


@pytest.mark.parametrize("change", [external, short, endless, computed, flat])
def test_hostile_files_are_refused_in_one_line(real: Path, tmp_path: Path, change: Any) -> None:
    path = write(tmp_path / "x.onnx", real, change)
    with pytest.raises(UserError) as caught:
        read_convolutions(path)
    assert "\n" not in str(caught.value)
    assert re.search("in other files|damaged|no stored weights|none of images", str(caught.value))


def test_own_exports_are_refused(real: Path, tmp_path: Path) -> None:
    model = onnx.load(str(real))
    entry = model.metadata_props.add()
    entry.key, entry.value = "focaldet_format", "1"
    (tmp_path / "x.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UserError, match=r"written by export\.py; name the weights"):
        import_file(tmp_path / "x.onnx")


def test_what_is_no_onnx_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="is not an ONNX file"):
        read_convolutions(tmp_path / "x.onnx")


@pytest.mark.slow
def test_unfolded_norms_are_the_same_function_and_normalise_what_they_meet(real: Path) -> None:
    imported = import_file(real)
    assert imported is not None
    detector = build_imported(imported, real)
    torch.manual_seed(0)
    batches = [torch.rand(3, 3, 96, 96) for _ in range(2)]
    images = torch.cat(batches)
    with torch.no_grad():
        before = detector(images).levels
        assert unfold_norms(detector, batches) == 6
        after = detector(images).levels
        assert not detector.training
        detector.train()
        trained = detector(images).levels
    for old, new, batch in zip(before, after, trained, strict=True):
        torch.testing.assert_close(new, old, atol=1e-3, rtol=1e-3)
        # The batch that was measured normalises as the statistics of all of it do.
        torch.testing.assert_close(batch, old, atol=1e-2, rtol=1e-2)
    raw = build_imported(imported, real).train()
    with torch.no_grad():
        assert (raw(images).levels[0] - before[0]).abs().max() > 1


def test_the_golden_numbers_of_one_channel() -> None:
    """Bias .3, mean .8, variance 2.5, eps 1e-3 give weight 1.581455026 and bias 1.1."""
    norm = torch.nn.BatchNorm2d(1, eps=1e-3)
    with torch.no_grad():
        norm.bias.fill_(0.3)
        norm.running_var.fill_(1 - 1e-3)  # type: ignore[union-attr]
        set_statistics(norm, torch.tensor([0.8]), torch.tensor([2.5]))
    assert norm.weight.item() == pytest.approx(1.581455026, rel=1e-6)
    assert norm.bias.item() == pytest.approx(1.1, rel=1e-6)
