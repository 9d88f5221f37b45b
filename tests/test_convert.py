"""convert.py as a person runs it, and that what it writes is worth what the foreign file was."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from commands.convert.run import convert
from tests.run_programs import run
from utils.checkpoint.weights import load_weights
from utils.runtime.errors import UserError


@pytest.fixture(scope="module")
def released(shared: Path) -> Path:
    return shared / "weights" / "yolov5n_v7.0.pt"


@pytest.fixture(scope="module")
def converted(released: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert(released, tmp_path_factory.mktemp("converted") / "n.safetensors")


@pytest.mark.slow
def test_provenance_is_recorded(released: Path, converted: Path) -> None:
    _, metadata = load_weights(converted)
    source = metadata["converted_from"]
    assert source["file"] == released.name
    assert source["sha256"] == hashlib.sha256(released.read_bytes()).hexdigest()
    assert source["format"].startswith("PyTorch zip")
    assert len(source["date"].split("-")) == 3
    assert len(metadata["class_names"]) == 80
    assert "torch" in metadata["versions"]


def test_nothing_is_overwritten_and_only_foreign_files_are_taken(
    released: Path, converted: Path, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="exists and is not overwritten"):
        convert(released, converted)
    with pytest.raises(UserError, match="is not a foreign weights file"):
        convert(converted, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"must end in \.safetensors"):
        convert(released, tmp_path / "x.pt")


def test_plain_tensors_are_refused_because_their_network_is_not_known(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(2)}, tmp_path / "plain.pt")
    with pytest.raises(UserError, match="but no description of network and classes"):
        convert(tmp_path / "plain.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["plain.pt"]


@pytest.fixture(scope="module")
def few_images(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YAML of six images of coco128, labels beside them."""
    folder = tmp_path_factory.mktemp("few")
    source = shared / "data" / "coco128"
    images = sorted((source / "images" / "train2017").glob("*.jpg"))[:6]
    for kind in ("images", "labels"):
        (folder / kind).mkdir()
    for image in images:
        label = source / "labels" / "train2017" / f"{image.stem}.txt"
        (folder / "images" / image.name).symlink_to(image)
        (folder / "labels" / label.name).write_text(label.read_text() if label.exists() else "")
    names = json.dumps(list(load_names(shared)))
    yaml = folder / "few.yaml"
    yaml.write_text(
        f"format: yolo\npath: {folder}\ntrain: images\nval: images\nclass_names: {names}\n"
        "max_rejected: 1.0\n"
    )
    return yaml


def load_names(shared: Path) -> Any:
    from utils.checkpoint.torch_file import read_torch_file

    return read_torch_file(shared / "weights" / "yolov5n_v7.0.pt").class_names


@pytest.mark.slow
def test_val_gives_the_same_numbers_for_both_files(
    released: Path, few_images: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "n.safetensors"
    done = run("convert.py", "--weights", released, "--out", ours)
    assert done.returncode == 0, done.stderr
    assert f"written: {ours}" in done.stderr
    numbers = []
    for weights in (released, ours):
        results, found = tmp_path / "numbers.json", tmp_path / "found.json"
        judged = run(
            "val.py", "--weights", weights, "--data", few_images, "--json", results,
            "--save-detections", found, "train.workers=0", "train.threads=1",
        )  # fmt: skip
        assert judged.returncode == 0, judged.stderr
        content = json.loads(results.read_text())
        content.pop("seconds", None)
        content.pop("images_per_second")
        numbers.append((content, found.read_text()))
    assert numbers[0] == numbers[1]
    assert len(json.loads(numbers[0][1])) > 20


@pytest.mark.slow
def test_wrong_usage_is_one_line(tmp_path: Path) -> None:
    for arguments, words in (
        ((), "--weights"),
        (("--weights", tmp_path / "absent.pt"), "absent.pt"),
        (("--weight", "x.pt"), "--weight"),
    ):
        done = run("convert.py", *arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False)
        assert words in done.stderr
        assert done.stderr.count("\n") == 1
