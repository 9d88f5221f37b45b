"""COCO evaluation through our interface, against pycocotools as people call it.

    python benchmarks/evaluate.py [--images 5000] [--detections 100] [--classes 80] [--json FILE]

Both sides start from detections in memory and end with the twelve numbers. Ours: the evaluator of
val.py, `update` for every batch of 16 images and `compute`, which also gives operating points and
confusion. Peer: `loadRes`, `evaluate`, `accumulate`, `summarize` on the same detections as a list
of dictionaries, its ground truth indexed before the clock starts. They run in turn, medians are
stated, and the numbers must be equal. Peak memory is that of a process of its own for each side.
"""

import argparse
import contextlib
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.measure import Figure, alternate, compared, peak_memory_mib, report
from utils.metrics.coco_ap import judge_with_hotcoco
from utils.metrics.evaluator import DetectionEvaluator
from utils.structures.images import Record
from utils.structures.results import Detections, EvalResult

GOAL = 60.0
BATCH = 16
OBJECTS = 7
"""Objects per image on average, as in COCO."""


class Problem:
    """Truths and detections of a split, drawn from a seed: jittered truths and noise."""

    def __init__(self, images: int, detections: int, classes: int) -> None:
        rng = np.random.default_rng(0)
        self.class_names = [str(label) for label in range(classes)]
        self.records: list[Record] = []
        self.found: list[Detections] = []
        for image_id in range(images):
            boxes = _boxes(rng, int(rng.poisson(OBJECTS)))
            labels = rng.integers(0, classes, len(boxes))
            self.records.append(
                Record(
                    path="",
                    image_id=image_id,
                    size=(480, 640),
                    boxes=boxes,
                    labels=labels,
                    ignore=rng.random(len(boxes)) < 0.01,
                    area=(boxes[:, 2:] - boxes[:, :2]).prod(axis=1),
                )
            )
            self.found.append(_detections(rng, boxes, labels, detections, classes))

    def evaluator(self) -> DetectionEvaluator:
        """Return an evaluator that has seen nothing."""
        return DetectionEvaluator(
            truths=self.records,
            class_names=self.class_names,
            judge="hotcoco",
            report_threshold=0.25,
        )


def _boxes(rng: np.random.Generator, count: int) -> Any:
    corners = rng.uniform(0, 400, (count, 2))
    sides = np.minimum(rng.lognormal(4, 0.8, (count, 2)), 200)
    return np.concatenate([corners, corners + sides], axis=1).astype(np.float32)


def _detections(
    rng: np.random.Generator, boxes: Any, labels: Any, count: int, classes: int
) -> Detections:
    chosen = rng.integers(0, max(len(boxes), 1), count // 3) if len(boxes) else np.zeros(0, int)
    near = boxes[chosen] + rng.normal(0, 4, (len(chosen), 4))
    near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
    noise = _boxes(rng, count - len(chosen))
    scores = np.concatenate([rng.beta(4, 2, len(chosen)), rng.beta(1, 6, len(noise))])
    found_labels = np.concatenate([labels[chosen], rng.integers(0, classes, len(noise))])
    order = np.argsort(-scores)
    return Detections(
        boxes=torch.from_numpy(np.concatenate([near, noise])[order].astype(np.float32)),
        scores=torch.from_numpy(scores[order].astype(np.float32)),
        labels=torch.from_numpy(found_labels[order]),
    )


class Ours:
    """The evaluator of val.py; its truths are read before the clock starts, as the peer's."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self.evaluator = problem.evaluator()
        self.result: EvalResult | None = None

    def __call__(self) -> float:
        """Return the seconds from detections in memory to the numbers."""
        problem, evaluator = self._problem, self.evaluator
        evaluator.reset()
        start = time.perf_counter()
        for first in range(0, len(problem.records), BATCH):
            batch = problem.records[first : first + BATCH]
            evaluator.update(
                [record.image_id for record in batch], problem.found[first : first + BATCH]
            )
        self.result = evaluator.compute()
        return time.perf_counter() - start

    def library_s(self) -> float:
        """Return the seconds that the library alone takes: what our interface cannot go below."""
        start = time.perf_counter()
        judge_with_hotcoco(self.evaluator.truths, self.evaluator.detections)
        return time.perf_counter() - start

    def numbers(self) -> list[float]:
        """Return the twelve numbers of the last call."""
        assert self.result is not None
        sizes = self.result.by_size.values()
        return [
            *(self.result.map50_95, self.result.map50, self.result.map75),
            *(size["ap"] or 0.0 for size in sizes),
            *self.result.average_recall.values(),
            *(size["ar"] or 0.0 for size in sizes),
        ]


class Peer:
    """pycocotools, from a list of dictionaries."""

    def __init__(self, problem: Problem) -> None:
        evaluator = problem.evaluator()
        evaluator.update([record.image_id for record in problem.records], problem.found)
        classes = len(problem.class_names)
        self._results = evaluator.to_coco_results(range(1, classes + 1))
        truths = evaluator.truths
        columns = (truths.image_index, truths.labels, truths.boxes, truths.ignore, truths.area)
        self._truths = COCO()
        self._truths.dataset = {
            "info": {},
            "images": [{"id": record.image_id} for record in problem.records],
            "categories": [{"id": label} for label in range(1, classes + 1)],
            "annotations": [
                {
                    "id": number,
                    "image_id": image,
                    "category_id": label + 1,
                    "bbox": box,
                    "iscrowd": int(ignore),
                    "area": area,
                }
                for number, (image, label, box, ignore, area) in enumerate(
                    zip(*(column.tolist() for column in columns), strict=True), start=1
                )
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):
            self._truths.createIndex()
        self._stats: Any = None

    def __call__(self) -> float:
        """Return the seconds from detections in memory to the numbers."""
        # loadRes adds keys to the dictionaries it is given.
        results = [dict(row) for row in self._results]
        start = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = COCOeval(self._truths, self._truths.loadRes(results), "bbox")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        seconds = time.perf_counter() - start
        self._stats = evaluation.stats
        return seconds

    def numbers(self) -> list[float]:
        """Return the twelve numbers of the last call; 0 where there is nothing, as ours."""
        return [max(0.0, float(value)) for value in self._stats]


SIDES: dict[str, type[Ours | Peer]] = {"ours": Ours, "pycocotools": Peer}


def peak_mib(side: str, arguments: argparse.Namespace) -> float:
    """Return the peak memory of this process after one evaluation, truths and detections too."""
    SIDES[side](_problem(arguments))()
    return peak_memory_mib()


def memory_in_new_process(side: str, arguments: argparse.Namespace) -> float:
    """Return `peak_mib` of a process that does nothing else."""
    command = [sys.executable, __file__, "--memory-of", side]
    for name in ("images", "detections", "classes"):
        command += [f"--{name}", str(getattr(arguments, name))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def main() -> None:
    """Read the command line, measure, print."""
    arguments = _arguments()
    torch.set_num_threads(1)
    if arguments.memory_of:
        print(json.dumps(peak_mib(arguments.memory_of, arguments)))
        return
    # A child counts the peak of its parent as its own: memory first, while this process is small.
    sides = () if arguments.no_memory else SIDES
    memory = {side: memory_in_new_process(side, arguments) for side in sides}
    problem = _problem(arguments)
    ours, peer = Ours(problem), Peer(problem)
    times = alternate({"ours": ours, "pycocotools": peer}, arguments.repetitions)
    if ours.numbers() != peer.numbers():
        sys.exit(f"the numbers differ:\n{ours.numbers()}\n{peer.numbers()}")
    library = alternate({"hotcoco": ours.library_s}, arguments.repetitions)["hotcoco"]
    print(
        f"{arguments.images} images x {arguments.detections} detections x {arguments.classes} "
        f"classes; all twelve numbers are equal, AP {ours.numbers()[0]:.4f}"
    )
    figures: list[Figure] = [
        compared(
            "evaluation, s (peer: pycocotools)",
            times["ours"],
            times["pycocotools"],
            goal=GOAL,
            limit=library,
        )
    ]
    if memory:
        figures.append(
            compared(
                "peak memory of the process, MiB (peer: pycocotools)",
                memory["ours"],
                memory["pycocotools"],
                goal=None,
                limit=None,
            )
        )
    report(figures, arguments.json)


def _problem(arguments: argparse.Namespace) -> Problem:
    return Problem(arguments.images, arguments.detections, arguments.classes)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--detections", type=int, default=100, help="per image")
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--no-memory", action="store_true", help="skip the memory of each side")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--memory-of", choices=tuple(SIDES), help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
