"""Files of YOLOX, RTMDet and YOLOv9 in their real pickled form, and hostile variants of them."""

import os
import pickle
import re
import shutil
import subprocess
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from commands.build.detector import coco_names, import_file, load_detector
from commands.convert.run import convert
from configs.errors import ConfigError
from models.weights.importers import import_weights
from tests.commands.build.foreign_files import (
    foreign_classes,
    write_lightning,
    write_mmengine,
    write_yolox,
)
from tests.models.filled import filled_state
from utils.checkpoint.weights import load_weights
from utils.runtime.errors import UserError


def state_of(project: str, size: str) -> dict[str, Tensor]:
    state = filled_state(project, size)
    if project == "rtmdet":  # one tensor under the names of all levels, as it saves them
        for name in state:
            first = re.sub(r"_convs\.\d\.(\d)\.conv", r"_convs.0.\1.conv", name)
            state[name] = state[first]
    return state


def assert_imported(path: Path, state: Mapping[str, Tensor], graph: str) -> None:
    expected, found = import_weights(state, coco_names=coco_names()), import_file(path)
    assert expected is not None
    assert found is not None
    assert found.graph_name == graph
    assert found.tensors.keys() == expected.tensors.keys()
    assert all(torch.equal(found.tensors[name], expected.tensors[name]) for name in found.tensors)
    assert found.notes["file"] == path.name
    assert len(found.notes["sha256"]) == 64


@pytest.mark.slow
def test_yolox_checkpoint_in_half_precision(tmp_path: Path) -> None:
    state = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in state_of("yolox", "nano").items()
    }
    path = write_yolox(tmp_path / "yolox_nano.pth", state)
    assert_imported(path, state, "yolox-nano")
    loaded = load_detector(path)
    assert loaded.class_names == coco_names()
    assert loaded.image_size == 416
    assert loaded.metadata["converted_from"]["licence"] == "Apache-2.0"


@pytest.mark.slow
def test_rtmdet_checkpoint_with_histories_and_the_average_preferred(tmp_path: Path) -> None:
    average = state_of("rtmdet", "tiny")
    state = {n: t + 1 if t.is_floating_point() else t for n, t in average.items()}
    path = write_mmengine(tmp_path / "rtmdet_tiny.pth", state, ema=average, names=("a",) * 80)
    assert_imported(path, average, "rtmdet-tiny")
    imported = import_file(path)
    assert imported is not None
    assert imported.class_names == ("a",) * 80
    published = write_mmengine(tmp_path / "published.pth", average)
    assert_imported(published, average, "rtmdet-tiny")


@pytest.mark.slow
def test_yolov9_flat_and_of_lightning_with_hyper_parameters(tmp_path: Path) -> None:
    state = state_of("yolov9", "t")
    torch.save(state, tmp_path / "v9-t.pt")
    assert_imported(tmp_path / "v9-t.pt", state, "yolov9-t")
    assert_imported(write_lightning(tmp_path / "a.ckpt", state), state, "yolov9-t")
    old = {n: t + 1 if t.is_floating_point() else t for n, t in state.items()}
    assert_imported(write_lightning(tmp_path / "b.ckpt", old, ema=state), state, "yolov9-t")


@pytest.mark.slow
def test_convert_keeps_origin_licence_checksum_and_input(tmp_path: Path) -> None:
    path = write_yolox(tmp_path / "yolox_nano.pth", state_of("yolox", "nano"))
    ours = convert(path, tmp_path / "ours.safetensors")
    _, metadata = load_weights(ours)
    source = metadata["converted_from"]
    assert source["name"] == "yolox-nano"
    assert source["licence"] == "Apache-2.0"
    assert "github.com/Megvii" in source["origin"]
    assert "BGR" in source["input"]
    # As its authors evaluate: one class a cell, in a square.
    assert metadata["config"] == {"eval": {"multi_label": False, "rectangular": False}}
    assert source["sha256"] == import_file(path).notes["sha256"]  # type: ignore[union-attr]
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        first, again = (load_detector(each).own_detector(each)(images) for each in (path, ours))
    assert all(map(torch.equal, first.levels, again.levels))


@pytest.mark.slow
def test_levels_with_convolutions_of_their_own_are_refused(tmp_path: Path) -> None:
    state = state_of("rtmdet", "tiny")
    state["bbox_head.cls_convs.1.0.conv.weight"] = state["bbox_head.cls_convs.0.0.conv.weight"] + 1
    with pytest.raises(ConfigError, match="levels have convolutions of their own"):
        import_file(write_mmengine(tmp_path / "x.pth", state))


class Bomb:
    """Calls something when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


FEW = {
    "0.conv.weight": torch.zeros(16, 3, 3, 3),
    "22.heads.0.anchor_conv.0.conv.weight": torch.ones(1),
}
Writer = Callable[..., Path]
WRITERS: dict[str, tuple[Writer, str]] = {
    "mmengine": (write_mmengine, "meta"),
    "mmengine-ema": (write_mmengine, "ema_state_dict"),
    "lightning": (write_lightning, "hyper_parameters"),
    "lightning-state": (write_lightning, "state_dict"),
    "yolox": (write_yolox, "optimizer"),
    "yolox-model": (write_yolox, "model"),
}


def bombs(marker: str) -> dict[str, Any]:
    """Objects that leave the file `marker` behind if anything of them is executed."""
    python = f"open({marker!r}, 'w').close()"
    return {
        "system": Bomb(os.system, f"touch {marker}"),
        "exec": Bomb(exec, python),
        "eval": Bomb(eval, python),
        "open": Bomb(open, marker, "w"),
        "popen": Bomb(subprocess.Popen, ["touch", marker]),
        "import": Bomb(__import__, "os"),
        "copy": Bomb(shutil.copy, __file__, marker),
        "load": Bomb(torch.load, marker),
    }


CASES = [(writer, bomb) for writer in WRITERS for bomb in bombs("x")]


@pytest.mark.parametrize(("writer", "bomb"), CASES)
def test_nothing_is_executed_wherever_it_is_hidden(tmp_path: Path, writer: str, bomb: str) -> None:
    write, entry = WRITERS[writer]
    marker = tmp_path / "marker"
    hidden = {"x": [{"y": (bombs(str(marker))[bomb],)}], **FEW}
    path = write(tmp_path / "x.pth", FEW, **{entry: hidden})
    for use in (import_file, load_detector, convert):
        with pytest.raises(UserError, match="nothing of the file was executed") as caught:
            use(path)
        assert "\n" not in str(caught.value)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["x.pth"]


def raw_pickle(*, names: str) -> bytes:
    """A dict whose value is getattr(a class that may be named, names), called with nothing."""
    module, _, name = names.rpartition(" ")
    owner, attribute = name.split("->")
    return (
        b"\x80\x02}X\x01\x00\x00\x00xc__builtin__\ngetattr\nc"
        + f"{module}\n{owner}\n".encode()
        + b"X"
        + len(attribute).to_bytes(4, "little")
        + attribute.encode()
        + b"\x86Rs."
    )


@pytest.mark.parametrize(
    "names",
    [
        "mmengine.logging.history_buffer HistoryBuffer->__globals__",
        "mmengine.logging.history_buffer HistoryBuffer->__init__.__globals__",
        "mmengine.utils import_modules->x",
        "mmengine.fileio get->x",
        "omegaconf.omegaconf OmegaConf.load->x",
        "builtins dict->__subclasses__",
        "lightning.pytorch load->x",
        "yolo.tools os->system",
        "typing Any->__class__",
    ],
)
def test_getattr_reaches_public_methods_of_named_classes_only(tmp_path: Path, names: str) -> None:
    path = tmp_path / "x.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a/data.pkl", raw_pickle(names=names))
    with pytest.raises(UserError, match="nothing of the file was executed") as caught:
        import_file(path)
    assert "\n" not in str(caught.value)


def changed(state: dict[str, Tensor], name: str, tensor: Tensor | None) -> dict[str, Tensor]:
    other = {key: value for key, value in state.items() if key != name}
    return other if tensor is None else {**other, name: tensor}


STEM = "backbone.backbone.stem.conv.conv.weight"
DAMAGE: dict[str, tuple[str, Tensor | None, str]] = {
    "stem missing but named": ("backbone.backbone.stem.conv.bn.running_var", None, "is missing"),
    "stem of no size": (STEM, torch.zeros(17, 12, 3, 3), "stem"),
    "stem of one colour": (STEM, torch.zeros(16, 4, 3, 3), "stem"),
    "stem of integers": (
        STEM, torch.zeros(16, 12, 3, 3, dtype=torch.int32), "int32",
    ),
    "flat stem": (STEM, torch.zeros(16), "dimensions"),
    "wrong shape": ("backbone.C3_p3.conv1.conv.weight", torch.zeros(3, 3), "do not fit"),
    "NaN": ("backbone.C3_p3.conv1.bn.bias", torch.full((32,), torch.nan), "NaN"),
    "variance below 0": ("backbone.C3_p3.conv1.bn.running_var", -torch.ones(32), "below 0"),
    "missing": ("head.obj_preds.2.bias", None, "not in the file"),
    "more": ("head.obj_preds.9.bias", torch.zeros(1), "no such tensor"),
    "classes disagree": ("head.cls_preds.0.bias", torch.zeros(3), "do not fit"),
    "no classes": ("head.cls_preds.0.bias", torch.zeros(0), "no row for a class"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_weights_are_refused_in_one_line(tmp_path: Path, case: str) -> None:
    name, tensor, words = DAMAGE[case]
    state = changed(filled_state("yolox", "nano"), name, tensor)
    path = write_yolox(tmp_path / "x.pth", state)
    with pytest.raises((UserError, ConfigError), match=words) as caught:
        load_detector(path)
    assert "\n" not in str(caught.value)
    assert "x.pth" in str(caught.value)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_cut_files_are_refused(tmp_path: Path, share: float) -> None:
    path = write_mmengine(tmp_path / "x.pth", FEW)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError) as caught:
        import_file(path)
    assert "\n" not in str(caught.value)


def test_the_form_is_what_torch_itself_would_not_load(tmp_path: Path) -> None:
    """So that the files above are what their names say: they do hold objects of other packages."""
    for path in (write_mmengine(tmp_path / "a.pth", FEW), write_lightning(tmp_path / "b.pth", FEW)):
        with pytest.raises(pickle.UnpicklingError):
            torch.load(path, weights_only=True)
    with foreign_classes():
        assert torch.load(tmp_path / "a.pth", weights_only=False)["meta"]["epoch"] == 300
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        name = next(n for n in archive.namelist() if n.endswith("data.pkl"))
        assert b"getattr" in archive.read(name)
