"""Where the CPU time of a training sample goes: reading, draws, planning, OpenCV, batches.

    python benchmarks/loader_parts.py [--cfg EXPERIMENT] [--size 320] [key=value ...]

Samples are made in batches from the cache of decoded images, on one core. Each part is charged the
time spent in it and not in a part that it calls; asking the clock costs about a microsecond a call,
which makes the sum larger than the whole measured without it. Medians over epochs.
"""

import argparse
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import torch

from benchmarks.loader import BATCH, Samples
from benchmarks.measure import describe_machine
from configs.reading.load import load_experiment
from data.augment import plan as plans
from data.augment.plan import SceneDrawer
from data.augment.rng import SampleStreams
from data.images.cache import store
from data.images.pixels import ShrinkingReader
from data.loading import dataset as datasets
from data.loading.dataset import TrainDataset
from data.records.load import load_split
from data.records.split import RecordTable
from utils.runtime.machine.memory import reuse_freed_memory
from utils.structures.batch import Batch

PARTS: dict[str, tuple[tuple[object, str], ...]] = {
    "random streams": ((SampleStreams, "__call__"),),
    "draws: images, corners, affines": ((TrainDataset, "_lay_out"),),
    "draws: pixel operations": ((TrainDataset, "_sampled_ops"),),
    "placing tiles and boxes": ((datasets, "place_scenes"),),
    "planning resizes": ((plans, "_plan_tiles"),),
    "reading: record": ((RecordTable, "__getitem__"),),
    "reading: key": ((ShrinkingReader, "_key"),),
    "reading: file": ((store, "read_entry"),),
    "OpenCV: resize": ((cv2, "resize"),),
    "OpenCV: borders": ((cv2, "copyMakeBorder"),),
    "OpenCV: warp": ((cv2, "warpAffine"), (cv2, "warpPerspective")),
    "OpenCV: to and from HSV": ((cv2, "cvtColor"),),
    "OpenCV: colour factors": ((cv2, "transform"), (cv2, "LUT")),
    "OpenCV: flips": ((cv2, "flip"), (cv2, "transpose")),
    "drawing, the rest": ((SceneDrawer, "draw"),),
    "batch: targets, tensors": ((datasets, "collate"),),
    "main process: to float": ((Batch, "pixels"),),
}
REST = "operations, boxes, samples, the rest"


class Clock:
    """CPU time by part, nested calls taken out."""

    def __init__(self) -> None:
        self.nanoseconds: dict[str, int] = defaultdict(int)
        self._open = [REST]
        self._since = time.process_time_ns()

    def _charge(self) -> None:
        now = time.process_time_ns()
        self.nanoseconds[self._open[-1]] += now - self._since
        self._since = now

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return `function` with its time charged to `part`."""

        def call(*arguments: Any, **options: Any) -> Any:
            self._charge()
            self._open.append(part)
            try:
                return function(*arguments, **options)
            finally:
                self._charge()
                self._open.pop()

        return call


@contextmanager
def measured() -> Iterator[Clock]:
    """Give a clock that runs while the parts are timed."""
    patches = []
    clock = Clock()
    for part, places in PARTS.items():
        for owner, name in places:
            patches.append(patch.object(owner, name, clock.timed(part, getattr(owner, name))))
    for each in patches:
        each.start()
    clock._since = time.process_time_ns()
    try:
        yield clock
    finally:
        clock._charge()
        for each in patches:
            each.stop()


def epoch_us(samples: Samples) -> dict[str, float]:
    """Return the microseconds of each part in a sample of one epoch."""
    keys = samples._keys()
    with measured() as clock:
        for start in range(0, len(keys), BATCH):
            batch = samples._cached.batch(keys[start : start + BATCH])
            batch.pixels()
    return {part: spent / len(keys) / 1e3 for part, spent in clock.nanoseconds.items()}


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cfg", default="configs/bccd.yaml", help="experiment")
    parser.add_argument("--size", type=int, default=320, help="pixels")
    parser.add_argument("--repetitions", type=int, default=9, help="epochs")
    parser.add_argument("overrides", nargs="*", help="key=value of the experiment")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
    experiment = load_experiment(arguments.cfg, arguments.overrides).experiment
    records = load_split(experiment.data, "train").records
    samples = Samples(records, experiment, arguments.size)
    epochs = [epoch_us(samples) for _ in range(arguments.repetitions)]
    whole = [samples.cached_ms() for _ in range(arguments.repetitions)]
    print("\n".join(describe_machine()))
    print("| part | us a sample |\n|---|---|")
    for part in (*PARTS, REST):
        print(f"| {part} | {statistics.median(epoch.get(part, 0.0) for epoch in epochs):.1f} |")
    print(f"| whole, without these clocks and `to float` | {1e3 * statistics.median(whole):.0f} |")


if __name__ == "__main__":
    main()
