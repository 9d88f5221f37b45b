"""Whole comparisons: `jobs: auto` against one run after the other with two threads.

    python benchmarks/comparison.py [--data FOLDER] [--repetitions N] [--json FILE]
    python benchmarks/comparison.py --cfg configs/compare/smoke.yaml --epochs 1 --repetitions 1

A design, configs/compare/bccd_small.yaml unless --cfg names another, is reduced to two arms, two
seeds and three epochs, and carried out by compare.py as a person starts it: trial, runs,
evaluations and report. Sides in turn; each begins with an empty cache of images, so that what runs
share is seen. The time on the clock counts, so nothing else should be running. Beside it the time
that compare.py told for the runs before the first of them; trial and report come on top.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import yaml

from benchmarks.measure import Figure, compared, report

GOAL = 1.3
SIDES: Mapping[str, tuple[str, ...]] = {
    "jobs: auto": ("jobs=auto", "train.threads=auto"),
    "one after the other, two threads": ("jobs=1", "train.threads=2"),
}
_TOLD = re.compile(r"all that is left ((?:\d+:)+\d+)(?: to ((?:\d+:)+\d+))?$", re.MULTILINE)


@dataclass(kw_only=True)
class Side:
    """What was seen of one side."""

    seconds: list[float] = field(default_factory=list)
    told: list[float] = field(default_factory=list)
    """Seconds that were foretold for the runs."""
    execution: dict[str, Any] = field(default_factory=dict)
    """What the last comparison has kept of its choice."""


def main() -> None:
    """Run both sides in turn and print their times and the ratio."""
    arguments = _parser().parse_args()
    sides = {name: Side() for name in SIDES}
    for _ in range(arguments.repetitions):
        for name, side in sides.items():
            with tempfile.TemporaryDirectory(prefix="benchmark-comparison-") as scratch:
                carry_out(Path(scratch), arguments, SIDES[name], side)
            print(f"{name}: {side.seconds[-1]:.1f} s, foretold {side.told[-1]:.0f} s", flush=True)
    auto, alone = sides.values()
    print(json.dumps(auto.execution))
    report(figures(auto, alone), arguments.json)


def figures(auto: Side, alone: Side) -> list[Figure]:
    """Return the medians of both sides, and of what was foretold."""
    took, would = statistics.median(auto.seconds), statistics.median(alone.seconds)
    told = statistics.median(auto.told)
    return [
        compared(
            "comparison with jobs: auto, s (peer: one after the other, two threads)",
            took,
            would,
            goal=GOAL,
            limit=None,
        ),
        compared("the same, foretold, s (peer: taken)", told, took, goal=None, limit=None),
    ]


def carry_out(
    scratch: Path, arguments: argparse.Namespace, settings: tuple[str, ...], side: Side
) -> None:
    """Carry out the reduced comparison once in a folder of its own and note what is seen.

    Raises:
        SystemExit: it failed.
    """
    design = scratch / "reduced.yaml"
    design.write_text(yaml.safe_dump(reduced(arguments)), encoding="utf-8")
    command = [sys.executable, str(ROOT / "compare.py"), "--cfg", str(design), *settings]
    if arguments.data is not None:
        command.append(f"data.path={arguments.data.resolve()}")
    command += [f"folder={scratch}", "name=x"]
    # A number of threads in the environment would be taken for the user's choice.
    environment = {key: text for key, text in os.environ.items() if key != "OMP_NUM_THREADS"}
    environment["FOCALDET_CACHE"] = str(scratch / "cache")
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    side.seconds.append(time.perf_counter() - began)
    if done.returncode:
        raise SystemExit(f"compare.py failed:\n{done.stderr[-2000:]}")
    side.told.append(foretold(done.stderr))
    side.execution = json.loads((scratch / "x" / "execution.json").read_text(encoding="utf-8"))


def reduced(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the design with two of its arms, few seeds and few epochs."""
    path = arguments.cfg.resolve()
    values: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    baseline = values["baseline"]
    others = [arm for arm in values["arms"] if arm != baseline]
    settings = values.get("settings", {})
    train = {**settings.get("train", {}), "epochs": arguments.epochs}
    return {
        **values,
        "experiment": str((path.parent / values["experiment"]).resolve()),
        "settings": {**settings, "train": train},
        "arms": {arm: values["arms"][arm] for arm in (baseline, others[-1])},
        "seeds": list(range(arguments.seeds)),
        "test": {**values.get("test", {}), "bootstrap": 200},
    }


def foretold(output: str) -> float:
    """Return the seconds that compare.py told for all its runs; the middle of a range."""
    found = _TOLD.search(output)
    if found is None:
        raise SystemExit("compare.py told no time before its first run")
    return statistics.mean(_seconds(text) for text in found.groups() if text)


def _seconds(text: str) -> float:
    total = 0
    for part in text.split(":"):
        total = 60 * total + int(part)
    return float(total)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    shipped = ROOT / "configs" / "compare" / "bccd_small.yaml"
    parser.add_argument("--cfg", type=Path, default=shipped, help="design that is reduced")
    parser.add_argument("--data", type=Path, help="folder of the data set, where not found")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--repetitions", type=int, default=3, help="of each side")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser


if __name__ == "__main__":
    main()
