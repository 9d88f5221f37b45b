"""Networks side by side: parameters, arithmetic, time and memory of an image and of a step.

    python benchmarks/networks.py [EXPERIMENT.yaml ...] [--data FOLDER] [--json FILE]

Inference is the forward pass of one image of 640 px on one thread, convolutions and norms fused,
without suppression. The step is that of train.py on a batch of noise with 45 objects an image, as
mosaic of blood cells has them; its memory is by how much the second step raises that of the
process. Times are medians of CPU time of alternating repetitions; the last columns compare with
the first network.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch

from benchmarks.measure import added_mib, alternate, describe_machine, milliseconds
from benchmarks.training_problem import build_learner, noise_batch
from commands.build.training_start import trained_graph
from commands.train.banner import forward_flops
from configs.reading.load import load_experiment
from models.detector import Detector, build_detector
from models.inference.fusion import fuse
from utils.engine.learner import Learner
from utils.runtime.machine.memory import ALL_BYTES, reuse_freed_memory
from utils.runtime.machine.threads import prepare_environment
from utils.structures.batch import Batch

EXPERIMENTS = ("bccd.yaml", "bccd_modern.yaml", "bccd_retinanet.yaml")
CPU = torch.device("cpu")
IMAGE_SIDE = 640
TARGETS_PER_IMAGE = 45


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkFigures:
    """What one network costs; times in ms of one CPU thread, memory in MiB."""

    name: str
    parameters: int
    gflop: float
    """Of one image of 640 px."""
    image_ms: float
    step_ms: float
    step_mib: float


class Subject:
    """One experiment: its network, and a learner with a batch."""

    def __init__(self, experiment: str, overrides: list[str]) -> None:
        loaded = load_experiment(experiment, ("train.precision=float32", *overrides))
        self.name = loaded.network_name
        train, num_classes = loaded.experiment.train, len(loaded.experiment.data.class_names)
        self.learner: Learner = build_learner(loaded, CPU)
        self.batch: Batch = noise_batch(
            image_size=train.image_size,
            batch_size=train.batch_size,
            num_classes=num_classes,
            targets_per_image=TARGETS_PER_IMAGE,
        )
        self.detector: Detector = build_detector(trained_graph(loaded), num_classes=num_classes)
        self._fused = fuse(self.detector)
        self._image = torch.rand(1, 3, IMAGE_SIDE, IMAGE_SIDE)
        self._image = self._image.contiguous(memory_format=torch.channels_last)

    def infer(self) -> None:
        """Compute one image."""
        with torch.inference_mode():
            self._fused(self._image)

    def step(self) -> None:
        """Take a training step."""
        self.learner.learn(self.batch, 0)


def measure(subjects: list[Subject], repetitions: int) -> list[NetworkFigures]:
    """Return the figures of each subject."""
    memory = {}
    for subject in subjects:
        subject.infer()
        subject.step()
        memory[subject.name] = added_mib(subject.step)
    reuse_freed_memory(ALL_BYTES)  # as train.py does
    for subject in subjects:
        subject.step()

    def medians(calls: dict[str, Callable[[], None]], count: int) -> dict[str, float]:
        sides = {name: partial(milliseconds, call, count) for name, call in calls.items()}
        return alternate(sides, repetitions)

    images = medians({subject.name: subject.infer for subject in subjects}, 3)
    steps = medians({subject.name: subject.step for subject in subjects}, 1)
    return [
        NetworkFigures(
            name=subject.name,
            parameters=sum(each.numel() for each in subject.detector.parameters()),
            gflop=forward_flops(subject.detector, IMAGE_SIDE) / 1e9,
            image_ms=images[subject.name],
            step_ms=steps[subject.name],
            step_mib=memory[subject.name],
        )
        for subject in subjects
    ]


def table(figures: list[NetworkFigures]) -> str:
    """Return a Markdown table; ratios are to the first network."""
    first = figures[0]
    lines = [
        "| network | parameters | GFLOP, 640 px | image, 640 px, ms | step, ms | step, MiB | "
        "image, ratio | step, ratio | memory, ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for each in figures:
        ratios = (
            each.image_ms / first.image_ms,
            each.step_ms / first.step_ms,
            each.step_mib / max(first.step_mib, 1e-9),
        )
        shares = " | ".join(f"{ratio:.2f}" for ratio in ratios)
        lines.append(
            f"| {each.name} | {each.parameters / 1e6:.2f} M | {each.gflop:.1f} | "
            f"{each.image_ms:.1f} | {each.step_ms:.0f} | {each.step_mib:.0f} | {shares} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("experiments", nargs="*", default=list(EXPERIMENTS))
    parser.add_argument("--data", help="any folder stands in for data that are not here")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    overrides = [] if arguments.data is None else [f"data.path={arguments.data}"]
    subjects = [Subject(f"configs/{name}", overrides) for name in arguments.experiments]
    figures = measure(subjects, arguments.repetitions)
    print("\n".join(describe_machine()))
    print(table(figures))
    if arguments.json is not None:
        text = json.dumps([asdict(figure) for figure in figures], indent=2)
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    prepare_environment()
    main()
