"""train.py and val.py as a person runs them, on generated data, in processes of their own."""

import json
import re
import shutil
import signal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands.train.cli import parse_train_command
from commands.train.start import start_training
from configs.schema.data import SyntheticDataset
from data.synthetic.generate import ensure_written
from tests.commands.predict.test_run import pycocotools_numbers
from tests.run_programs import ROOT, TINY, run, train, train_until_stopped, weights_digest
from utils.checkpoint.weights import load_weights

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of two epochs."""
    return train(dataset, tmp_path_factory.mktemp("finished"), "train.epochs=2", fresh=True)


def test_a_run_leaves_everything_that_is_promised(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    promised = {
        "config.yaml", "graph.yaml", "environment.json", "labels_report.csv", "metrics.csv",
        "best.safetensors", "last", "results.json", "report.html", "plots",
    }  # fmt: skip
    assert promised <= names
    results = json.loads((finished / "results.json").read_text())
    keys = {
        "map50_95", "map50", "map75", "per_class", "by_size", "epochs", "images_per_second",
        "config_hash",
    }  # fmt: skip
    assert keys <= results.keys()
    assert results["epochs"] == 2


def test_val_repeats_the_numbers_of_training(finished: Path, tmp_path: Path) -> None:
    trained = json.loads((finished / "results.json").read_text())
    for options in ([], ["model.fuse=false"], ["eval.batch_size=1"], ["eval.judge=pycocotools"]):
        target = tmp_path / "val.json"
        weights = finished / "best.safetensors"
        done = run("val.py", "--weights", weights, "--json", target, *options, fresh=not options)
        assert done.returncode == 0, done.stderr
        judged = json.loads(target.read_text())
        assert judged.keys() <= trained.keys()
        for key in ("map50_95", "map50", "map75", "by_size", "average_recall"):
            assert judged[key] == trained[key], (key, options)


def test_saved_detections_give_the_printed_ap(finished: Path, tmp_path: Path) -> None:
    detections, numbers = tmp_path / "detections.json", tmp_path / "numbers.json"
    done = run(
        "val.py", "--weights", finished / "best.safetensors", "--split", "test",
        "--json", numbers, "--save-detections", detections,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(detections.read_text())
    assert len(found) == json.loads(numbers.read_text())["counts"]["detections"]
    assert all(set(row) == {"image_id", "category_id", "bbox", "score"} for row in found)


def test_predictions_as_json_give_the_ap_that_val_and_training_printed(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    """From pictures to pycocotools through files alone: one number everywhere."""
    results, numbers = tmp_path / "results.json", tmp_path / "numbers.json"
    weights = finished / "best.safetensors"
    images = dataset / "images" / "val"
    done = run(
        "predict.py", "--weights", weights, "--source", images, "--like-val", "--save", "none",
        "--save-json", results,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    judged = run(
        "val.py", "--weights", weights, "--json", numbers, "--save-detections", f"{results}2"
    )
    assert judged.returncode == 0, judged.stderr
    assert json.loads(results.read_text()) == json.loads(Path(f"{results}2").read_text())
    classes = load_weights(weights)[1]["class_names"]
    stats = pycocotools_numbers(yolo_annotations(images, len(classes)), results)
    trained = json.loads((finished / "results.json").read_text())
    for source in (trained, json.loads(numbers.read_text())):
        assert stats[:3] == [source["map50_95"], source["map50"], source["map75"]]
        assert stats[6:9] == list(source["average_recall"].values())
    assert stats[1] > 0


def yolo_annotations(images: Path, num_classes: int) -> dict[str, Any]:
    """Return the label files beside a folder of images as a COCO JSON, read by these few lines."""
    annotations, entries = [], []
    for image_id, path in enumerate(sorted(images.iterdir())):
        height, width = cv2.imread(str(path)).shape[:2]
        entries.append({"id": image_id})
        rows = (images.parents[1] / "labels" / images.name / f"{path.stem}.txt").read_text()
        for row in rows.splitlines():
            label, x, y, w, h = map(float, row.split())
            box = np.float32([(x - w / 2) * width, (y - h / 2) * height, w * width, h * height])
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": int(label),
                    "bbox": [round(float(side), 3) for side in box],
                    "area": float(box[2] * box[3]),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": label} for label in range(num_classes)]
    return {"images": entries, "annotations": annotations, "categories": categories}


def test_one_seed_gives_one_network_for_any_number_of_workers(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    again = train(dataset, tmp_path / "again", "train.epochs=2")
    workers = train(dataset, tmp_path / "workers", "train.epochs=2", "train.workers=2")
    other = train(dataset, tmp_path / "other", "train.epochs=2", "train.seed=1")
    assert weights_digest(again) == weights_digest(finished)
    assert weights_digest(workers) == weights_digest(finished)
    assert weights_digest(other) != weights_digest(finished)


@pytest.fixture(scope="module")
def ten_epochs(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of ten epochs."""
    folder = tmp_path_factory.mktemp("straight")
    return train(dataset, folder, "train.epochs=10", "train.workers=2")


@pytest.mark.parametrize(
    ("stop", "batches"), [(signal.SIGINT, 4), (signal.SIGTERM, 6)], ids=["within", "at the end"]
)
def test_stopped_training_resumes_to_the_same_network(
    dataset: Path,
    ten_epochs: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: signal.Signals,
    batches: int,
) -> None:
    """It is stopped within its second epoch, of three batches, or at the end of it."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder = tmp_path / "stopped" / "x"
    done = train_until_stopped(
        tmp_path, stop, *TINY, f"data.path={dataset}", "train.epochs=10", "train.workers=2",
        f"run.folder={folder.parent}", "run.name=x", batches=batches,
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert "stopped at epoch" in done.stderr
    assert "Traceback" not in done.stderr
    assert f"--resume {folder}" in done.stderr
    resumed = run("train.py", "--resume", folder)
    assert resumed.returncode == 0, resumed.stderr
    assert weights_digest(folder) == weights_digest(ten_epochs)
    lines = (folder / "metrics.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == [str(epoch) for epoch in range(1, 11)]


def test_four_images_are_learned_by_heart(tmp_path: Path) -> None:
    folder = tmp_path / "four"
    ensure_written(
        SyntheticDataset(
            format="synthetic", path=str(folder), train_images=4, val_images=1, test_images=0,
            side=160, class_names=("disc", "ring", "box"), data_seed=1,
        )
    )  # fmt: skip
    for path in (*folder.glob("images/train/*"), *folder.glob("labels/train/*.txt")):
        for copy in range(9):  # 10 steps an epoch: its end takes longer than a step
            shutil.copy(path, path.with_name(f"{path.stem}-{copy}{path.suffix}"))
    config = tmp_path / "four.yaml"
    config.write_text(
        f"""
base: {ROOT / "configs/presets/yolov5.yaml"}
data: {{format: yolo, path: {folder}, class_names: [disc, ring, box],
        train: images/train, val: images/train}}
model: {{graph: models/yolov5n.yaml, anchors: auto}}
loss: {{objectness: {{gain: 4.0}}, classification: {{gain: 4.0}}}}
train: {{epochs: 40, image_size: 160, batch_size: 4, nominal_batch: 4, patience: 0, threads: 1,
         workers: 0, optimizer: {{name: adamw, lr: 0.005}}, schedule: {{name: cosine}},
         warmup: {{bias_lr: 0.004}}, ema: {{decay: 0.95, ramp_steps: 300}}}}
augment: {{mosaic: 0, scale: 0, translate: 0, flip_horizontal: 0, flip_vertical: 0,
           hsv_hue: 0, hsv_saturation: 0, hsv_value: 0}}
eval: {{interval: 40}}
run: {{folder: {tmp_path / "runs"}, name: four}}
"""
    )
    finished = start_training(parse_train_command(["--cfg", str(config)]))
    assert finished is not None
    results = json.loads(finished.results.read_text())
    assert results["map50"] > 0.95


def test_a_focal_run_differs_from_bce_by_lines_under_loss_only(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    focal = train(
        dataset, tmp_path, "train.epochs=2",
        "loss.objectness.name=focal", "loss.objectness.gamma=1.5", "loss.objectness.alpha=null",
    )  # fmt: skip
    assert weights_digest(focal) != weights_digest(finished)


def test_gamma_zero_without_alpha_is_bce_to_the_last_bit(
    dataset: Path, finished: Path, tmp_path: Path
) -> None:
    focal = train(
        dataset, tmp_path, "train.epochs=2",
        "loss.objectness.name=focal", "loss.objectness.gamma=0", "loss.objectness.alpha=null",
        "loss.classification.name=focal", "loss.classification.gamma=0",
        "loss.classification.alpha=null",
    )  # fmt: skip
    assert weights_digest(focal) == weights_digest(finished)


def test_report_is_one_page_that_needs_no_network(finished: Path) -> None:
    page = (finished / "report.html").read_text(encoding="utf-8")
    assert not re.search(r'(src|href)="(https?:)?//', page)
    assert page.count("data:image/jpeg;base64,") >= 2
    assert "nothing was recorded" not in page


def test_mid_file_truncation_is_reported_by_name(dataset: Path, tmp_path: Path) -> None:
    """An image that breaks after it was indexed ends the run in one line that names it."""
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(dataset, copy)
    victim = copy / "images" / "train" / "000003.jpg"
    data = victim.read_bytes()
    victim.write_bytes(data[: len(data) // 3])
    before = np.frombuffer(victim.read_bytes(), np.uint8).copy()
    done = run(
        "train.py", *TINY, f"data.path={copy}", "train.epochs=1", "data.max_rejected=1",
        f"run.folder={tmp_path / 'runs'}", "run.name=x",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "runs" / "x" / "labels_report.csv").read_text()
    assert "000003.jpg" in report
    assert np.array_equal(before, np.frombuffer(victim.read_bytes(), np.uint8))
