"""Summaries of runs, read from their folders: no network is built, no torch imported."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from commands.runs.cli import RunsCommand
from configs.errors import ConfigError
from configs.reading.yaml_reader import read_yaml
from utils.comparison.runs.run_locks import is_claimed
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import (
    FILES,
    GRAPH_NAME,
    RunFolder,
    data_name,
    named_run,
    open_run_folder,
)
from utils.runtime.program import command_line
from utils.runtime.progress import format_duration

COLUMNS = ("name", "state", "data", "model", "AP", "AP50", "epochs", "started", "tags")
START = "0"
"""Epoch, in metrics.csv, of the evaluation before training."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRun:
    """One run as a table shows it; what is not known is None."""

    name: str
    folder: str
    state: str
    """done, running, stopped (it can be resumed), failed (nothing to resume from) or unreadable."""
    data: str | None = None
    model: str | None = None
    map50_95: float | None = None
    map50: float | None = None
    epochs_done: int = 0
    epochs: int | None = None
    started: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None


def answer(command: RunsCommand) -> str:
    """Return what list_runs.py prints.

    Raises:
        UserError: there is no such folder, or a run in it cannot be read.
    """
    if command.task == "list":
        found = list_runs(command.folder)
        if command.json:
            return json.dumps([asdict(one) for one in found], indent=1)
        return run_table(found, command.folder)
    folders = [open_run_folder(named_run(path, command.folder).path) for path in command.runs]
    if command.task == "show":
        return _shown(folders[0], as_json=command.json)
    from commands.runs.compare import compare_runs

    return compare_runs(folders[0], folders[1], as_json=command.json, page=command.page)


def list_runs(folder: Path) -> list[KnownRun]:
    """Return the runs in a folder, the latest last.

    Raises:
        UserError: there is no such folder.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; --folder says where the runs are")
    places = [place.parent for place in folder.glob("*/config.yaml")]
    found = [know(RunFolder(place)) for place in places]
    return sorted(found, key=lambda one: (one.started or "", one.name))


def know(folder: RunFolder) -> KnownRun:
    """Return the summary of a run; a damaged file leaves its columns empty."""
    name, path = folder.path.name, str(folder.path)
    try:
        settings = read_yaml(folder.config).values
    except ConfigError:
        return KnownRun(name=name, folder=path, state="unreadable")
    results, rows = json_of(folder.results), rows_of(folder.metrics)
    numbers = results or _best(rows)
    done = sum(row.get("epoch") != START for row in rows)
    train, model, data = (_group(settings, key) for key in ("train", "model", "data"))
    weights, own = model.get("weights"), _group(settings, "run")
    tags = own.get("tags") or ()
    wanted = train["epochs"] if isinstance(train.get("epochs"), int) else None
    is_unvalidated = "val" in data and data["val"] is None  # such a run has no results
    return KnownRun(
        name=name,
        folder=path,
        state=_state(folder, is_done=bool(results) or (is_unvalidated and done == wanted)),
        data=data_name(str(data["path"])) if "path" in data else None,
        model=_network(model) + (f" < {_stem(weights)}" if weights else ""),
        map50_95=number(numbers.get("map50_95")),
        map50=number(numbers.get("map50")),
        epochs_done=done,
        # A run that went on with fewer epochs than it has is as long as it is.
        epochs=None if wanted is None else max(wanted, done),
        started=json_of(folder.environment).get("started"),
        tags=tuple(map(str, tags)) if isinstance(tags, list) else (),
        notes=str(own["notes"]) if own.get("notes") else None,
    )


def _network(model: Mapping[str, Any]) -> str:
    """Return what the network is called; runs of old knew only that its graph is beside them."""
    name = model.get("name") or _stem(model.get("graph"))
    return "-" if name == _stem(GRAPH_NAME) else str(name)


def _state(folder: RunFolder, *, is_done: bool) -> str:
    if is_claimed(folder.path / ".claims", "training"):
        return "running"
    if is_done:
        return "done"
    return "stopped" if folder.last.is_dir() else "failed"


def run_table(found: Sequence[KnownRun], folder: Path) -> str:
    """Return a line per run under a headline; `folder` is named where there is none."""
    if not found:
        return f"no runs in {folder}"
    rows = [COLUMNS, *(_row(one) for one in found)]
    if not any(one.tags for one in found):
        rows = [row[:-1] for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(one: KnownRun) -> tuple[str, ...]:
    ap, ap50 = (("-" if v is None else f"{v:.3f}") for v in (one.map50_95, one.map50))
    epochs = f"{one.epochs_done}/{one.epochs if one.epochs is not None else '?'}"
    started = (one.started or "-")[:16].replace("T", " ")
    tags = ", ".join(one.tags)
    return (one.name, one.state, one.data or "-", one.model or "-", ap, ap50, epochs, started, tags)


def _shown(folder: RunFolder, *, as_json: bool) -> str:
    one = know(folder)
    environment, results = json_of(folder.environment), json_of(folder.results)
    files = sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    seconds = sum(number(row.get("seconds")) or 0.0 for row in rows_of(folder.metrics))
    if as_json:
        more = {"training_seconds": seconds, "environment": environment, "files": files}
        return json.dumps({**asdict(one), **more, "per_class": results.get("per_class")}, indent=1)
    lines = [f"{name}: {value}" for name, value in zip(COLUMNS, _row(one), strict=True) if value]
    lines += [f"notes: {one.notes}"] if one.notes else []
    lines += [
        f"best epoch: {results.get('best_epoch') or '-'}",
        f"trained for: {format_duration(seconds)}",
        *_circumstances(environment),
        f"settings: {folder.config}",
        *_class_lines(results),
        f"files in {folder.path}:",
    ]
    lines += [f"  {name}{': ' + FILES[name] if name in FILES else ''}" for name in files]
    if folder.report.is_file():
        lines.append(f"page: {folder.report.resolve().as_uri()}")
    if one.state == "stopped":
        lines.append(f"go on with: train.py --resume {folder.path}")
    return "\n".join(lines)


def _circumstances(environment: Mapping[str, Any]) -> list[str]:
    device = ", ".join(environment.get("gpus") or ()) or environment.get("cpu") or "-"
    command = command_line([str(word) for word in environment.get("command") or ["-"]])
    commit = environment.get("git") or "-"
    return [f"device: {device}", f"commit: {commit}", f"command: {command}"]


def _class_lines(results: Mapping[str, Any]) -> list[str]:
    classes = {name: ap_of(own) for name, own in (results.get("per_class") or {}).items()}
    if not classes:
        return []
    width = max(map(len, classes))
    rows = [
        f"  {name.ljust(width)}  {'-' if ap is None else f'{ap:.3f}'}"
        for name, ap in classes.items()
    ]
    return ["AP of each class:", *rows]


def json_of(path: Path) -> dict[str, Any]:
    """Return a JSON object; empty where the file is missing or damaged."""
    try:
        return read_json_object(path) if path.is_file() else {}
    except UserError:
        return {}


def rows_of(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table; none where the file is missing or damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def _best(rows: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    evaluated = [row for row in rows if row.get("map50_95") and row.get("epoch") != START]
    return max(evaluated, key=lambda row: number(row["map50_95"]) or 0.0, default={})


def ap_of(numbers: Any) -> float | None:
    """Return AP of a class in results.json, None where there is none."""
    return number(numbers.get("ap")) if isinstance(numbers, Mapping) else None


def _group(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    group = settings.get(key)
    return group if isinstance(group, Mapping) else {}


def _stem(value: object) -> str:
    return Path(str(value)).stem if value else "-"


def number(value: object) -> float | None:
    """Return what a cell or a JSON value holds, None where that is no number."""
    try:
        return float(str(value)) if value not in (None, "") else None
    except ValueError:
        return None
