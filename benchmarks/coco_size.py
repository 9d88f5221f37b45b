"""A data set of COCO's size: time to read it, index, memory, time to start, and a dry loader run.

    python benchmarks/coco_size.py [--images 118287] [--boxes 860000] [--format yolo coco]

The images are files of about 1 kB each and are generated. Each stage runs in a process of its own,
so that memory is that of the stage: `read` has no index yet, `start` finds it, `loader` takes
batches for some epochs without a network and looks at its workers after each.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
import torch

from benchmarks.measure import describe_machine
from configs.reading.load import load_dataset, load_experiment
from data.anchors.statistics import label_statistics
from data.doctor.examine import worst_lines
from data.loading.loader import build_train_batches
from data.records.load import load_split
from utils.runtime.machine.memory import reuse_freed_memory

SIZE = (96, 128)
"""Height and width of the generated images in pixels."""
NUM_CLASSES = 80
NUM_PICTURES = 64
"""Different contents; as many files as images."""
STRIDE = 32
BATCH = 64
PLAIN = ("mosaic=0", "close_mosaic=0", "mixup=0", "hsv_hue=0", "hsv_saturation=0", "hsv_value=0")
"""Augmentations that cost pixels, not memory, are off."""
COCO_BOX = ("id", "image_id", "category_id", "bbox", "area", "iscrowd")


def main() -> None:
    """Read the command line, generate, run the stages, print what they measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=118_287)
    parser.add_argument("--boxes", type=int, default=860_000)
    parser.add_argument("--format", nargs="+", choices=["yolo", "coco"], default=["yolo", "coco"])
    parser.add_argument("--epochs", type=int, default=3, help="of the dry loader run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="for the generated files; removed afterwards")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--stage", choices=list(_STAGES), help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.stage:
        print(json.dumps(_STAGES[arguments.stage](arguments)))
        return
    print("\n".join(describe_machine()))
    folder = Path(tempfile.mkdtemp(prefix="focaldet-coco-size-", dir=arguments.folder))
    try:
        figures = measure(arguments, folder)
    finally:
        shutil.rmtree(folder)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def measure(
    arguments: argparse.Namespace, folder: Path, stages: Sequence[str] = ("read", "start", "loader")
) -> dict[str, dict[str, Any]]:
    """Return what every stage measured, by format and stage, printing it as it comes."""
    started = time.perf_counter()
    generate(folder / "data", arguments.images, arguments.boxes)
    print(f"generated in {time.perf_counter() - started:.0f} s", flush=True)
    figures: dict[str, dict[str, Any]] = {}
    for name in arguments.format:
        cache = folder / f"cache-{name}"
        figures[name] = {}
        for stage in stages:
            if stage == "loader" and name != arguments.format[-1]:
                continue  # records are the same, whatever format they come from
            data = folder / "data" / f"{name}.yaml"
            figures[name][stage] = found = _run(stage, data, cache, arguments)
            print(f"{name:5} {stage:7}", *(f"{k} {v}" for k, v in found.items()), flush=True)
    return figures


def generate(root: Path, num_images: int, num_boxes: int) -> None:
    """Write images, YOLO texts, a COCO JSON of the same boxes, and a YAML for either."""
    rng = np.random.default_rng(0)
    pictures = [_picture(rng) for _ in range(NUM_PICTURES)]
    counts = rng.multinomial(num_boxes, rng.dirichlet(np.full(num_images, 2.0)))
    height, width = SIZE
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for folder in ("images", "labels", "annotations"):
        (root / folder).mkdir(parents=True)
    for number, count in enumerate(counts.tolist()):
        stem = f"{number:012d}"
        (root / "images" / f"{stem}.jpg").write_bytes(pictures[number % NUM_PICTURES])
        sizes = rng.uniform(0.05, 0.5, (count, 2)).round(4)
        centres = (sizes / 2 + (1 - sizes) * rng.random((count, 2))).round(4)
        labels = rng.integers(0, NUM_CLASSES, count)
        images.append({"id": number, "file_name": f"{stem}.jpg", "height": height, "width": width})
        rows = []
        for label, (cx, cy), (w, h) in zip(
            labels.tolist(), centres.tolist(), sizes.tolist(), strict=True
        ):
            rows.append(f"{label} {cx:.4f} {cy:.4f} {w:.4f} {h:.4f}\n")
            corner = ((cx - w / 2) * width, (cy - h / 2) * height)
            box = [round(value, 2) for value in (*corner, w * width, h * height)]
            values = (len(annotations), number, label + 1, box, round(box[2] * box[3], 2), 0)
            annotations.append(dict(zip(COCO_BOX, values, strict=True)))
        (root / "labels" / f"{stem}.txt").write_text("".join(rows), encoding="ascii")
    names = [f"class{label}" for label in range(NUM_CLASSES)]
    categories = [{"id": label + 1, "name": name} for label, name in enumerate(names)]
    document = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations" / "train.json").write_text(json.dumps(document), encoding="ascii")
    listed = f"names: [{', '.join(names)}]\n"
    (root / "yolo.yaml").write_text(f"path: .\ntrain: images\n{listed}", encoding="ascii")
    split = "{images: images, annotations: annotations/train.json}"
    (root / "coco.yaml").write_text(f"format: coco\npath: .\ntrain: {split}\n", encoding="ascii")


def read(arguments: argparse.Namespace) -> dict[str, Any]:
    """Read the data set as training does at its start; the stages read and start."""
    started, used = time.perf_counter(), time.process_time()
    before = _resident_mib()
    split = load_split(load_dataset(arguments.data), "train")
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    resident = _resident_mib()
    lines = worst_lines([split], image_size=640)
    label_statistics(split.records, len(split.class_names))
    return {
        "images": len(split.records),
        "boxes": sum(len(record.boxes) for record in split.records),
        "seconds": round(seconds, 1),
        "cpu_s": round(cpu, 3),
        "process_cpu_s": round(time.process_time(), 1),
        "checks_s": round(time.perf_counter() - started - seconds, 1),
        "findings": len(lines),
        "before_mib": round(before, 1),
        "resident_mib": round(resident, 1),
        "peak_mib": round(_mib_of("self/status", "VmHWM:"), 1),
        "index_mib": round(_folder_mib(Path(os.environ["FOCALDET_CACHE"])), 1),
    }


def load_epochs(arguments: argparse.Namespace) -> dict[str, Any]:
    """Take the batches of some epochs; return the memory of all workers after each."""
    overrides = [f"augment.{setting}" for setting in PLAIN]
    overrides += [f"train.workers={arguments.workers}", f"train.batch_size={BATCH}"]
    overrides += ["train.image_size=32", "train.cache=off", "train.epochs=3"]
    overrides += [f"data={arguments.data}"]
    experiment = load_experiment("from_scratch_anchors.yaml", overrides).experiment
    records = load_split(experiment.data, "train").records
    batches = build_train_batches(records, experiment, stride=STRIDE)
    seconds, workers_mib, main_mib = [], [], []
    try:
        for epoch in range(arguments.epochs):
            started = time.perf_counter()
            for _ in _watched(batches.epoch(epoch)):
                pass
            seconds.append(round(time.perf_counter() - started, 1))
            workers_mib.append([round(mib, 1) for mib in _workers_mib()])
            main_mib.append(round(_resident_mib(), 1))
    finally:
        batches.close()
    return {"epoch_s": seconds, "workers_own_mib": workers_mib, "main_mib": main_mib}


def _watched(batches: Iterator[Any]) -> Iterator[Any]:
    for number, batch in enumerate(batches):
        if number in (10, 100):
            memory = ", ".join(f"{mib:.1f}" for mib in _workers_mib())
            print(f"batch {number}: workers own {memory} MiB", file=sys.stderr, flush=True)
        yield batch


def _workers_mib() -> list[float]:
    """Return the memory that each worker shares with nobody, MiB; Linux alone tells."""
    pids = sorted(child.pid or 0 for child in multiprocessing.active_children())
    return [_mib_of(f"{pid}/smaps_rollup", "Private_Clean:", "Private_Dirty:") for pid in pids]


def _resident_mib() -> float:
    return _mib_of("self/status", "VmRSS:")


def _mib_of(file: str, *keys: str) -> float:
    lines = map(str.split, Path("/proc", file).read_text(encoding="ascii").splitlines())
    return sum(int(line[1]) for line in lines if line[0] in keys) / 1024


def _picture(rng: np.random.Generator) -> bytes:
    """Return a JPEG of about 1 kB."""
    small = rng.integers(0, 256, (4, 6, 3), dtype=np.uint8)
    image = cv2.resize(small, (SIZE[1], SIZE[0]), interpolation=cv2.INTER_CUBIC)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes()


def _folder_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def _run(stage: str, data: Path, cache: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--stage", stage, "--data", str(data)]
    command += ["--epochs", str(arguments.epochs), "--workers", str(arguments.workers)]
    environment = os.environ | {"FOCALDET_CACHE": str(cache)}
    started = time.perf_counter()
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return {"process_s": round(time.perf_counter() - started, 1)} | found


_STAGES: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {
    "read": read,
    "start": read,
    "loader": load_epochs,
}


if __name__ == "__main__":
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
    main()
