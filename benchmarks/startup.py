"""From a command to its first words, and to the first training step.

    python benchmarks/startup.py [--peer PYTHON] [--images N] [--json FILE]

Help and a mistake in the configuration are timed on the clock, from start to end of the process.
The first step is that of a training run on N images whose labels an earlier run has read. The peer
is the help of Ultralytics' own command, in the environment of --peer.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np

from benchmarks.measure import Figure, alternate, compared, report

HELP_LIMIT_S, FIRST_STEP_LIMIT_S = 0.4, 5.0
"""The longest that the issue of speed allows."""
FIRST_STEPS = 5
"""Training runs started; the median counts."""
DIFFERENT_IMAGES = 16
IMAGE_SIZE = (240, 320)

COMMANDS = {
    "train.py --help": ["train.py", "--help"],
    "val.py --help": ["val.py", "--help"],
    "predict.py --help": ["predict.py", "--help"],
    "a mistake in the configuration": [
        "train.py", "--cfg", "configs/quickstart.yaml", "train.epoch=3",
    ],
}  # fmt: skip

FIRST_STEP = """
import runpy, sys, time
from utils.runtime.machine.threads import prepare_environment
prepare_environment()
from utils.engine.hook import HookCalls
def first(*arguments):
    print("first step at", time.time(), flush=True)
    raise SystemExit
HookCalls.after_step = first  # the trainer calls it; the trial step before does not
sys.argv[0] = "train.py"
runpy.run_path("train.py", run_name="__main__")
"""


def process_seconds(command: Sequence[str]) -> float:
    """Return how long a process takes, whatever it says."""
    start = time.perf_counter()
    subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    return time.perf_counter() - start


def help_figures(arguments: argparse.Namespace) -> list[Figure]:
    """Return the figures of what appears at once."""
    sides = {
        name: partial(process_seconds, [sys.executable, *words]) for name, words in COMMANDS.items()
    }
    bare = [sys.executable, "-c", "import pydantic.main, yaml, argparse"]
    sides["limit"] = partial(process_seconds, bare)
    if arguments.peer:
        program = str(Path(arguments.peer).with_name("yolo"))
        sides["peer"] = partial(process_seconds, [program, "help"])
    for run in sides.values():
        run()  # compiles what is not compiled yet
    found = alternate(sides, arguments.repetitions)
    peer = found.get("peer")
    goal = None if peer is None else peer / HELP_LIMIT_S
    limit = found["limit"]
    return [
        compared(f"{name}, s (at most {HELP_LIMIT_S})", found[name], peer, goal=goal, limit=limit)
        for name in COMMANDS
    ]


def write_images(folder: Path, count: int) -> None:
    """Write a YOLO data set of `count` images, most of them links to the same few files."""
    images, labels = folder / "images", folder / "labels"
    images.mkdir(parents=True)
    labels.mkdir()
    generator = np.random.default_rng(0)
    for index in range(count):
        image = images / f"{index:06}.jpg"
        if index < DIFFERENT_IMAGES:
            coarse = generator.integers(0, 256, (15, 20, 3), dtype=np.uint8)
            cv2.imwrite(str(image), cv2.resize(coarse, IMAGE_SIZE[::-1]))
        else:
            os.link(images / f"{index % DIFFERENT_IMAGES:06}.jpg", image)
        x, y = generator.uniform(0.2, 0.8, 2)
        (labels / f"{index:06}.txt").write_text(f"0 {x:.6f} {y:.6f} 0.2 0.2\n", encoding="ascii")


def first_step_figure(count: int) -> Figure:
    """Return the figure of a training run's first step on a data set of `count` images."""
    with tempfile.TemporaryDirectory(prefix="focaldet-benchmark-") as place:
        folder = Path(place)
        write_images(folder / "data", count)
        data = folder / "data.yaml"
        data.write_text(
            f"{{format: yolo, path: {folder / 'data'}, train: images, class_names: [thing]}}\n",
            encoding="utf-8",
        )
        settings = [f"data={data}", "train.device=cpu", f"run.folder={folder / 'runs'}"]
        words = ["--cfg", "configs/coco128.yaml", *settings]
        seconds = []
        for _ in range(1 + FIRST_STEPS):  # the first one reads all labels
            start = time.time()
            command = [sys.executable, "-c", FIRST_STEP, *words]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
            said = [line for line in done.stdout.splitlines() if line.startswith("first step at")]
            if not said:
                raise SystemExit(f"no first step: {done.stderr.strip().splitlines()[-1:]}")
            seconds.append(float(said[0].split()[-1]) - start)
    print(f"first step on {count} images whose labels nobody has read: {seconds[0]:.1f} s")
    name = f"first step on {count} images, yolov5n, 640 px, s (at most {FIRST_STEP_LIMIT_S})"
    return Figure(name=name, ours=statistics.median(seconds[1:]), limit=import_seconds())


def import_seconds() -> float:
    """Return how long importing torch takes."""
    return process_seconds([sys.executable, "-c", "import torch"])


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peer", help="Python interpreter beside which Ultralytics' `yolo` lies")
    parser.add_argument("--images", type=int, default=5000, help="of the training; 0 leaves it out")
    parser.add_argument("--repetitions", type=int, default=5, help="of the short commands")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    figures = help_figures(arguments)
    if arguments.images:
        figures.append(first_step_figure(arguments.images))
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
