"""CPU time of one augmented sample: mosaic, affine, colours, flip; one core, no workers.

    python benchmarks/loader.py [--peer ultralytics] [--sizes 640 320] [--json FILE]

Ours is measured in batches as they are trained on, from the cache of decoded images, in the first
epoch that fills it, and from the files; from the cache also sample by sample; and both halves of
the work where the training device draws, here by the same core. The peer's samples are not put
together to batches; it runs in a process of its own, on the same images at the same strength.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import count
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
import torch

from benchmarks.measure import Figure, alternate, compared, milliseconds, report
from configs.reading.load import load_experiment
from configs.schema import Experiment
from data.images.cache import ImageCache
from data.loading.dataset import SampleKey, TrainDataset
from data.loading.loader import train_reader
from data.loading.planned_batch import PlannedBatch, load_planned
from data.records.load import load_split
from utils.runtime.machine.memory import reuse_freed_memory
from utils.structures.images import Record

STRIDE = 32
BATCH = 16
"""Samples that are planned and drawn together."""
GOAL = 2.0
"""Of a sample from the cache, against the peer."""
FIRST_EPOCH_GOAL = 1.0
PEER_SCRIPT = Path(__file__).with_name("ultralytics_loader.py")


class Samples:
    """Our samples of one image size, an epoch at a time."""

    def __init__(self, records: Sequence[Record], experiment: Experiment, image_size: int) -> None:
        self._records = records
        self._augment = experiment.augment
        self._train = experiment.train.model_copy(update={"image_size": image_size})
        self._epochs = count()
        self._folder = tempfile.TemporaryDirectory(prefix="focaldet-benchmark-")
        self._cached = self._dataset(self._new_cache("warm"))
        self._plain = self._dataset(None)
        self.cached_ms()

    def cached_ms(self) -> float:
        """Return the time of a sample from the cache."""
        return self._epoch_ms(self._cached)

    def alone_ms(self) -> float:
        """Return the time of a sample from the cache that is planned and drawn alone."""
        keys = self._keys()
        return milliseconds(lambda: self._cached[keys.pop()], len(keys))

    def file_ms(self) -> float:
        """Return the time of a sample without a cache."""
        return self._epoch_ms(self._plain)

    def first_epoch_ms(self) -> float:
        """Return the time of a sample while the cache is filled."""
        return self._epoch_ms(self._dataset(self._new_cache(f"cold{next(self._epochs)}")))

    def sent_ms(self) -> float:
        """Return the time of a sample from the cache that the training device is to draw."""
        keys = self._keys()
        return milliseconds(lambda: self._planned(keys), len(keys) // BATCH) / BATCH

    def drawn_ms(self) -> float:
        """Return the time that drawing such a sample takes on this core."""
        planned = self._planned(self._keys())
        return milliseconds(planned.render, 1) / BATCH

    def _planned(self, keys: list[SampleKey]) -> PlannedBatch:
        """Return the next batch of `keys`, which are taken out."""
        return load_planned(self._cached, [keys.pop() for _ in range(BATCH)])

    def _epoch_ms(self, dataset: TrainDataset) -> float:
        keys = self._keys()
        batches = [keys[start : start + BATCH] for start in range(0, len(keys), BATCH)]
        num_batches = len(batches)
        batch_ms = milliseconds(lambda: dataset.batch(batches.pop()), num_batches)
        return batch_ms * num_batches / len(keys)

    def _keys(self) -> list[SampleKey]:
        epoch, size = next(self._epochs), self._train.image_size
        return [
            SampleKey(epoch=epoch, index=index, image_size=size)
            for index in reversed(range(len(self._records)))
        ]

    def _new_cache(self, name: str) -> ImageCache:
        return ImageCache(Path(self._folder.name) / name)

    def _dataset(self, cache: ImageCache | None) -> TrainDataset:
        read = train_reader(self._train, STRIDE, cache)
        return TrainDataset(self._records, augment=self._augment, seed=0, read=read)


def limit_ms(image_size: int) -> float:
    """Return the time of one warp of a whole image and one table for its colours."""
    image = np.zeros((image_size, image_size, 3), np.uint8)
    output, table = np.empty_like(image), np.zeros((1, 256, 3), np.uint8)
    matrix = np.array([[1.1, 0.0, 3.3], [0.0, 1.1, 5.2]])

    def warp_and_look_up() -> None:
        cv2.warpAffine(image, matrix, (image_size, image_size), dst=output)
        cv2.LUT(output, table, dst=image)

    return milliseconds(warp_and_look_up, 20)


def peer_ms(python: str, experiment: Experiment, image_size: int) -> float | None:
    """Return the CPU time of a sample of Ultralytics, None where it cannot be measured."""
    data = experiment.data
    task = {
        "path": data.path,
        "train": getattr(data, "train", None),
        "names": list(data.class_names),
        "image_size": image_size,
        "augment": experiment.augment.model_dump(),
    }
    command = [python, str(PEER_SCRIPT)]
    done = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        print(f"Ultralytics was not measured: {lines[-1]}", file=sys.stderr)
        return None
    measured = json.loads(done.stdout.strip().splitlines()[-1])
    print(f"Ultralytics at {image_size} px: peak memory {measured['peak_mib']:.0f} MiB")
    return float(measured["ms"])


def measure(arguments: argparse.Namespace, experiment: Experiment, image_size: int) -> list[Figure]:
    """Return the figures of one image size."""
    records = load_split(experiment.data, "train").records
    samples = Samples(records, experiment, image_size)
    sides = {
        "cached": samples.cached_ms,
        "alone": samples.alone_ms,
        "first": samples.first_epoch_ms,
        "files": samples.file_ms,
        "sent": samples.sent_ms,
        "drawn": samples.drawn_ms,
        "limit": lambda: limit_ms(image_size),
    }
    if arguments.peer and (first := peer_ms(arguments.peer_python, experiment, image_size)):
        # Its first run is thrown away: it may have to index the labels.
        sides["peer"] = lambda: peer_ms(arguments.peer_python, experiment, image_size) or first
    found = alternate(sides, arguments.repetitions)
    has_peer = "peer" in found
    peer, limit = found.get("peer", found["files"]), found["limit"]
    beside = "Ultralytics" if has_peer else "no cache"
    return [
        compared(
            f"sample {image_size} px from the cache, ms (peer: {beside})",
            found["cached"],
            peer,
            goal=GOAL if has_peer else None,
            limit=limit,
        ),
        compared(
            f"sample {image_size} px from the cache, ms (peer: sample by sample)",
            found["cached"],
            found["alone"],
            goal=None,
            limit=None,
        ),
        compared(
            f"sample {image_size} px in the first epoch, ms (peer: {beside})",
            found["first"],
            peer,
            goal=FIRST_EPOCH_GOAL if has_peer else None,
            limit=None,
        ),
        Figure(name=f"sample {image_size} px without a cache, ms", ours=found["files"]),
        compared(
            f"sample {image_size} px from the cache, not drawn, ms (peer: drawn by OpenCV)",
            found["sent"],
            found["cached"],
            goal=None,
            limit=None,
        ),
        Figure(name="the same, drawn by tensor operations on this core, ms", ours=found["drawn"]),
    ]


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--cfg", default="configs/coco128.yaml", help="experiment, for images and strengths"
    )
    parser.add_argument("--sizes", type=int, nargs="+", default=[640, 320], help="pixels")
    parser.add_argument("--repetitions", type=int, default=5, help="epochs of each side")
    parser.add_argument("--peer", choices=["ultralytics"], help="compare with it, if installed")
    parser.add_argument(
        "--peer-python", default=sys.executable, help="interpreter that has the peer"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
    experiment = load_experiment(arguments.cfg).experiment
    figures = [
        figure for size in arguments.sizes for figure in measure(arguments, experiment, size)
    ]
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
