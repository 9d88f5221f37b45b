"""What every part costs as data sets, classes and processes grow, and what that foretells.

    python benchmarks/scale.py [--parts index memory ...] [--sizes 500 2000 8000] [--json FILE]

CPU seconds of the process and its memory at growing sizes, a line fitted to each, and the line read
at the sizes of COCO and Objects365 (docs/scale.md says what follows). Only the exchange between
processes is measured by the clock, the fastest of several: on a busy machine it says little.
Everything is generated in a temporary folder. Takes some minutes; Linux alone tells the memory.
"""

import argparse
import json
import pickle
import shutil
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import cv2
import numpy as np
import torch
import torch.distributed as dist

from benchmarks import coco_size
from benchmarks.bootstrap import draw_detections, draw_truths
from benchmarks.evaluate import Ours, Problem
from benchmarks.fits import Growth, fit_terms, format_growths, ring_causes, written
from benchmarks.measure import added_mib, describe_machine
from benchmarks.training_problem import TrainingProblem
from configs.schema.train import ClassBalancedSampler, UniformSampler
from data.images.cache import open_image_cache
from data.images.cache.store import entry_bytes
from data.images.pixels import ShrinkingReader
from data.loading.image_weights import build_draw
from data.loading.samplers import TrainPlan
from tests.processes import in_processes
from utils.comparison.statistics.match_table import MatchTable, match_table
from utils.comparison.statistics.replication import draw_weights, replicate_run
from utils.metrics.evaluator import Found
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.machine.memory import reuse_freed_memory
from utils.structures.images import Record

TRAIN = {"COCO": 118_287, "Objects365": 1_742_292}
VAL = {"COCO": 5_000, "Objects365": 80_000}
OBJECTS = {"COCO": 860_000, "Objects365": 25_000_000}
CLASSES = {"COCO": 80, "Objects365": 365}
REPLICATES = {"2,000 replicates": 2_000}
OBJECTS_AN_IMAGE = 7.27
"""Of COCO; the second density of the index is twice that, as in Objects365."""
PHOTO = (480, 640)
BATCH = 64
EXCHANGED = (1 << 10, 1 << 16, 1 << 20, 1 << 22, 1 << 24)
"""Bytes of the tensors that processes add up."""
PROCESSES = (2, 4)
REPETITIONS = 30
STEPS = 6
PATIENCE_S = 600
PROBLEM = TrainingProblem(graph="yolov5n", image_size=64, batch_size=2, device=torch.device("cpu"))

Part = Callable[[Namespace, Path], list[Growth]]


def main() -> None:
    """Read the command line, measure the parts one after the other, print a table of each."""
    arguments = _arguments()
    print("\n".join(describe_machine()), flush=True)
    measured: dict[str, list[Growth]] = {}
    for name in arguments.parts:
        folder = Path(tempfile.mkdtemp(prefix="focaldet-scale-", dir=arguments.folder))
        try:
            measured[name] = PARTS[name](arguments, folder)
        finally:
            shutil.rmtree(folder)
        if measured[name]:
            print(f"\n{format_growths(measured[name])}", flush=True)
    if arguments.json is not None:
        content = {
            name: [asdict(growth) | {"fit": asdict(growth.line)} for growth in growths]
            for name, growths in measured.items()
        }
        arguments.json.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def index(arguments: Namespace, folder: Path) -> list[Growth]:
    """Labels cold and from their index; memory of the main process and of loader workers."""
    runs = [
        (images, density, _of_size(images, density, folder, ("read", "start", "loader")))
        for images, density in ((n, OBJECTS_AN_IMAGE) for n in arguments.sizes)
    ]
    dense = [
        (
            images,
            2 * OBJECTS_AN_IMAGE,
            _of_size(images, 2 * OBJECTS_AN_IMAGE, folder, ("read", "start")),
        )
        for images in arguments.sizes[-2:]
    ]
    growths = []
    for part, stage, cost, unit in (
        ("first reading, CPU", "read", _cpu, "s"),
        ("start from the index, CPU", "start", _cpu, "s"),
        ("peak of the first reading", "read", partial(_added, key="peak_mib"), "MiB"),
        ("main process after a start", "start", partial(_added, key="resident_mib"), "MiB"),
        ("index on the disk", "start", _index, "MiB"),
        ("main process with its loader", "loader", _main, "MiB"),
        ("own memory of a loader worker", "loader", _worker, "MiB"),
    ):
        growth = Growth(
            part=part,
            unit=unit,
            per="image",
            sizes=tuple(images for images, _, _ in runs),
            costs=tuple(cost(found[stage]) for _, _, found in runs),
            ahead=TRAIN,
        )
        growths.append(growth)
        if stage != "loader":
            _say_images_and_objects(
                part, unit, [(n, n * per, cost(found[stage])) for n, per, found in (*runs, *dense)]
            )
    return growths


def _of_size(
    images: int, density: float, folder: Path, stages: Sequence[str]
) -> dict[str, dict[str, Any]]:
    own = folder / f"{images}-{density}"
    asked = Namespace(
        images=images, boxes=round(images * density), format=["yolo"], epochs=1, workers=2
    )
    found = coco_size.measure(asked, own, stages)["yolo"]
    shutil.rmtree(own)
    return found


def _cpu(found: Mapping[str, Any]) -> float:
    return float(found["cpu_s"])


def _index(found: Mapping[str, Any]) -> float:
    return float(found["index_mib"])


def _added(found: Mapping[str, Any], *, key: str) -> float:
    """Return the MiB above those of the imports."""
    return float(found[key] - found["before_mib"])


def _main(found: Mapping[str, Any]) -> float:
    return float(found["main_mib"][-1])


def _worker(found: Mapping[str, Any]) -> float:
    return float(np.mean(found["workers_own_mib"][-1]))


def _say_images_and_objects(part: str, unit: str, rows: Sequence[tuple[int, float, float]]) -> None:
    """Print what one image and one object cost, where two densities were measured."""
    terms = fit_terms(
        [(1.0, images, objects) for images, objects, _ in rows], [c for *_, c in rows]
    )
    fixed, image, object_ = terms.factors
    ahead = (
        f"{name} {written(fixed + image * TRAIN[name] + object_ * OBJECTS[name], unit)}"
        for name in TRAIN
    )
    print(
        f"{part}: {written(image, unit)} / image + {written(object_, unit)} / object, "
        f"off by {terms.off:.0%}; {', '.join(ahead)}",
        flush=True,
    )


def cache(arguments: Namespace, folder: Path) -> list[Growth]:
    """Bytes of a decoded image, computed and on the disk; seconds to open the cache."""
    costs = []
    photos = folder / "photos"
    photos.mkdir()
    for number in range(max(arguments.sizes)):
        (photos / f"{number}.jpg").touch()
    for images in arguments.sizes:
        records = [_record(str(photos / f"{number}.jpg"), number) for number in range(images)]
        reader = ShrinkingReader(640, exact=False)
        began = time.process_time()
        open_image_cache(
            reader.wanted(records), mode="disk", limit_gib=1e6, folder=folder / "opened"
        )
        costs.append(time.process_time() - began)
    few = 8
    noise = np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), dtype=np.uint8)
    records = [_record(str(photos / f"{number}.jpg"), number) for number in range(few)]
    for record in records:
        cv2.imwrite(record.path, noise)
    kept = open_image_cache(
        ShrinkingReader(640, exact=False).wanted(records),
        mode="disk",
        limit_gib=1.0,
        folder=folder / "kept",
    )
    reader = ShrinkingReader(640, exact=False, cache=kept)
    for record in records:
        reader(record)
    before = _open_handles()
    mapped = [reader(record) for record in records]
    handles = _open_handles() - before
    files = [path.stat() for path in (folder / "kept").rglob("*") if path.is_file()]
    on_disk = sum(file.st_blocks for file in files) * 512 / few
    computed = entry_bytes(PHOTO)
    ahead = (f"{name} {written(n * computed / 2**20, 'MiB')}" for name, n in TRAIN.items())
    print(
        f"decoded image of {PHOTO[1]} x {PHOTO[0]} px: {computed:,} bytes computed, {on_disk:,.0f} "
        f"on the disk (mean of {len(files)}), {handles / len(mapped):.0f} file handle while it is "
        f"used; {', '.join(ahead)}",
        flush=True,
    )
    return [
        _growth("opening the cache of images, CPU", "s", "image", arguments.sizes, costs, TRAIN)
    ]


def _open_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _record(path: str, number: int, labels: Sequence[int] = ()) -> Record:
    count = len(labels)
    return Record(
        path=path,
        image_id=number,
        size=PHOTO,
        boxes=np.zeros((count, 4), np.float32),
        labels=np.asarray(labels, np.int64),
        ignore=np.zeros(count, np.bool_),
        area=np.zeros(count, np.float32),
    )


def sampler(arguments: Namespace, _folder: Path) -> list[Growth]:
    """The keys of an epoch, plain and balanced over classes; the setting up of the latter."""
    sizes = [10 * images for images in arguments.sizes]
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 80, (max(sizes), 7))
    records = [_record("", number, own) for number, own in enumerate(labels)]
    draws = {
        images: build_draw(ClassBalancedSampler(name="class_balanced"), records[:images])
        for images in sizes
    }

    def plan(images: int, *, balanced: bool) -> None:
        draw = draws[images] if balanced else build_draw(UniformSampler(), records[:images])
        whole = TrainPlan(
            num_images=images, batch_size=BATCH, image_size=640, seed=0, epochs=100, draw=draw
        )
        for _ in whole.keys(0):
            pass

    def set_up(images: int) -> None:
        build_draw(ClassBalancedSampler(name="class_balanced"), records[:images])

    kinds: dict[str, Callable[[int], None]] = {
        "keys of an epoch": partial(plan, balanced=False),
        "keys of an epoch, class_balanced": partial(plan, balanced=True),
        "setting up class_balanced": set_up,
    }
    growths = [
        _growth(f"{name}, CPU", "s", "image", sizes, [_seconds(run, n) for n in sizes], TRAIN)
        for name, run in kinds.items()
    ]
    held = [_held_mib(partial(kinds["keys of an epoch"], images)) for images in sizes]
    return [*growths, _growth("keys of an epoch, memory", "MiB", "image", sizes, held, TRAIN)]


def evaluation(arguments: Namespace, _folder: Path) -> list[Growth]:
    """Matching and COCO AP of detections in memory, and what a process sends to the others."""
    base = {"images": 500, "detections": 100, "classes": 80}
    axes = {
        "image": ("images", [images // 4 for images in arguments.sizes], VAL),
        "detection an image": ("detections", [50, 100, 200], {}),
        "class": ("classes", [20, 80, 320], CLASSES),
    }
    growths = []
    for per, (key, sizes, ahead) in axes.items():
        costs, memory = [], []
        sent: list[float] = []
        for size in sizes:
            problem = Problem(**(base | {key: size}))
            ours = Ours(problem)
            costs.append(_seconds(ours))
            if key == "images":
                memory.append(_held_mib(ours))
                ours.evaluator.join(partial(_sent, mib=sent))
        growths.append(_growth("evaluation, CPU", "s", per, sizes, costs, ahead))
        if key == "images":
            growths.append(_growth("evaluation, memory", "MiB", per, sizes, memory, ahead))
            growths.append(_growth("detections gathered", "MiB", per, sizes, sent, ahead))
    return growths


def _sent(found: Found, *, mib: list[float]) -> list[Found]:
    """Stand for the gathering of a single process; note the size of what it would send."""
    mib.append(len(pickle.dumps(found)) / 2**20)
    return [found]


def comparison(_arguments: Namespace, _folder: Path) -> list[Growth]:
    """The bootstrap of one run of a comparison: matching once, then AP under all weights."""
    base = {"images": 200, "classes": 80, "replicates": 100}
    axes = {
        # Up to 500 images each is a column of the jackknife of its own.
        "image": ("images", [500, 1000, 2000], VAL),
        "class": ("classes", [20, 80, 320], CLASSES),
        "replicate": ("replicates", [250, 500, 1000], REPLICATES),
    }
    growths = []
    for per, (key, sizes, ahead) in axes.items():
        matching, resampling, tables, drawn = [], [], [], []
        for size in sizes:
            asked = base | {key: size}
            rng = np.random.default_rng(0)
            truths = draw_truths(rng, asked["images"], asked["classes"])
            found = draw_detections(rng, truths)
            began = time.process_time()
            table = match_table(truths, found)
            matching.append(time.process_time() - began)
            weights = draw_weights(table, asked["replicates"], "dirichlet")
            resampling.append(_seconds(replicate_run, table, weights))
            tables.append(_table_mib(table))
            drawn.append(weights.columns.nbytes / 2**20)
        growths.append(_growth("replicates of a run, CPU", "s", per, sizes, resampling, ahead))
        if key != "replicates":
            growths.append(_growth("matching of a run, CPU", "s", per, sizes, matching, ahead))
            growths.append(_growth("matches of a run, memory", "MiB", per, sizes, tables, ahead))
        if key != "classes":
            growths.append(_growth("image weights, memory", "MiB", per, sizes, drawn, ahead))
    return growths


def _table_mib(table: MatchTable) -> float:
    columns = (
        column
        for one in table.classes
        for column in (one.image, one.scores, one.hit, one.neutral, one.truths)
    )
    return sum(column.nbytes for column in columns) / 2**20


def exchange(_arguments: Namespace, _folder: Path) -> list[Growth]:
    """Sums over processes of this machine (gloo) against bytes, and a real step of two."""
    causes, clock, growths = [], [], []
    sizes = [size / 2**20 for size in EXCHANGED]
    for processes in PROCESSES:
        found = np.array(in_processes(processes, _exchanged, timeout_s=PATIENCE_S)).max(axis=0)
        causes += [ring_causes(processes, size) for size in EXCHANGED]
        clock += found[:, 0].tolist()
        for column, name in enumerate(("clock", "CPU of a process")):
            part, costs = f"sum over {processes} processes, {name}", found[:, column].tolist()
            growths.append(_growth(part, "s", "MiB", sizes, costs, {}))
    terms = fit_terms(causes, clock)
    latency, per_byte = terms.factors
    print(
        f"a message takes {written(latency, 's')}, bytes go at {1e-6 / per_byte:,.0f} MB/s "
        f"(model: 2 (p - 1) messages, 2 (p - 1) / p of the bytes), off by {terms.off:.0%}"
    )
    alone = in_processes(1, _steps, timeout_s=PATIENCE_S)[0]
    joint = in_processes(2, _steps, timeout_s=PATIENCE_S)[0]
    expected = np.dot(ring_causes(2, joint["gradient_bytes"]), terms.factors)
    print(
        f"{PROBLEM.graph}, {PROBLEM.image_size} px, batch {PROBLEM.batch_size} a process, gradient "
        f"{joint['gradient_bytes'] / 2**20:.1f} MiB: a step takes {written(alone['clock'], 's')} "
        f"alone, {written(joint['clock'], 's')} with two processes (clock, fastest of {STEPS}), "
        f"{written(alone['cpu'], 's')} and {written(joint['cpu'], 's')} CPU; the model gives "
        f"{written(float(expected), 's')} for the gradient",
        flush=True,
    )
    return growths


def _exchanged(_ranks: Ranks) -> list[tuple[float, float]]:
    """Return for each size the clock's seconds of the fastest sum, and the mean CPU seconds."""
    figures = []
    for size in EXCHANGED:
        tensor = torch.ones(size // 4)
        seconds = []
        used = time.process_time()
        for _ in range(REPETITIONS):
            began = time.perf_counter()
            dist.all_reduce(tensor)
            seconds.append(time.perf_counter() - began)
        figures.append((min(seconds), (time.process_time() - used) / REPETITIONS))
    return figures


def _steps(ranks: Ranks) -> dict[str, float]:
    """Return what the fastest of some training steps takes, the first two left out."""
    learner = PROBLEM.learner(ranks=ranks)
    batch = PROBLEM.batch(seed=ranks.rank)
    clock, cpu = [], []
    for iteration in range(2 + STEPS):
        ranks.any(False)
        wall, used = time.perf_counter(), time.process_time()
        learner.learn(batch, iteration)
        clock.append(time.perf_counter() - wall)
        cpu.append(time.process_time() - used)
    gradient = sum(4 * value.numel() for value in learner.model.parameters() if value.requires_grad)
    return {"clock": min(clock[2:]), "cpu": min(cpu[2:]), "gradient_bytes": float(gradient)}


def _growth(
    part: str,
    unit: str,
    per: str,
    sizes: Sequence[float],
    costs: Sequence[float],
    ahead: Mapping[str, float],
) -> Growth:
    return Growth(
        part=part, unit=unit, per=per, sizes=tuple(sizes), costs=tuple(costs), ahead=ahead
    )


def _seconds(run: Callable[..., object], *inputs: Any) -> float:
    """Return the CPU seconds of a call in this process, its threads included."""
    began = time.process_time()
    run(*inputs)
    return time.process_time() - began


def _held_mib(run: Callable[[], object]) -> float:
    """Return by how much a call raises the memory, at least a KiB: less cannot be fitted."""
    return max(added_mib(run), 2**-10)


PARTS: dict[str, Part] = {
    "exchange": exchange,  # first: its processes are forked, and should find little in memory
    "index": index,
    "cache": cache,
    "sampler": sampler,
    "evaluation": evaluation,
    "comparison": comparison,
}


def _arguments() -> Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--sizes", nargs="+", type=int, default=[500, 2000, 8000], help="images")
    parser.add_argument("--folder", type=Path, help="for the generated files; removed afterwards")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if len(set(arguments.sizes)) < 2 or min(arguments.sizes) < 8:
        parser.error("--sizes: two different numbers of images at least, of 8 or more")
    arguments.sizes = sorted(set(arguments.sizes))
    return arguments


if __name__ == "__main__":
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
    main()
