"""Whole epochs as the user sees them: train.py against `yolo train` on the same images.

    python benchmarks/end_to_end.py [--cfg FILE ...] [--peer PYTHON] [--peer-networks NAME ...]
                                    [--parts alone beside memory] [--epochs N] [--json FILE]

BCCD's training split, yolov5n, 320 px, batch 16, 2 workers, validation after every epoch. The peer
is Ultralytics' yolov5n, started by its own command in the environment of --peer, with the same
strengths of augmentation. Several experiments and several networks of the peer run in turn, and
each of ours is compared with each of the peer's. An epoch lasts from one new row of a run's table
to the next, seen from outside; the first one, which fills caches, is left out. Every side runs
alone and beside a process that keeps a core busy. Memory is that of all processes of a run, shared
pages counted once (PSS), in three runs of their own, because counting pages stops the processes
that own them; the median of their peaks, which differ by a tenth.
"""

import argparse
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import psutil
import yaml

from benchmarks.measure import Figure, compared, report
from configs.reading.load import load_experiment
from configs.schema import Experiment
from data.records.load import load_split
from utils.runtime.machine.device import cpu_computes_bf16

GOALS: Mapping[str, tuple[float, float]] = {"float32": (3.2, 1 / 0.62), "bf16": (4.5, 2.0)}
"""By precision: times as fast as the peer, and how many times its memory is ours."""
BUSY_GOAL, BESIDE_GOAL = 0.4, 1.3
"""Beside a busy process, against our side alone and against the peer beside it."""
COMPANY = ("alone", "beside")
PARTS = (*COMPANY, "memory")
LOOK_EVERY_S, WEIGH_EVERY_S = 0.05, 0.25
WEIGHED_EPOCHS, WEIGHED_RUNS = 3, 3
BUSY = "while True: pass"
OFFLINE = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false"}
"""What keeps Ultralytics from the network."""


SplitName = Literal["train", "val", "test"]
OWN_SPLITS: Mapping[str, SplitName] = {"train": "train", "val": "val"}


@dataclass(frozen=True, kw_only=True)
class Program:
    """A training run to start and the table it writes, a row per epoch, below `folder`."""

    command: Sequence[str]
    folder: Path
    table: str
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Runs:
    """What was seen of one side: seconds of single epochs, alone and with company, and memory."""

    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    peaks_mib: list[float] = field(default_factory=list)


def watch(program: Program) -> list[float]:
    """Run the training; return the seconds of each epoch but the first."""
    times: list[float] = []
    for _ in running(program, LOOK_EVERY_S):
        times += [time.perf_counter()] * (count_rows(program) - len(times))
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def weigh(program: Program) -> float:
    """Run the training; return the peak memory that its processes have together, MiB."""
    return max(shared_mib(process) for process in running(program, WEIGH_EVERY_S))


def running(program: Program, every_s: float) -> Iterator[psutil.Popen]:
    """Start a training run and yield its process every so often until it ends.

    Raises:
        SystemExit: it failed.
    """
    program.folder.mkdir(parents=True)
    log = program.folder / "output.txt"
    with log.open("w", encoding="utf-8") as output:
        process = psutil.Popen(
            program.command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | program.environment,
        )
        while process.poll() is None:
            yield process
            time.sleep(every_s)
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-5:]
        raise SystemExit("\n".join([f"{program.command[0]} failed:", *last]))


def count_rows(program: Program) -> int:
    """Return the number of epochs in the table so far."""
    rows = 0
    for folder, _, names in os.walk(program.folder):  # unlike rglob it bears folders that vanish
        if program.table in names:
            with contextlib.suppress(OSError):  # it is being replaced
                text = Path(folder, program.table).read_text(encoding="utf-8")
                rows = max(rows, len(text.strip().splitlines()) - 1)
    return rows


def shared_mib(process: psutil.Process) -> float:
    """Return the memory of a process and all below it, pages they share counted once."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.Error):
            memory = each.memory_full_info()
            total += getattr(memory, "pss", memory.rss)
    return total / (1 << 20)


@contextlib.contextmanager
def busy_core() -> Iterator[None]:
    """Keep one core busy."""
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True, kw_only=True)
class OurSide:
    """Our training run of an experiment."""

    cfg: str
    precision: str
    network: str

    @property
    def name(self) -> str:
        """What figures call it."""
        return f"{self.network}, {self.precision}"

    def program(self, folder: Path, arguments: argparse.Namespace, epochs: int) -> Program:
        """Return what to start."""
        settings = (
            f"train.epochs={epochs}",
            f"train.precision={self.precision}",
            f"run.folder={folder}",
            "train.workers=2",
            *arguments.set,
        )
        command = [sys.executable, "train.py", "--cfg", self.cfg, *settings]
        return Program(command=command, folder=folder, table="metrics.csv")


@dataclass(frozen=True, kw_only=True)
class PeerSide:
    """A training run of Ultralytics on the same images."""

    network: str
    data: Path

    @property
    def name(self) -> str:
        """What figures call it."""
        return f"Ultralytics' {self.network}"

    def program(self, folder: Path, arguments: argparse.Namespace, epochs: int) -> Program:
        """Return what to start."""
        return theirs(self.network, self.data, folder, arguments, epochs)


Side = OurSide | PeerSide


def theirs(
    network: str, data: Path, folder: Path, arguments: argparse.Namespace, epochs: int
) -> Program:
    """Return the training run of Ultralytics with our settings, by its command `yolo`."""
    experiment = load_experiment(arguments.cfg[0], arguments.set).experiment
    train, augment = experiment.train, experiment.augment
    settings = {
        "model": f"{network}.yaml",
        "data": data,
        "epochs": epochs,
        "imgsz": train.image_size,
        "batch": train.batch_size,
        "nbs": train.batch_size,  # an update a batch, as in our adaptive recipe
        "workers": 2,
        "device": "cpu",
        "optimizer": "SGD",
        "amp": False,
        "pretrained": False,
        "plots": False,
        "close_mosaic": 0,
        "project": folder,
        "name": "run",
        "degrees": augment.degrees,
        "translate": augment.translate,
        "scale": augment.scale,
        "shear": augment.shear,
        "perspective": augment.perspective,
        "fliplr": augment.flip_horizontal,
        "flipud": augment.flip_vertical,
        "mosaic": augment.mosaic,
        "mixup": augment.mixup,
        "hsv_h": augment.hsv_hue,
        "hsv_s": augment.hsv_saturation,
        "hsv_v": augment.hsv_value,
    }
    command = [str(Path(arguments.peer).with_name("yolo")), "detect", "train"]
    command += [f"{key}={value}" for key, value in settings.items()]
    environment = {**OFFLINE, "YOLO_CONFIG_DIR": str(folder.parent / "settings")}
    return Program(command=command, folder=folder, table="results.csv", environment=environment)


def write_yolo(
    experiment: Experiment, folder: Path, splits: Mapping[str, SplitName] = OWN_SPLITS
) -> Path:
    """Write an experiment's data for the peer, images as links; return its data.yaml.

    `splits` says which of the experiment's splits becomes the peer's train and val.
    """
    for split, source_split in splits.items():
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for record in load_split(experiment.data, source_split).records:
            source = Path(record.path)
            (images / source.name).symlink_to(source.resolve())
            height, width = record.size
            rows = [
                f"{label} {(x1 + x2) / 2 / width} {(y1 + y2) / 2 / height} "
                f"{(x2 - x1) / width} {(y2 - y1) / height}"
                for label, (x1, y1, x2, y2) in zip(
                    record.labels.tolist(), record.boxes.tolist(), strict=True
                )
            ]
            (labels / source.with_suffix(".txt").name).write_text("\n".join(rows) + "\n")
    names = dict(enumerate(experiment.data.class_names))
    content = {"path": str(folder), "train": "images/train", "val": "images/val", "names": names}
    description = folder / "data.yaml"
    description.write_text(yaml.safe_dump(content), encoding="utf-8")
    return description


def all_sides(arguments: argparse.Namespace, folder: Path) -> list[Side]:
    """Return what is measured; writes the data as the peer reads them."""
    precisions = ["float32", *(["bf16"] if cpu_computes_bf16() else [])]
    loaded = {cfg: load_experiment(cfg, arguments.set) for cfg in arguments.cfg}
    sides: list[Side] = [
        OurSide(cfg=cfg, precision=precision, network=experiment.network_name)
        for cfg, experiment in loaded.items()
        for precision in precisions
    ]
    if arguments.peer:
        data = write_yolo(loaded[arguments.cfg[0]].experiment, folder / "data")
        sides += [PeerSide(network=network, data=data) for network in arguments.peer_networks]
    return sides


def measure(
    sides: Sequence[Side], arguments: argparse.Namespace, folder: Path
) -> list[tuple[Side, Runs]]:
    """Return what was seen of every side, each run in turn, alone and beside a busy process."""
    runs = [(side, Runs()) for side in sides]
    places = (folder / f"run{number}" for number in itertools.count())
    for _ in range(arguments.repetitions):
        for company in (part for part in COMPANY if part in arguments.parts):
            for side, seen in runs:
                started = side.program(next(places), arguments, arguments.epochs)
                with busy_core() if company == "beside" else contextlib.nullcontext():
                    seconds = watch(started)
                (seen.alone if company == "alone" else seen.beside).extend(seconds)
                print(f"{side.name} {company}: {statistics.median(seconds):.2f} s", file=sys.stderr)
    for _ in range(WEIGHED_RUNS if "memory" in arguments.parts else 0):
        for side, seen in runs:
            seen.peaks_mib.append(weigh(side.program(next(places), arguments, WEIGHED_EPOCHS)))
            print(f"{side.name}: {seen.peaks_mib[-1]:.0f} MiB", file=sys.stderr)
    return runs


def figures(runs: Sequence[tuple[Side, Runs]]) -> list[Figure]:
    """Return the rows of all sides."""
    peers = [(side.name, seen) for side, seen in runs if isinstance(side, PeerSide)]
    rows = []
    for side, seen in runs:
        if isinstance(side, OurSide):
            against: Sequence[tuple[str, Runs] | None] = peers or (None,)
            for peer in against:
                rows += compared_rows(side.name, seen, peer, GOALS[side.precision])
        if seen.beside and seen.alone:
            rows.append(
                compared(
                    f"epoch beside a busy process, s (peer: alone), {side.name}",
                    statistics.median(seen.beside),
                    statistics.median(seen.alone),
                    goal=None if isinstance(side, PeerSide) else BUSY_GOAL,
                    limit=statistics.median(seen.alone),
                )
            )
    return rows


def compared_rows(
    name: str, seen: Runs, peer: tuple[str, Runs] | None, goals: tuple[float, float]
) -> list[Figure]:
    """Return epochs and memory of one of our sides beside one of the peer's, if there is one."""
    against = "" if peer is None else f" (peer: {peer[0]})"
    quantities = (
        ("epoch, {}, s", seen.alone, peer and peer[1].alone, goals[0]),
        ("epoch beside a busy process, {}, s", seen.beside, peer and peer[1].beside, BESIDE_GOAL),
        ("peak memory, {}, MiB", seen.peaks_mib, peer and peer[1].peaks_mib, goals[1]),
    )
    return [
        compared(
            title.format(name) + against,
            statistics.median(mine),
            None if other is None else statistics.median(other),
            goal=wanted,
            limit=None,
        )
        for title, mine, other, wanted in quantities
        if mine
    ]


def main() -> None:
    """Read the command line, measure, print."""
    arguments = _arguments()
    with tempfile.TemporaryDirectory(prefix="focaldet-benchmark-") as folder:
        runs = measure(all_sides(arguments, Path(folder)), arguments, Path(folder))
    report(figures(runs), arguments.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--cfg", nargs="+", default=["configs/bccd.yaml"], help="experiments of our side"
    )
    parser.add_argument("--peer", help="Python interpreter beside which Ultralytics' `yolo` lies")
    parser.add_argument(
        "--peer-networks", nargs="+", default=["yolov5n"], metavar="NAME", help="what it trains"
    )
    parser.add_argument("--parts", nargs="+", default=PARTS, choices=PARTS, help="default: all")
    parser.add_argument("--epochs", type=int, default=5, help="of every run, from 3")
    parser.add_argument("--repetitions", type=int, default=1, help="runs of every side")
    parser.add_argument(
        "--set", nargs="*", default=[], metavar="KEY=VALUE", help="changed settings, on both sides"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.epochs < 3:
        parser.error("--epochs must be from 3: the first one does not count")
    return arguments


if __name__ == "__main__":
    main()
