"""One command for a GPU: is it right, and how fast is it?

    python benchmarks/gpu.py [--compile] [--json FILE]

Checks first what the GPU computes against the CPU, then times a training step (yolov5s, 640 px,
batch 64, tensors already on the device), training batches alone and the step fed by them, with
images drawn by the loader's workers and by the device, and validation. Images are generated.
Takes under 10 minutes. `--device cpu --quick` runs all of it on a CPU with tiny sizes, to test
this program.
"""

import argparse
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from benchmarks.gpu_checks import compilers, run_checks
from benchmarks.measure import Figure, report
from benchmarks.training_problem import TrainingProblem, build_learner
from configs.reading.load import LoadedExperiment, load_experiment
from data.loading.loader import (
    TrainBatches,
    build_eval_batches,
    build_train_batches,
    open_training_cache,
)
from data.records.load import load_split
from models.detector import Detector
from models.inference.inference import Inference
from utils.engine.learner import Learner
from utils.runtime.machine.device import cpu_computes_bf16
from utils.runtime.machine.threads import available_cores, prepare_environment
from utils.structures.batch import Batch

LOADED_GOAL = 0.9
"""Share of the throughput with tensors on the device that training from the loader should reach."""


class Sizes:
    """How large everything is."""

    def __init__(self, *, quick: bool) -> None:
        self.graph = "yolov5n" if quick else "yolov5s"
        self.image_size = 64 if quick else 640
        self.batch_size = 2 if quick else 64
        self.steps = 2 if quick else 20
        self.images = 4 if quick else 512
        self.workers = 0 if quick else min(16, available_cores())

    def problem(self, device: torch.device) -> TrainingProblem:
        """Return the problem that is timed."""
        return TrainingProblem(
            graph=self.graph,
            image_size=self.image_size,
            batch_size=self.batch_size,
            device=device,
        )


def wait(device: torch.device) -> None:
    """Wait until the device has done everything."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def images_per_second(learner: Learner, batches: Iterable[Batch], warm_up: int) -> float:
    """Return how fast `learner` learns from `batches`; the first `warm_up` of them do not count."""
    images, start = 0, 0.0
    for step, batch in enumerate(batches):
        if step == warm_up:
            wait(learner.device)
            start = time.perf_counter()
        learner.learn(batch, step)
        images += len(batch) if step >= warm_up else 0
    wait(learner.device)
    return images / (time.perf_counter() - start)


def step_figures(sizes: Sizes, device: torch.device, *, has_compiler: bool) -> list[Figure]:
    """Return images per second of steps on tensors that are on the device."""
    problem, found = sizes.problem(device), {}
    batch = problem.batch().to(device)
    for precision in precisions(device):
        learner = problem.learner(f"train.precision={precision}")
        found[precision] = images_per_second(learner, itertools.repeat(batch, 3 + sizes.steps), 3)
    rows = [
        Figure(
            name=f"step, {precision}, images/s (peer: ours in float32)",
            ours=speed,
            peer=found["float32"],
            ratio=speed / found["float32"],
        )
        for precision, speed in found.items()
    ]
    if has_compiler:
        fastest = max(found, key=lambda name: found[name])
        for name, compiler in compilers(problem).items():
            learner = problem.learner(f"train.precision={fastest}")
            learner.compile(compiler)
            start = time.perf_counter()
            learner.learn(batch, 0)
            wait(device)
            seconds = time.perf_counter() - start
            speed = images_per_second(learner, itertools.repeat(batch, 3 + sizes.steps), 3)
            title = f"step, {fastest}, train.compile={name}, compiled in {seconds:.0f} s, images/s"
            rows.append(
                Figure(
                    name=f"{title} (peer: not compiled)",
                    ours=speed,
                    peer=found[fastest],
                    ratio=speed / found[fastest],
                )
            )
    return rows


def precisions(device: torch.device) -> list[str]:
    """Return the precisions that the device computes, float32 first."""
    if device.type == "cuda":
        return ["float32", "bf16", "fp16"]
    return ["float32", *(["bf16"] if cpu_computes_bf16() else [])]


def experiment(
    sizes: Sizes, device: torch.device, folder: Path, *overrides: str
) -> LoadedExperiment:
    """Return the command that trains on generated images."""
    return load_experiment(
        "configs/quickstart.yaml",
        (
            f"data.path={folder}",
            f"data.train_images={sizes.images}",
            f"data.val_images={max(2, sizes.images // 4)}",
            f"data.side={max(96, sizes.image_size)}",
            f"model={{graph: models/{sizes.graph}.yaml}}",
            f"train.image_size={sizes.image_size}",
            f"train.batch_size={sizes.batch_size}",
            f"train.nominal_batch={sizes.batch_size}",
            f"train.precision={precisions(device)[-1]}",
            f"train.workers={sizes.workers}",
            f"train.device={device.type}",
            "augment.mosaic=1.0",
            *overrides,
        ),
    )


def loaded_figures(sizes: Sizes, device: torch.device, folder: Path) -> list[Figure]:
    """Return images per second of the loader, of training fed by it, and of validation."""
    loaded = experiment(sizes, device, folder)
    settings = loaded.experiment.train
    splits = [load_split(loaded.experiment.data, split) for split in ("train", "val")]
    learner = build_learner(loaded, device)
    detector = learner.model
    if not isinstance(detector, Detector):
        raise TypeError("a detector is trained here")
    stride = detector.size_multiple
    records = [split.records for split in splits]
    cache = open_training_cache(settings, *records, stride=stride)
    rows = []
    for draws in ("cpu", "train"):
        drawn = experiment(sizes, device, folder, f"augment.device={draws}").experiment
        source = build_train_batches(records[0], drawn, stride=stride, device=device, cache=cache)
        with closing(source):
            rows += fed_figures(source, learner, sizes, drawn_by=draws)
    evaluation = build_eval_batches(
        records[1],
        image_size=settings.image_size,
        stride=stride,
        settings=loaded.experiment.eval,
        workers=sizes.workers,
        pin_memory=device.type == "cuda",
        cache=cache,
    )
    with closing(evaluation):
        infer = Inference(detector, loaded.experiment.eval, fused=True)

        def validate() -> Iterator[Batch]:
            for batch in evaluation:
                infer(batch.to(device))
                yield batch
            wait(device)

        list(validate())
        judged = speed_of(validate)
    name = "validation, network and suppression, float32, images/s"
    return [*rows, Figure(name=name, ours=judged)]


def fed_figures(
    source: TrainBatches, learner: Learner, sizes: Sizes, *, drawn_by: str
) -> list[Figure]:
    """Return images per second of training batches alone, and of training on them."""
    # The first epoch fills the cache and starts the workers.
    for _ in source.epoch(0):
        pass
    way = f"augment.device={drawn_by}"

    def load() -> Iterator[Batch]:
        yield from epochs(source, sizes.steps)
        wait(learner.device)

    alone = speed_of(load)
    fixed = next(iter(source.epoch(0))).to(learner.device)
    synthetic = images_per_second(learner, itertools.repeat(fixed, 3 + sizes.steps), 3)
    fed = images_per_second(learner, epochs(source, 3 + sizes.steps), 3)
    return [
        Figure(name=f"batches alone, mosaic, {way}, images/s", ours=alone),
        Figure(
            name=f"training on them, {way}, images/s (peer: tensors on the device)",
            ours=fed,
            peer=synthetic,
            ratio=fed / synthetic,
            goal=LOADED_GOAL,
            limit=min(alone, synthetic),
        ),
    ]


def epochs(source: TrainBatches, count: int) -> Iterator[Batch]:
    """Yield `count` batches, epoch after epoch."""
    every = itertools.chain.from_iterable(source.epoch(epoch) for epoch in itertools.count(1))
    return itertools.islice(every, count)


def speed_of(batches: Callable[[], Iterable[Batch]]) -> float:
    """Return images per second of going through `batches`."""
    start = time.perf_counter()
    images = sum(len(batch) for batch in batches())
    return images / (time.perf_counter() - start)


def describe(device: torch.device) -> str:
    """Return the name of the device and its peak memory."""
    if device.type != "cuda":
        return f"device {device}"
    peak = torch.cuda.max_memory_allocated(device) / (1 << 30)
    return f"GPU {torch.cuda.get_device_name(device)}, peak memory {peak:.1f} GiB"


def main() -> int:
    """Read the command line, check, measure, print; return the exit code."""
    arguments = _arguments()
    if arguments.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU here: torch finds no CUDA device", file=sys.stderr)
        return 2
    device = torch.device(arguments.device)
    sizes = Sizes(quick=arguments.quick)
    start = time.perf_counter()
    small = TrainingProblem(graph="yolov5n", image_size=64, batch_size=2, device=device)
    lines, is_fine = run_checks(small)
    print("\n".join(lines), flush=True)
    figures = step_figures(sizes, device, has_compiler=arguments.compile)
    with tempfile.TemporaryDirectory(prefix="focaldet-benchmark-") as folder:
        os.environ["FOCALDET_CACHE"] = str(Path(folder) / "cache")
        figures += loaded_figures(sizes, device, Path(folder) / "images")
    print(f"{describe(device)}; {time.perf_counter() - start:.0f} s in all")
    report(figures, arguments.json)
    return 0 if is_fine else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes; the figures mean nothing")
    parser.add_argument("--compile", action="store_true", help="time compiled steps as well")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    prepare_environment()
    sys.exit(main())
