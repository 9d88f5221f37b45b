"""Train a recipe with one part changed at a time, on several data sets and seeds; print the table.

    python scripts/ablation.py configs/ablation/recipe.yaml --out runs/ablation --jobs 2
    python scripts/ablation.py configs/ablation/recipe.yaml --scores docs/results/recipe.csv --table

The design has `sets` (an experiment, its settings and seeds, and `words` for numbers that differ
between sets) and `arms` (settings that change, `$word` for a number of the set; the first arm is
the reference). Finished runs are not repeated, interrupted ones are resumed. All arms of one seed
come before the next seed, so that an unfinished table covers every arm. Scores outlive the runs in
a file, from which another machine can go on.
"""

import argparse
import csv
import json
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from string import Template

import yaml

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Run:
    """One training run of the ablation."""

    data: str
    arm: str
    seed: int
    experiment: str
    settings: tuple[str, ...]

    def folder(self, out: Path) -> Path:
        """Return where its files are."""
        return out / self.data / re.sub(r"\W+", "-", self.arm).strip("-") / f"seed{self.seed}"

    @property
    def key(self) -> "Key":
        """Return what tells it from the other runs of a design."""
        return self.data, self.arm, self.seed

    def score(self, out: Path) -> float | None:
        """Return the best AP50-95 on the validation split, None before the run is finished."""
        try:
            results = json.loads((self.folder(out) / "results.json").read_text())
        except FileNotFoundError:
            return None
        return float(results["map50_95"])


Key = tuple[str, str, int]
"""Data set, arm and seed."""
COLUMNS = ("data", "arm", "seed", "map50_95")


class Scores:
    """Best AP50-95 of finished runs: those of the file and those that lie in the folder of runs."""

    def __init__(self, out: Path, file: Path | None) -> None:
        """Read the file, if it is there."""
        self._out, self._file = out, file
        self._known: dict[Key, float] = {}
        if file is not None and file.exists():
            with file.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    key = row["data"], row["arm"], int(row["seed"])
                    self._known[key] = float(row["map50_95"])

    def of(self, run: Run) -> float | None:
        """Return the score of a run, None before it is finished."""
        found = run.score(self._out)
        return self._known.get(run.key) if found is None else found

    def write(self, runs: Sequence[Run]) -> None:
        """Write those of `runs` that are finished to the file, in their order."""
        if self._file is None:
            return
        for run in runs:
            score = run.score(self._out)
            if score is not None:
                self._known[run.key] = score
        places = {run.key: place for place, run in enumerate(runs)}
        rows = sorted(self._known.items(), key=lambda item: places.get(item[0], len(places)))
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("w", newline="") as lines:
            writer = csv.writer(lines, lineterminator="\n")
            writer.writerow(COLUMNS)
            writer.writerows((*key, f"{score:.4f}") for key, score in rows)


def planned(design: dict[str, object], only: set[str]) -> list[Run]:
    """Return all runs of a design, seed by seed; `only` names the sets to keep, all if empty."""
    common, sets, arms = (design[key] for key in ("settings", "sets", "arms"))
    assert isinstance(common, list)
    assert isinstance(sets, dict)
    assert isinstance(arms, dict)
    seeds = sorted({seed for each in sets.values() for seed in each["seeds"]})
    return [
        Run(
            data=name,
            arm=arm,
            seed=seed,
            experiment=each["experiment"],
            settings=(
                *(*common, *each["settings"]),
                *(Template(change).substitute(each.get("words", {})) for change in changes),
                f"train.seed={seed}",
            ),
        )
        for seed in seeds
        for name, each in sets.items()
        if seed in each["seeds"] and (not only or name in only)
        for arm, changes in arms.items()
    ]


def command(run: Run, out: Path) -> list[str]:
    """Return the command that trains or resumes a run."""
    folder = run.folder(out)
    program = [sys.executable, "train.py"]
    if (folder / "last").is_dir():
        return [*program, "--resume", str(folder)]
    place = (f"run.folder={folder.parent}", f"run.name={folder.name}")
    return [*program, "--cfg", f"configs/{run.experiment}", *run.settings, *place]


def train(run: Run, out: Path) -> Run:
    """Train or resume a run, its output in a log beside its folder; return it.

    A run that fails is said, and the others go on.
    """
    log = run.folder(out).with_suffix(".log")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file:
        done = subprocess.run(command(run, out), cwd=ROOT, stderr=file, stdout=file, check=False)
    if done.returncode:
        print(f"failed: {log}", file=sys.stderr, flush=True)
    return run


def table(runs: list[Run], score: Callable[[Run], float | None]) -> Iterator[str]:
    """Return lines of a Markdown table: means over seeds, then differences of equal seeds.

    A difference is taken over the seeds that both the arm and the reference have finished.
    """
    sets = list(dict.fromkeys(run.data for run in runs))
    arms = list(dict.fromkeys(run.arm for run in runs))
    scores = {(run.data, run.arm, run.seed): score(run) for run in runs}
    yield f"| arm | {' | '.join(sets)} | mean over sets |"
    yield f"|---|{'---|' * (len(sets) + 1)}"
    for arm in arms:
        cells, differences = [], []
        for data in sets:
            pairs = [
                (value, scores[data, arms[0], seed])
                for (of, name, seed), value in scores.items()
                if of == data and name == arm
            ]
            both = [(a, b) for a, b in pairs if a is not None and b is not None]
            if not both:
                cells.append("-")
                continue
            mean = statistics.mean(a for a, _ in both)
            difference = statistics.mean(a - b for a, b in both)
            differences.append(difference)
            change = "" if arm == arms[0] else f" ({100 * difference:+.1f})"
            cells.append(f"{100 * mean:.1f}{change}, {len(both)} seeds")
        complete = len(differences) == len(sets)
        overall = f"{100 * statistics.mean(differences):+.1f}" if complete else "-"
        yield f"| {arm} | {' | '.join(cells)} | {'' if arm == arms[0] else overall} |"


def main() -> int:
    """Carry out what is left of a design, then print its table; 1 where runs failed, else 0."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("design", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"), help="folder of runs")
    parser.add_argument("--scores", type=Path, help="CSV of scores, read first and kept up to date")
    parser.add_argument("--sets", nargs="+", default=[], help="leave out all other data sets")
    parser.add_argument("--jobs", type=int, default=1, help="runs side by side (default: 1)")
    parser.add_argument("--table", action="store_true", help="train nothing, print the table")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    runs = planned(yaml.safe_load(arguments.design.read_text()), set(arguments.sets))
    scores = Scores(out, arguments.scores)
    left = [] if arguments.table else [run for run in runs if scores.of(run) is None]
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for number, run in enumerate(pool.map(lambda run: train(run, out), left), start=1):
            scores.write(runs)
            print(f"{number} of {len(left)}: {run.folder(out)}", flush=True)
    print(*table(runs, scores.of), sep="\n")
    return int(any(scores.of(run) is None for run in left))


if __name__ == "__main__":
    sys.exit(main())
