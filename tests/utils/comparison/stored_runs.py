"""Run folders as finished trainings leave them, with detections drawn by chance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.utils.comparison.detection_problem import random_detections, random_truths
from utils.comparison.runs.stored_evaluation import FOLDER, JudgedSplit, write_judged
from utils.metrics.coco_ap import JUDGES
from utils.metrics.rows import DetectionRows, TruthRows

CONFIG = """\
data: {{format: yolo, path: data/things}}
model: {{graph: models/yolov5n.yaml, weights: null}}
loss: {{objectness: {loss}, classification: {loss}}}
train: {{epochs: 3, image_size: 96, seed: {seed}}}
augment: {{mosaic: 1.0}}
"""
FOCAL = "{name: focal, gamma: 1.5, alpha: 0.25}"
BCE = "{name: bce}"


def write_comparison(
    folder: Path,
    *,
    qualities: Mapping[str, float],
    seeds: Sequence[int] = (0, 1, 2, 3, 4, 5),
    images: int = 30,
    classes: int = 3,
    paths: Sequence[str] = (),
    test: Mapping[str, Any] | None = None,
) -> Path:
    """Write a whole comparison; `qualities` has the share of objects that each arm finds."""
    folder.mkdir(parents=True, exist_ok=True)
    arms = list(qualities)
    settings = {
        "experiment": "x.yaml",
        "arms": {arm: ({} if arm == arms[0] else {"loss.box.gain": 0.1}) for arm in arms},
        "baseline": arms[0],
        "seeds": list(seeds),
        "test": {"bootstrap": 200, **(test or {})},
    }
    networks = dict.fromkeys(arms, "yolov5n")
    content = {"hash": "0", "settings": settings, "networks": networks}
    (folder / "design.json").write_text(json.dumps(content))
    rng = np.random.default_rng(0)
    splits = {name: random_truths(rng, images=images, classes=classes) for name in ("val", "test")}
    for seed in seeds:
        for number, (arm, quality) in enumerate(qualities.items()):
            place = folder / "runs" / arm / f"seed{seed}"
            # The same seed draws the same for all arms: they differ by their quality alone.
            write_run(place, splits, np.random.default_rng((seed, 7)), quality, seed, number, paths)
    return folder


def write_run(
    place: Path,
    splits: Mapping[str, TruthRows],
    rng: np.random.Generator,
    quality: float,
    seed: int,
    number: int,
    paths: Sequence[str] = (),
) -> None:
    """Write the folder of one run."""
    (place / FOLDER).mkdir(parents=True)
    loss = FOCAL if number else BCE
    (place / "config.yaml").write_text(CONFIG.format(seed=seed, loss=loss))
    rows = "".join(f"{e},{10.0 + number},{0.1 * e},{3 - number},2,1\n" for e in (1, 2, 3))
    head = "epoch,seconds,map50_95,box,objectness,classification\n"
    (place / "metrics.csv").write_text(head + rows)
    write_budget(place, difficulty=0.1 + 0.2 * number)
    results = {"config_hash": f"hash{number}", "images_per_second": 50.0 + seed}
    (place / "results.json").write_text(json.dumps(results))
    pairing = {"weights": f"w{seed}" * 20, "batches": f"b{seed}" * 20, "num_batches": 100}
    (place / "pairing.json").write_text(json.dumps(pairing))
    environment = {"git": "0123456789abcdef", "packages": {"torch": "2.6"}, "cpu": "a CPU"}
    (place / "environment.json").write_text(json.dumps(environment))
    facts = {"train_objects": [300, 40, 5, 900, 3, 77][: splits["test"].num_classes]}
    (place / FOLDER / "facts.json").write_text(json.dumps(facts))
    for name, truths in splits.items():
        found = random_detections(rng, truths, quality=quality, decimals=4)
        names = [f"{k}.jpg" for k in range(truths.num_images)]
        write_judged(
            place,
            name,
            JudgedSplit(
                truths=truths,
                detections=found,
                paths=tuple(paths) or tuple(names),
                class_names=("thing", "man&<b>", "cat", "dog", "bus", "tree")[: truths.num_classes],
                result=eval_result(truths, found),
            ),
        )


def write_budget(place: Path, difficulty: float, epochs: Sequence[int] = (1, 2, 3)) -> None:
    """Write budget.json and budget.csv: all gradient in the bin of one difficulty."""
    sides = ("positives", "negatives")
    bins = [1.0 if k == int(difficulty * 10) else 0.0 for k in range(10)]
    branch = {
        "by_difficulty": {side: {"gradient": bins} for side in sides},
        "scores": {side: [0.0] * 9 + [4.0] + [0.0] * 10 for side in sides},
        "cumulative_loss": {"positives": [k / 100 for k in range(101)], "negatives": None},
    }
    branches = {"objectness": branch, "classification": branch}
    measured = [{"epoch": epoch, "branches": branches} for epoch in epochs]
    (place / "budget.json").write_text(json.dumps({"format_version": 1, "epochs": measured}))
    rows = "".join(f"{epoch},0.{epoch},0.5\n" for epoch in epochs)
    names = [f"{branch}_gradient_hard_negatives" for branch in branches]
    (place / "budget.csv").write_text(f"epoch,{','.join(names)}\n{rows}")


def eval_result(truths: TruthRows, found: DetectionRows) -> dict[str, Any]:
    stats = JUDGES["hotcoco"](truths, found).stats.tolist()
    sizes = ("small", "medium", "large")
    return {
        "map50_95": stats[0],
        "map50": stats[1],
        "map75": stats[2],
        "by_size": {
            s: {"ap": max(stats[3 + k], 0), "ar": stats[9 + k]} for k, s in enumerate(sizes)
        },
        "average_recall": {"1": stats[6], "10": stats[7], "100": stats[8]},
        "operating_points": {"best_f1": {"threshold": 0.4, "recall": 0.6}},
        "counts": {
            "images": truths.num_images,
            "images_at_detection_cap": 1,
            "images_at_candidate_cap": 0,
        },
    }
