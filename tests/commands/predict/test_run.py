"""predict.py from command to files, and its agreement with val.py."""

import contextlib
import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from commands.build.detector import load_detector
from commands.build.predictor import (
    PREDICTION_DEFAULTS,
    PREDICTION_KEYS,
    Predictor,
    prediction_settings,
)
from commands.predict.cli import parse_predict_command
from commands.predict.run import PredictionSummary, only, predict, read_category_ids
from commands.val.cli import parse_val_command
from commands.val.run import Evaluation, evaluate_weights
from configs.errors import ConfigError
from configs.schema.keys import all_keys
from data.records.load import load_split
from tests.commands.tiny_weights import CLASS_NAMES, write_data_set, write_weights
from tests.data.sources.test_sources import write_video
from utils.runtime.errors import UserError
from utils.structures.images import Record
from utils.structures.results import Detections


def summary_lines(**given: Any) -> list[str]:
    return list(PredictionSummary(("a",), (), num_pictures=1, **given).lines())


def test_pictures_without_objects_name_the_threshold() -> None:
    said = "no score reached eval.score_threshold=0.25; eval.score_threshold=0.01 shows what is "
    assert summary_lines(threshold=0.25)[1].startswith(said)
    assert len(summary_lines(threshold=0.01)) == 1
    assert len(summary_lines(threshold=0.25, found=Counter({0: 1}))) == 1


ONE_THREAD = "train.threads=1"
"""Another number of threads may change the last bit of a score."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds best.safetensors and the data set data.yaml with images/ and labels/."""
    root = tmp_path_factory.mktemp("predict")
    write_weights(root / "best.safetensors")
    write_data_set(root / "data", root / "best.safetensors")
    return root


def run(folder: Path, out: Path, *arguments: str, source: Path | None = None) -> PredictionSummary:
    command = parse_predict_command(
        [
            *("--weights", str(folder / "best.safetensors")),
            *("--source", str(source or folder / "data" / "images")),
            *("--save-dir", str(out / "predict")),
            *arguments,
        ]
    )
    return predict(command)


def validate(weights: Path, data: str, *overrides: str) -> Evaluation:
    arguments = [
        "--weights",
        str(weights),
        "--data",
        data,
        *overrides,
        "train.workers=0",
        ONE_THREAD,
    ]
    return evaluate_weights(parse_val_command(arguments))


def pycocotools_numbers(annotations: dict[str, Any], results: Path) -> list[float]:
    """The twelve numbers of the reference evaluator, from nothing but the files."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(str(results)), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return [float(number) for number in judge.stats]


def as_annotations(records: tuple[Record, ...], num_classes: int) -> dict[str, Any]:
    rows = [
        {
            "image_id": record.image_id,
            "category_id": int(label),
            "bbox": np.round([x1, y1, float(x2) - x1, float(y2) - y1], 3).tolist(),
            "area": float(area),
            "iscrowd": 0,
        }
        for record in records
        for (x1, y1, x2, y2), label, area in zip(
            record.boxes.astype(float), record.labels, record.area, strict=True
        )
    ]
    return {
        "images": [{"id": record.image_id} for record in records],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],
        "categories": [{"id": index} for index in range(num_classes)],
    }


def headline(judged: Evaluation) -> list[float]:
    result = judged.result
    return [result.map50_95, result.map50, result.map75, *result.average_recall.values()]


# One number everywhere


@pytest.mark.slow
def test_prediction_gives_the_numbers_of_validation(folder: Path, tmp_path: Path) -> None:
    judged = validate(folder / "best.safetensors", str(folder / "data" / "data.yaml"))
    results = tmp_path / "results.json"
    run(folder, tmp_path, "--like-val", "--save", "none", "--save-json", str(results), ONE_THREAD)
    assert 0.02 < judged.result.map50_95 < 0.98, "the case is too easy or too hard to prove a thing"
    assert json.loads(results.read_text()) == judged.detections
    split = load_split(_dataset(folder), "val")
    stats = pycocotools_numbers(as_annotations(split.records, len(CLASS_NAMES)), results)
    assert [*stats[:3], *stats[6:9]] == headline(judged)


@pytest.mark.slow
def test_released_weights_on_photographs_give_the_numbers_of_validation(
    shared: Path, tmp_path: Path
) -> None:
    weights = shared / "weights" / "yolov5n_v7.0.pt"
    origin = shared / "data" / "coco128"
    annotations = json.loads((origin / "annotations" / "instances_train2017.json").read_text())
    images = sorted(annotations["images"], key=lambda image: image["file_name"])[:4]
    ids = {image["id"] for image in images}
    annotations["images"] = images
    annotations["annotations"] = [a for a in annotations["annotations"] if a["image_id"] in ids]
    for image in images:
        (tmp_path / "images").mkdir(exist_ok=True)
        content = (origin / "images" / "train2017" / image["file_name"]).read_bytes()
        (tmp_path / "images" / image["file_name"]).write_bytes(content)
    truth = tmp_path / "truth.json"
    truth.write_text(json.dumps(annotations))
    names = list(load_detector(weights).class_names)
    data = tmp_path / "data.yaml"
    entry = {"images": "images", "annotations": "truth.json"}
    data.write_text(
        json.dumps(
            {"format": "coco", "path": str(tmp_path), "train": entry, "val": entry,
             "class_names": names}
        )
    )  # fmt: skip
    smaller = "train.image_size=320"
    judged = validate(weights, str(data), smaller)
    results = tmp_path / "results.json"
    predict(
        parse_predict_command(
            [
                *("--weights", str(weights), "--source", str(tmp_path / "images"), "--like-val"),
                *("--save", "none", "--save-json", str(results), "--categories", str(truth)),
                *(smaller, ONE_THREAD),
            ]
        )
    )
    assert judged.result.map50_95 > 0.2
    assert json.loads(results.read_text()) == judged.detections
    stats = pycocotools_numbers(annotations, results)
    assert [*stats[:3], *stats[6:9]] == headline(judged)


def _dataset(folder: Path) -> Any:
    from configs.reading.load import load_dataset

    return load_dataset(str(folder / "data" / "data.yaml"))


# Settings


def test_defaults_are_for_people_and_the_command_goes_before_them(folder: Path) -> None:
    loaded = load_detector(folder / "best.safetensors")
    settings = prediction_settings(loaded, ["eval.iou_threshold=0.7"]).eval
    assert (settings.score_threshold, settings.iou_threshold, settings.multi_label) == (
        PREDICTION_DEFAULTS["score_threshold"],
        0.7,
        PREDICTION_DEFAULTS["multi_label"],
    )
    like_val = prediction_settings(loaded, like_val=True).eval
    assert (like_val.score_threshold, like_val.iou_threshold) == (0.001, 0.6)


def test_the_settings_of_the_training_hold_and_its_device_does_not(tmp_path: Path) -> None:
    config = {
        "data": {"format": "synthetic"},
        "train": {"image_size": 96, "device": "cuda"},
        "eval": {"max_detections": 7},
    }
    loaded = load_detector(write_weights(tmp_path / "w.safetensors", config=config))
    settings = prediction_settings(loaded)
    assert settings.train.image_size == 96
    assert settings.train.device == "auto"
    assert settings.eval.max_detections == 7


def test_keys_without_effect_are_refused_and_those_listed_exist(folder: Path) -> None:
    loaded = load_detector(folder / "best.safetensors")
    assert set(PREDICTION_KEYS) <= set(all_keys())
    with pytest.raises(ConfigError, match=r"train\.epochs: has no effect on prediction"):
        prediction_settings(loaded, ["train.epochs=3"])
    with pytest.raises(ConfigError, match=r"eval\.score_treshold.*eval\.score_threshold"):
        prediction_settings(loaded, ["eval.score_treshold=0.5"])
    with pytest.raises(ConfigError, match="a multiple of 32"):
        Predictor.from_file(folder / "best.safetensors", ["train.image_size=100"])


def test_category_ids_are_those_of_the_training(tmp_path: Path, folder: Path) -> None:
    weights = write_weights(tmp_path / "w.safetensors", category_ids=[1, 5, 90])
    assert Predictor.from_file(weights).category_ids == (1, 5, 90)
    assert Predictor.from_file(folder / "best.safetensors").category_ids == (0, 1, 2)


def test_category_ids_come_from_a_coco_file_by_name(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"categories": [{"id": 9, "name": "b"}, {"id": 4, "name": "a"}]}))
    assert read_category_ids(path, ("a", "b")) == (4, 9)
    with pytest.raises(UserError, match="no category 'c'"):
        read_category_ids(path, ("a", "c"))
    path.write_text("[]")
    with pytest.raises(UserError, match="not a COCO annotation file"):
        read_category_ids(path, ("a",))
    with pytest.raises(UserError, match="No such file"):
        read_category_ids(tmp_path / "b.json", ("a",))


# Files


@pytest.mark.slow
def test_every_kind_of_file_tells_the_same(folder: Path, tmp_path: Path) -> None:
    summary = run(folder, tmp_path, "--save", "images,txt,json,csv,crops")
    out = tmp_path / "predict"
    assert summary.num_pictures == 10
    assert summary.found.total() > 20
    results = json.loads((out / "detections.json").read_text())
    with (out / "detections.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(results) == len(rows) == summary.found.total()
    by_id = sorted(rows, key=lambda row: int(row["image_id"]))
    for result, row in zip(results, by_id, strict=True):
        assert result["image_id"] == int(row["image_id"])
        assert CLASS_NAMES[result["category_id"]] == row["class"]
        assert result["score"] == pytest.approx(float(row["score"]), abs=2e-6)
        x, y, width, height = result["bbox"]
        corners = [float(row[key]) for key in ("x1", "y1", "x2", "y2")]
        assert corners == pytest.approx([x, y, x + width, y + height], abs=0.011)
    for image in (folder / "data" / "images").iterdir():
        own = [row for row in rows if row["image"] == str(image)]
        lines = (out / "labels" / f"{image.stem}.txt").read_text().splitlines()
        assert [line.split()[0] for line in lines] == [row["label"] for row in own]
        picture = cv2.imread(str(out / f"{image.stem}.jpg"))
        original = cv2.imread(str(image))
        factor = picture.shape[0] // original.shape[0]
        assert picture.shape[:2] == (original.shape[0] * factor, original.shape[1] * factor)
        assert max(picture.shape) >= 480
    # A box whose middle was outside the picture is a line at its edge and holds no pixel.
    sides = [float(row[f"{axis}2"]) - float(row[f"{axis}1"]) for row in rows for axis in "xy"]
    crops = list((out / "crops").rglob("*.jpg"))
    assert len(crops) == sum(min(pair) > 0 for pair in zip(sides[::2], sides[1::2], strict=True))
    assert {path.parent.name for path in crops} == set(CLASS_NAMES)


def test_label_files_read_back_as_the_boxes(folder: Path, tmp_path: Path) -> None:
    run(folder, tmp_path, "--save", "txt,csv")
    with (tmp_path / "predict" / "detections.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if Path(row["image"]).stem == "0"]
    lines = (tmp_path / "predict" / "labels" / "0.txt").read_text().splitlines()
    assert rows
    for row, line in zip(rows, lines, strict=True):
        cx, cy, width, height = (float(number) for number in line.split()[1:])
        x1, y1, x2, y2 = (float(row[key]) for key in ("x1", "y1", "x2", "y2"))
        assert [cx * 64, cy * 48] == pytest.approx([(x1 + x2) / 2, (y1 + y2) / 2], abs=0.011)
        assert [width * 64, height * 48] == pytest.approx([x2 - x1, y2 - y1], abs=0.011)


def test_a_picture_without_finds_has_an_empty_label_file(folder: Path, tmp_path: Path) -> None:
    summary = run(folder, tmp_path, "--save", "txt,json,csv", "eval.score_threshold=0.999")
    assert summary.found.total() == 0
    assert (tmp_path / "predict" / "labels" / "0.txt").read_text() == ""
    assert json.loads((tmp_path / "predict" / "detections.json").read_text()) == []


def test_classes_are_kept_by_name(folder: Path, tmp_path: Path) -> None:
    everything = run(folder, tmp_path, "--save", "none")
    some = run(folder, tmp_path, "--save", "none", "--classes", "owl, cat")
    assert everything.found[1] > 0
    assert some.found == {label: n for label, n in everything.found.items() if label != 1}
    assert not (tmp_path / "predict").exists()
    with pytest.raises(UserError, match="have no class 'fish'; theirs are cat, dog, owl"):
        run(folder, tmp_path, "--classes", "fish")
    with pytest.raises(UserError, match=r"have no class 'dogs'; did you mean 'dog'\?"):
        run(folder, tmp_path, "--classes", "dogs")


def test_only_keeps_rows_together() -> None:
    found = Detections(
        boxes=torch.arange(12.0).reshape(3, 4),
        scores=torch.tensor([0.9, 0.8, 0.7]),
        labels=torch.tensor([2, 0, 1]),
    )
    kept = only(torch.tensor([1, 2]), found)
    assert kept.labels.tolist() == [2, 1]
    assert kept.boxes[:, 0].tolist() == [0, 8]
    assert kept.scores.tolist() == pytest.approx([0.9, 0.7])
    assert only(None, found) is found


def test_a_taken_folder_is_never_overwritten(folder: Path, tmp_path: Path) -> None:
    source = folder / "data" / "images" / "0.png"
    for _ in range(2):
        summary = run(folder, tmp_path, "--save", "csv", source=source)
    assert summary.written == (tmp_path / "predict-2",)
    assert (tmp_path / "predict" / "detections.csv").is_file()


def test_video_in_video_out_with_the_same_count_and_rate(folder: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", 30, rate=12.5)
    few = "eval.max_detections=5"  # to be drawn and encoded
    summary = run(folder, tmp_path, "--save", "video,csv,txt", few, source=tmp_path / "clip.mp4")
    capture = cv2.VideoCapture(str(tmp_path / "predict" / "clip.mp4"))
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == summary.num_pictures == 30
    assert capture.get(cv2.CAP_PROP_FPS) == 12.5
    names = sorted(path.name for path in (tmp_path / "predict" / "labels" / "clip").iterdir())
    assert names == [f"{number:06d}.txt" for number in range(30)]


def test_what_cannot_be_read_is_counted_and_named(folder: Path, tmp_path: Path) -> None:
    images = tmp_path / "in"
    images.mkdir()
    (images / "good.png").write_bytes((folder / "data" / "images" / "0.png").read_bytes())
    (images / "bad.png").write_bytes(b"bad")
    summary = run(folder, tmp_path, "--save", "none", source=images)
    lines = list(summary.lines())
    assert summary.num_pictures == 1
    assert "skipped: 1 picture" in lines
    assert any("bad.png: not an image" in line for line in lines)
    (images / "good.png").unlink()
    with pytest.raises(UserError, match=r"no picture could be read: .*bad\.png: not an image"):
        run(folder, tmp_path, "--save", "images", source=images)
    assert list(tmp_path.iterdir()) == [images]


@pytest.mark.slow
def test_what_was_found_is_written_when_a_stream_breaks_off(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from data.sources.video import LiveStream
    from tests.data.sources.test_sources import FakeCapture, in_turn

    pictures = [np.full((40, 60, 3), value, np.uint8) for value in range(3)]

    def stream(found: Any) -> LiveStream:
        opened = in_turn(FakeCapture(pictures))
        return LiveStream(found, open_with=opened, wait=lambda _: None, clock=lambda: 0.0)

    monkeypatch.setattr("data.sources.batches.LiveStream", stream)
    caplog.set_level("INFO")
    with pytest.raises(UserError, match="broke off"):
        run(folder, tmp_path, "--save", "video,json", source=Path("0"))
    capture = cv2.VideoCapture(str(tmp_path / "predict" / "camera0.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert (tmp_path / "predict" / "detections.json").is_file()
    assert "3 pictures in" in caplog.text


def test_an_interruption_keeps_what_was_done(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class AlreadyAsked(contextlib.nullcontext["AlreadyAsked"]):
        requested = True

        def __init__(self, **options: object) -> None:
            super().__init__(self)

        def __enter__(self) -> "AlreadyAsked":
            return self

    monkeypatch.setattr("commands.predict.run.StopRequest", AlreadyAsked)
    summary = run(folder, tmp_path, "--save", "csv", "eval.batch_size=1")
    assert summary.num_pictures == 1
    assert any("stopped on request" in line for line in summary.lines())
    rows = (tmp_path / "predict" / "detections.csv").read_text().splitlines()
    assert len(rows) == 1 + summary.found.total()
