"""One number everywhere: the AP of the same weights by every way there is, and how fast they are.

    python benchmarks/agreement.py --weights W --data D/SPLIT [--json FILE]

Prints the tables of docs/agreement.md. Networks are timed alone, one image at a time on one thread,
in turns; CPU time, because other processes hardly change it.
"""

import argparse
import contextlib
import io
import json
import logging
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.measure import alternate, milliseconds
from commands.build.detector import load_detector
from commands.export.cli import DataSplit, ExportCommand, parse_export_command
from commands.export.images import check_pictures
from commands.export.run import export
from commands.predict.cli import parse_predict_command
from commands.predict.run import predict
from commands.val.cli import parse_val_command
from commands.val.run import evaluate_weights
from configs.reading.load import load_dataset
from data.loading.framing import Framing
from data.records.load import Split, load_split
from data.sources import find_sources
from models.inference.export_wrapper import ExportWrapper
from utils.export.sessions import open_session

COMMON = ("train.threads=1", "train.workers=0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """AP by one way."""

    way: str
    command: str
    map50_95: float
    map50: float
    detections: int | None


def agreement(weights: Path, data: DataSplit, folder: Path) -> Iterator[Row]:
    """Yield the AP of weights by every way; exported files stay in `folder`."""
    trained = _trained(weights, data)
    if trained is not None:
        yield trained
    yield _judged("val.py", weights, data)
    yield _predicted(weights, data, folder / "results.json")
    files = _exported(weights, data, folder)
    for way, path in files.items():
        yield _judged(way, path, data)


def _trained(weights: Path, data: DataSplit) -> Row | None:
    """Return what the training said of its best weights; None where this is not a run's folder."""
    results = weights.parent / "results.json"
    if data.split != "val" or not results.is_file():
        return None
    numbers = json.loads(results.read_text())
    return Row(
        way="validation in training",
        command="train.py --cfg configs/quickstart.yaml",
        map50_95=numbers["map50_95"],
        map50=numbers["map50"],
        detections=numbers["counts"]["detections"],
    )


def _judged(way: str, weights: Path, data: DataSplit) -> Row:
    named = ("--data", data.data, "--split", data.split)
    # A program, but one that this process has just written.
    trust = ["--trust"] * (weights.suffix == ".torchscript")
    command = parse_val_command(["--weights", str(weights), *named, *trust, *COMMON])
    result = evaluate_weights(command).result
    return Row(
        way=way,
        command=" ".join([f"val.py --weights {weights.name}", *trust]),
        map50_95=result.map50_95,
        map50=result.map50,
        detections=result.counts["detections"],
    )


def _predicted(weights: Path, data: DataSplit, results: Path) -> Row:
    """Return what pycocotools says of the file that predict.py writes."""
    split = load_split(load_dataset(data.data), data.split)
    paths = [record.path for record in split.records]
    sources = [text for path in paths for text in ("--source", path)]
    wishes = ("--like-val", "--save", "none", "--save-json", str(results))
    predict(parse_predict_command(["--weights", str(weights), *sources, *wishes, *COMMON]))
    found = json.loads(results.read_text())
    stats = _pycocotools(_annotations(split, find_sources(paths).image_ids()), found)
    return Row(
        way="predict.py, JSON, pycocotools",
        command="predict.py --like-val --save-json results.json",
        map50_95=stats[0],
        map50=stats[1],
        detections=len(found),
    )


def _annotations(split: Split, image_ids: Sequence[int]) -> dict[str, Any]:
    rows = [
        {
            "image_id": image_id,
            "category_id": split.category_ids[label],
            "bbox": np.round([x1, y1, float(x2) - x1, float(y2) - y1], 3).tolist(),
            "area": float(area),
            "iscrowd": int(ignore),
        }
        for image_id, record in zip(image_ids, split.records, strict=True)
        for (x1, y1, x2, y2), label, area, ignore in zip(
            record.boxes.astype(float), record.labels, record.area, record.ignore, strict=True
        )
    ]
    return {
        "images": [{"id": image_id} for image_id in image_ids],
        "annotations": [{"id": number, **row} for number, row in enumerate(rows, start=1)],
        "categories": [{"id": category_id} for category_id in split.category_ids],
    }


def _pycocotools(annotations: dict[str, Any], found: list[dict[str, Any]]) -> list[float]:
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations
        truth.createIndex()
        judge_of_all = COCOeval(truth, truth.loadRes(found), "bbox")
        judge_of_all.evaluate()
        judge_of_all.accumulate()
        judge_of_all.summarize()
    return [float(number) for number in judge_of_all.stats]


def _exported(weights: Path, data: DataSplit, folder: Path) -> dict[str, Path]:
    """Write all files and return them by what they are."""
    common = ("--weights", str(weights), "--output", str(folder))
    raw = _export(*common, "--format", "onnx,openvino,torchscript")
    nms = _export(*common, "--format", "onnx,openvino", "--nms", "--like-val")
    calibration = ("--calibration-data", f"{data.data}/train")
    int8 = _export(*common, "--format", "onnx,openvino", "--int8", *calibration)
    return {
        "ONNX": raw[0],
        "ONNX with NMS": nms[0],
        "OpenVINO": raw[1],
        "OpenVINO with NMS": nms[1],
        "TorchScript": raw[2],
        "ONNX int8": int8[2],
        "OpenVINO int8": int8[3],
    }


def _export(*arguments: str) -> tuple[Path, ...]:
    command: ExportCommand = parse_export_command([*arguments, "train.threads=1"])
    return export(command)


def network_times(weights: Path, files: Sequence[Path], repetitions: int) -> dict[str, float]:
    """Return the median CPU milliseconds of one image by PyTorch and by every file."""
    torch.set_num_threads(1)
    loaded = load_detector(weights)
    detector = loaded.own_detector(weights)
    framing = Framing(image_size=loaded.image_size, stride=detector.size_multiple)
    picture = check_pictures((), loaded, loaded.image_size)[0]
    pixels = framing.batch([picture]).pixels()
    array = np.ascontiguousarray(pixels.numpy())
    eager = ExportWrapper(detector, fused=True)
    runs: dict[str, Callable[[], object]] = {"PyTorch eager, fused": lambda: eager(pixels)}
    for path in files:
        session = open_session(path, device=torch.device("cpu"), threads=1)
        runs[path.name] = partial(session, array)
    sides = {name: partial(milliseconds, run, 1) for name, run in runs.items()}
    with torch.no_grad():
        alternate(sides, 2)
        return alternate(sides, repetitions)


def main() -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", required=True, help="data set and split, such as coco128/train")
    parser.add_argument("--json", type=Path, help="write the rows to this file, too")
    parser.add_argument("--repetitions", type=int, default=15)
    command = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    data, _, split = command.data.rpartition("/")
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        print("| way | AP | AP50 | detections |\n|---|---|---|---|")
        for row in agreement(command.weights, DataSplit(data=data, split=split), Path(folder)):
            rows.append(row)
            print(
                f"| {row.way} | {row.map50_95!r} | {row.map50!r} | {row.detections} |", flush=True
            )
        files = sorted(
            path
            for path in Path(folder).iterdir()
            if path.suffix in (".onnx", ".xml", ".torchscript")
        )
        times = network_times(command.weights, files, command.repetitions)
    print("\n| network | ms |\n|---|---|")
    for name, value in times.items():
        print(f"| {name} | {value:.1f} |")
    if command.json is not None:
        content = {"rows": [asdict(row) for row in rows], "milliseconds": times}
        command.json.write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()
