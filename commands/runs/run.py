"""What is known of runs, read from their folders alone: no network is built, no torch imported."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from commands.runs.cli import RunsCommand
from configs.errors import ConfigError
from configs.origins import leaves
from configs.reading.yaml_reader import read_yaml
from utils.comparison.runs.run_locks import is_claimed
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import read_json_object
from utils.runtime.files.run_folder import RunFolder, open_run_folder

COLUMNS = ("name", "state", "data", "model", "AP", "AP50", "epochs", "started")
START = "0"
"""Epoch, in metrics.csv, of the evaluation before training."""
NOT_COMPARED = (("run",), ("derived",), ("resolved",))
"""Settings that differ from run to run without meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRun:
    """One run as a table shows it; what is not known is None."""

    name: str
    folder: str
    state: str
    """done, running, stopped (it can be resumed), failed (nothing to go on from) or unreadable."""
    data: str | None = None
    model: str | None = None
    map50_95: float | None = None
    map50: float | None = None
    epochs_done: int = 0
    epochs: int | None = None
    started: str | None = None


def answer(command: RunsCommand) -> str:
    """Return what list_runs.py prints.

    Raises:
        UserError: there is no such folder, or a run in it cannot be read.
    """
    if command.task == "list":
        found = list_runs(command.folder)
        if command.json:
            return json.dumps([asdict(one) for one in found], indent=1)
        return _table(found, command.folder)
    folders = [_folder_of(path, command.folder) for path in command.runs]
    if command.task == "show":
        return _shown(folders[0], as_json=command.json)
    return _compared(folders[0], folders[1], as_json=command.json)


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
    """Return what the files of a run say; a file that is damaged leaves its columns empty."""
    name, path = folder.path.name, str(folder.path)
    try:
        settings = read_yaml(folder.config).values
    except ConfigError:
        return KnownRun(name=name, folder=path, state="unreadable")
    results, rows = _json_of(folder.results), _rows(folder.metrics)
    numbers = results or _best(rows)
    train, model, data = (_group(settings, key) for key in ("train", "model", "data"))
    weights = model.get("weights")
    return KnownRun(
        name=name,
        folder=path,
        state=_state(folder, is_done=bool(results)),
        data=Path(str(data["path"])).name if "path" in data else None,
        model=_stem(model.get("graph")) + (f" < {_stem(weights)}" if weights else ""),
        map50_95=_number(numbers.get("map50_95")),
        map50=_number(numbers.get("map50")),
        epochs_done=sum(row.get("epoch") != START for row in rows),
        epochs=train["epochs"] if isinstance(train.get("epochs"), int) else None,
        started=_json_of(folder.environment).get("started"),
    )


def _state(folder: RunFolder, *, is_done: bool) -> str:
    if is_claimed(folder.path / ".claims", "training"):
        return "running"
    if is_done:
        return "done"
    return "stopped" if folder.last.is_dir() else "failed"


def _table(found: Sequence[KnownRun], folder: Path) -> str:
    if not found:
        return f"no runs in {folder}"
    rows = [COLUMNS, *(_row(one) for one in found)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(one: KnownRun) -> tuple[str, ...]:
    ap, ap50 = (("-" if v is None else f"{v:.3f}") for v in (one.map50_95, one.map50))
    epochs = f"{one.epochs_done}/{one.epochs if one.epochs is not None else '?'}"
    started = (one.started or "-")[:16].replace("T", " ")
    return (one.name, one.state, one.data or "-", one.model or "-", ap, ap50, epochs, started)


def _shown(folder: RunFolder, *, as_json: bool) -> str:
    one = know(folder)
    environment = _json_of(folder.environment)
    files = sorted(path.name for path in folder.path.iterdir() if not path.name.startswith("."))
    if as_json:
        return json.dumps({**asdict(one), "environment": environment, "files": files}, indent=1)
    command = " ".join(map(str, environment.get("command", ["-"])))
    lines = [f"{name}: {value}" for name, value in zip(COLUMNS, _row(one), strict=True)]
    lines += [f"commit: {environment.get('git') or '-'}", f"command: {command}"]
    lines += [f"files in {folder.path}: {', '.join(files)}"]
    if one.state == "stopped":
        lines.append(f"go on with: train.py --resume {folder.path}")
    return "\n".join(lines)


def _compared(first: RunFolder, second: RunFolder, *, as_json: bool) -> str:
    runs = (know(first), know(second))
    settings = [dict(_settings(folder)) for folder in (first, second)]
    keys = [key for key in {**settings[0], **settings[1]}]
    different = {
        key: (settings[0].get(key, "-"), settings[1].get(key, "-"))
        for key in keys
        if settings[0].get(key, "-") != settings[1].get(key, "-")
    }
    classes = _classes(first, second)
    if as_json:
        content = {"runs": [asdict(one) for one in runs], "settings": different, "classes": classes}
        return json.dumps(content, indent=1)
    lines = [
        _table(runs, first.path),
        "",
        "settings that differ:" if different else "same settings",
    ]
    lines += [f"  {key}: {a} | {b}" for key, (a, b) in different.items()]
    if classes:
        lines += ["", "AP of each class:"]
        lines += [f"  {name}: {a:.3f} | {b:.3f}" for name, (a, b) in classes.items()]
    lines += ["", "One run each says nothing of seeds; compare.py compares with several."]
    return "\n".join(lines)


def _classes(first: RunFolder, second: RunFolder) -> dict[str, tuple[float, float]]:
    one, other = (_json_of(folder.results).get("per_class", {}) for folder in (first, second))
    pairs = {name: (_ap(one[name]), _ap(other[name])) for name in one if name in other}
    return {n: (a, b) for n, (a, b) in pairs.items() if a is not None and b is not None}


def _ap(numbers: Any) -> float | None:
    return _number(numbers.get("ap")) if isinstance(numbers, Mapping) else None


def _settings(folder: RunFolder) -> Iterator[tuple[str, str]]:
    values = read_yaml(folder.config).values
    for path in leaves(values):
        if not any(path[: len(group)] == group for group in NOT_COMPARED):
            value: Any = values
            for name in path:
                value = value[name]
            yield ".".join(path), json.dumps(value, default=str)


def _folder_of(path: Path, runs: Path) -> RunFolder:
    inside = runs / path
    return open_run_folder(inside if inside.is_dir() and not path.is_dir() else path)


def _json_of(path: Path) -> dict[str, Any]:
    try:
        return read_json_object(path) if path.is_file() else {}
    except UserError:
        return {}


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return []


def _best(rows: Sequence[Mapping[str, str]]) -> Mapping[str, str]:
    evaluated = [row for row in rows if row.get("map50_95") and row.get("epoch") != START]
    return max(evaluated, key=lambda row: _number(row["map50_95"]) or 0.0, default={})


def _group(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    group = settings.get(key)
    return group if isinstance(group, Mapping) else {}


def _stem(value: object) -> str:
    return Path(str(value)).stem if value else "-"


def _number(value: object) -> float | None:
    try:
        return float(str(value)) if value not in (None, "") else None
    except ValueError:
        return None
