"""Train the same experiment with every loss of the family, one after the other; print a table.

    python scripts/train_losses.py --cfg configs/bccd.yaml data.path=... train.epochs=20

Runs that are finished are not repeated. One seed each: the table shows that every loss trains and
what it costs, not which is better; that is what compare.py is for.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]

ON_LOGITS = {
    "bce": "name: bce",
    "bce_alpha": "name: bce_alpha, alpha: 0.25",
    "focal, quality form": "name: focal, gamma: 1.5, alpha: null",
    "focal, exp form": "name: focal, gamma: 1.5, alpha: null, form: exp",
    "focal, linear form": "name: focal, gamma: 1.5, alpha: 0.25, form: linear",
    "focal_star": "name: focal_star, target: hard",
    "quality": "name: quality",
    "varifocal": "name: varifocal",
    "ghm": "name: ghm",
    "asymmetric": "name: asymmetric",
    "poly": "name: poly, epsilon: -1.0",
    "poly_focal": "name: poly_focal, epsilon: -0.5",
    "equalized_focal": "name: equalized_focal",
    "bce_blur": "name: bce_blur",
    "bce, ohem 3 to 1": "name: bce, ohem: {negatives_per_positive: 3.0}",
    "bce, per positive": "name: bce, normalizer: positives",
}
ON_CLASSES = {
    "softmax": "name: softmax",
    "softmax_focal": "name: softmax_focal",
    "seesaw": "name: seesaw",
    "focal_dice": "name: focal_dice",
    "softmax_focal_dice": "name: softmax_focal_dice",
    "bce, class_balance": "name: bce, class_balance: 0.999",
}
ON_BOXES = {
    name: f"name: {name}"
    for name in (
        "iou",
        "giou",
        "diou",
        "ciou",
        "eiou",
        "siou",
        "alpha_iou",
        "focal_eiou",
        "smooth_l1",
    )
}


@dataclass(frozen=True)
class Case:
    """One row of the table."""

    term: str
    name: str
    overrides: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of the run."""
        return f"{self.term} {self.name}".replace(",", "").replace(" ", "-")


def cases() -> Iterator[Case]:
    """Yield every loss; those on logits at the scale of cross-entropy."""
    for name, text in ON_LOGITS.items():
        loss = f"{{{text}, scale: matched}}"
        overrides = (f"loss.objectness={loss}", f"loss.classification={loss}")
        yield Case("objectness and classes", name, overrides)
    for name, text in ON_CLASSES.items():
        yield Case("classes", name, (f"loss.classification={{{text}, scale: matched}}",))
    for name, text in ON_BOXES.items():
        yield Case("boxes", name, (f"loss.box={{{text}}}",))


def main() -> int:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--cfg", required=True, help="experiment all losses are tried in")
    parser.add_argument("--runs", type=Path, default=Path("runs/losses"), help="folder of the runs")
    parser.add_argument("--only", default="", help="only cases whose folder name contains this")
    arguments, overrides = parser.parse_known_args()
    chosen = [case for case in cases() if arguments.only in case.folder]
    for case in chosen:
        if not (arguments.runs / case.folder / "results.json").exists():
            _train(case, arguments, overrides)
    sys.stdout.write(_table(chosen, arguments.runs) + "\n")
    return 0


def _train(case: Case, arguments: argparse.Namespace, overrides: list[str]) -> None:
    command = [sys.executable, "train.py", "--cfg", arguments.cfg]
    command += [f"run.folder={arguments.runs.resolve()}", f"run.name={case.folder}"]
    command += [*case.overrides, *overrides]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(f"{case.folder}: {done.stderr.strip().splitlines()[-1]}\n")


def _table(chosen: list[Case], runs: Path) -> str:
    lines = ["| term | loss | AP | AP50 | multiplier | s / step |", "|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(case, runs / case.folder) for case in chosen)])


def _row(case: Case, folder: Path) -> str:
    if not (folder / "results.json").exists():
        return f"| {case.term} | {case.name} | not finished | | | |"
    results = json.loads((folder / "results.json").read_text("utf-8"))
    scale = folder / "loss_scale.json"
    matches = json.loads(scale.read_text("utf-8")) if scale.exists() else {}
    multipliers = ", ".join(f"{match['after_warmup']:.3g}" for match in matches.values())
    return (
        f"| {case.term} | {case.name} | {results['map50_95']:.3f} | {results['map50']:.3f} "
        f"| {multipliers} | {_seconds_per_step(folder):.2f} |"
    )


def _seconds_per_step(folder: Path) -> float:
    """Return the median over epochs of the time that a batch took, loading included."""
    with (folder / "metrics.csv").open(newline="") as file:
        speeds = [float(row["images_per_second"]) for row in csv.DictReader(file)]
    config = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    return float(config["train"]["batch_size"] / statistics.median(speeds))


if __name__ == "__main__":
    sys.exit(main())
