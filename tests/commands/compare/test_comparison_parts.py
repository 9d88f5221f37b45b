"""Cutting a test split, and the evidence that trainings began alike."""

import json
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from torch import nn

from commands.compare.split_cut import cut_test_split, is_test_image
from commands.train.pairing import PairingHashes, batch_digest
from configs.reading.load import LoadedExperiment, load_experiment
from data.records.load import load_split
from tests.data.formats.tiny import coco, voc, yolo
from tests.utils.engine.toy import toy_batch
from utils.checkpoint.weights import weights_digest
from utils.runtime.errors import UserError
from utils.structures.batch import Batch

NAMES = [f"image{number}" for number in range(14)]
GRAPH = "nc: 80\nanchors: [[10, 13]]\nbackbone: []\nhead: []\n"


def experiment(root: Path, data: str) -> LoadedExperiment:
    (root / "graph.yaml").write_text(GRAPH)
    (root / "experiment.yaml").write_text(f"data: {data}\nmodel: {{graph: graph.yaml}}\n")
    return load_experiment(root / "experiment.yaml")


def yolo_data(root: Path) -> str:
    yolo(root, dict.fromkeys(NAMES, "0 0.5 0.5 0.2 0.2"))
    return f"{{path: {root}, class_names: [cat, dog], train: images, val: images}}"


def coco_data(root: Path) -> str:
    images = [
        {"id": number + 3, "file_name": f"{name}.jpg", "height": 60, "width": 80}
        for number, name in enumerate(NAMES)
    ]
    boxes = [
        {"id": k + 1, "image_id": image["id"], "category_id": 7, "bbox": [k, 2, 10, 9], "area": 80}
        for k, image in enumerate(images)
    ]
    coco(root, images, boxes)
    split = "{images: images, annotations: train.json}"
    head = f"format: coco, path: {root}, class_names: [cat, dog]"
    return f"{{{head}, train: {split}, val: {split}}}"


def voc_data(root: Path) -> str:
    box = "<xmin>2</xmin><ymin>3</ymin><xmax>20</xmax><ymax>30</ymax>"
    voc(root, dict.fromkeys(NAMES, f"<object><name>dog</name><bndbox>{box}</bndbox></object>"))
    names = "ImageSets/Main/train.txt"
    return f"{{format: voc, path: {root}, class_names: [cat, dog], train: {names}, val: {names}}}"


@pytest.mark.parametrize("write", [yolo_data, coco_data, voc_data])
def test_the_parts_are_the_validation_split_and_keep_its_labels(
    tmp_path: Path, write: object
) -> None:
    data = write(tmp_path / "set")  # type: ignore[operator]
    loaded = experiment(tmp_path, data)
    whole = {Path(r.path).name: r for r in load_split(loaded.experiment.data, "val").records}
    settings = cut_test_split(loaded, tmp_path / "cut", 0.5)
    cut = load_experiment(tmp_path / "experiment.yaml", settings).experiment.data
    parts = {
        name: {Path(r.path).name: r for r in load_split(cut, name).records}  # type: ignore[arg-type]
        for name in ("val", "test")
    }
    assert parts["val"].keys() | parts["test"].keys() == whole.keys()
    assert parts["val"].keys() & parts["test"].keys() == set()
    assert parts["test"].keys() == {name for name in whole if is_test_image(name, 0.5)}
    for part in parts.values():
        for name, record in part.items():
            assert record.boxes.tolist() == whole[name].boxes.tolist()
            assert record.labels.tolist() == whole[name].labels.tolist()
    assert cut_test_split(loaded, tmp_path / "cut", 0.5) == settings


def test_a_data_set_with_a_test_split_is_left_alone(tmp_path: Path) -> None:
    data = yolo_data(tmp_path / "set").replace("}", ", test: images}")
    assert cut_test_split(experiment(tmp_path, data), tmp_path / "cut", 0.5) == ()
    assert not (tmp_path / "cut").exists()


def test_what_cannot_be_cut_is_refused(tmp_path: Path) -> None:
    data = yolo_data(tmp_path / "set")
    with pytest.raises(UserError, match=r"test\.cut_share=1e-09 leaves no image for test"):
        cut_test_split(experiment(tmp_path, data), tmp_path / "cut", 1e-9)
    without = data.replace(", val: images", "")
    with pytest.raises(UserError, match=r"data\.val is not set"):
        cut_test_split(experiment(tmp_path, without), tmp_path / "cut", 0.5)


def test_the_rule_looks_at_the_name_alone_and_keeps_its_share() -> None:
    assert is_test_image("/a/x.jpg", 0.5) == is_test_image("/b/c/x.jpg", 0.5)
    share = sum(is_test_image(f"{number}.jpg", 0.3) for number in range(4000)) / 4000
    assert share == pytest.approx(0.3, abs=0.03)
    grown = {n for n in range(500) if is_test_image(f"{n}.jpg", 0.5)}
    assert {n for n in range(500) if is_test_image(f"{n}.jpg", 0.2)} < grown


class Source:
    """Batches that depend on epoch and position alone."""

    def __len__(self) -> int:
        return 4

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        for position in range(start, 4):
            yield toy_batch(epoch * 4 + position)


def pairing_hashes(path: Path, total: int = 8) -> PairingHashes:
    return PairingHashes(source=Source(), path=path, total=total)


def see(hashes: PairingHashes, iterations: range) -> None:
    for iteration in iterations:
        hashes.see(toy_batch(iteration), iteration)


def test_the_first_batches_and_the_weights_are_written_down(tmp_path: Path) -> None:
    hashes = pairing_hashes(tmp_path / "pairing.json", total=6)
    hashes.write_weights(nn.Linear(2, 2))
    see(hashes, range(5))
    assert json.loads((tmp_path / "pairing.json").read_text())["batches"] is None
    see(hashes, range(5, 9))
    content = json.loads((tmp_path / "pairing.json").read_text())
    assert content["num_batches"] == 6
    assert len(content["weights"]) == 64
    six = "".join(batch_digest(toy_batch(number)) for number in range(6))
    assert content["batches"] == sha256(six.encode()).hexdigest()


def test_an_interruption_does_not_change_the_evidence(tmp_path: Path) -> None:
    whole, broken = tmp_path / "a.json", tmp_path / "b.json"
    network = nn.Linear(3, 1)
    first = pairing_hashes(whole)
    first.write_weights(network)
    see(first, range(8))
    second = pairing_hashes(broken)
    second.write_weights(network)
    see(second, range(3))
    resumed = pairing_hashes(broken)
    see(resumed, range(2, 8))
    assert json.loads(broken.read_text())["batches"] is None
    resumed.finish()
    assert broken.read_text() == whole.read_text()


def test_every_part_of_a_batch_and_of_weights_counts() -> None:
    batch = toy_batch(1)
    digest = batch_digest(batch)
    assert batch_digest(toy_batch(1)) == digest
    pixels = batch.images.clone()
    pixels[0, 0, 0, 0] += 1
    targets = replace(batch.targets, boxes=batch.targets.boxes + 1)
    assert batch_digest(replace(batch, images=pixels)) != digest
    assert batch_digest(replace(batch, targets=targets)) != digest
    network = nn.BatchNorm1d(2)
    before = weights_digest(network.state_dict())
    with torch.no_grad():
        network.running_mean[1] = 0.5  # type: ignore[index]
    assert weights_digest(network.state_dict()) != before
