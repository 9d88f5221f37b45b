"""A finished run as read for the analysis: detections, settings, cost."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from configs.reading.yaml_reader import read_yaml
from utils.comparison.runs.stored_evaluation import JudgedSplit, read_judged
from utils.runtime.files.json_file import read_json_object

FACTS = "facts.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """Everything that is read from a run's folder."""

    arm: str
    seed: int
    folder: Path
    val: JudgedSplit
    test: JudgedSplit
    config: Mapping[str, Any]
    """Resolved configuration."""
    network: str
    """Name of the graph, which the configuration keeps under another name."""
    history: tuple[Mapping[str, float | None], ...]
    """Rows of metrics.csv."""
    results: Mapping[str, Any]
    """results.json of the training."""
    facts: Mapping[str, Any]
    """Facts on the data from the evaluation: class counts of the training split, fingerprints."""
    scale: Mapping[str, Any]
    """Multipliers of losses of matched scale; empty where none is."""
    pairing: Mapping[str, Any]
    """Hashes of initial weights and first batches."""
    environment: Mapping[str, Any]
    budget: Mapping[str, Any]
    """budget.json: where loss and gradient came from; empty where it was not measured."""
    budget_rows: tuple[Mapping[str, float | None], ...]
    """Rows of budget.csv, one an epoch; empty likewise."""


def read_run(arm: str, seed: int, folder: Path, *, network: str) -> RunRecord:
    """Read a finished run; `network` is the name of its graph.

    Raises:
        UserError: its evaluated files cannot be read.
    """
    return RunRecord(
        arm=arm,
        seed=seed,
        folder=folder,
        val=read_judged(folder, "val"),
        test=read_judged(folder, "test"),
        network=network,
        config=read_yaml(folder / "config.yaml").values,
        history=tuple(_rows(folder / "metrics.csv")),
        results=_json(folder / "results.json"),
        facts=_json(folder / "judged" / FACTS),
        scale=_json(folder / "loss_scale.json"),
        pairing=_json(folder / "pairing.json"),
        environment=_json(folder / "environment.json"),
        budget=_json(folder / "budget.json"),
        budget_rows=tuple(_rows(folder / "budget.csv")),
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    return read_json_object(path)


def _rows(path: Path) -> list[dict[str, float | None]]:
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {key: float(text) if text else None for key, text in row.items()}
            for row in csv.DictReader(file)
        ]
