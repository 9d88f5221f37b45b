"""Two runs side by side: settings that differ, curves, and how sure the difference in AP is."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from commands.runs.run import ap_of, json_of, know, number, rows_of, run_table
from configs.origins import leaves
from configs.reading.yaml_reader import read_yaml
from utils.comparison.runs.stored_evaluation import JudgedSplit, judged_file, read_judged
from utils.comparison.statistics.intervals import percentile_interval
from utils.comparison.statistics.match_table import match_table
from utils.comparison.statistics.replication import (
    draw_weights,
    paired_replicates,
    replicate_run,
)
from utils.comparison.summary.class_differences import ClassDifference, class_differences
from utils.report.pages.run_comparison_page import RunComparisonPage, run_comparison_text
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_text
from utils.runtime.files.run_folder import RunFolder

KEPT = "best"
"""The split's name under which a training keeps what its best weights detect."""
NOT_COMPARED = (("run",), ("derived",), ("resolved",))
"""Settings that differ from run to run without meaning."""
REPLICATES = 2000
LEVEL = 0.95
FALSE_RATE = 0.05
ONE_SEED = (
    "The intervals cover the choice of validation images, not of seeds: two runs that differ by "
    "nothing but train.seed often differ as much. compare.py compares with several seeds."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """The second run minus the first on the same images, in points of 100."""

    delta: float
    low: float
    high: float
    images: int
    classes: tuple[ClassDifference, ...]


def compare_runs(
    first: RunFolder, second: RunFolder, *, as_json: bool = False, page: Path | None = None
) -> str:
    """Return what differs between two runs, as text or JSON; write it as a page, too, if asked to.

    Raises:
        UserError, ConfigError: a configuration cannot be read, or the page cannot be written.
    """
    runs = (know(first), know(second))
    settings = different_settings(first, second)
    try:
        difference, warning = paired_difference(first, second), ONE_SEED
    except UserError as error:
        difference, warning = None, f"No interval: {error}."
    classes = _classes(first, second)
    if page is not None:
        names = (runs[0].name, runs[1].name if runs[1].name != runs[0].name else str(second.path))
        content = RunComparisonPage(
            names=names,
            rows=[asdict(one) for one in runs],
            settings=settings,
            histories=[_history(one) for one in (first, second)],
            difference=None if difference is None else asdict(difference),
            classes=classes,
            warning=warning,
        )
        write_text(page, run_comparison_text(content))
    if as_json:
        content_json = {
            "runs": [asdict(one) for one in runs],
            "settings": settings,
            "classes": classes,
            "difference": None if difference is None else asdict(difference),
            "warning": warning,
        }
        return json.dumps(content_json, indent=1)
    lines = [run_table(runs, first.path), ""]
    lines.append("settings that differ:" if settings else "same settings")
    lines += [f"  {key}: {one} | {other}" for key, (one, other) in settings.items()]
    lines += ["", *_difference_lines(difference, classes), "", warning]
    return "\n".join(lines if page is None else [*lines, f"page: {page}"])


def _difference_lines(
    difference: PairedDifference | None, classes: Mapping[str, tuple[float, float]]
) -> Iterator[str]:
    if difference is None:
        if classes:
            yield "AP of each class:"
        yield from (f"  {name}: {a:.3f} | {b:.3f}" for name, (a, b) in classes.items())
        return
    yield (
        f"AP50-95, second minus first: {difference.delta:+.2f} points, {LEVEL:.0%} interval "
        f"{difference.low:+.2f} to {difference.high:+.2f} over {difference.images} images"
    )
    yield "AP of each class (* differs after Benjamini-Hochberg):"
    for one in difference.classes:
        a, b = classes.get(one.name, (float("nan"),) * 2)
        yield (
            f"  {one.name}: {a:.3f} | {b:.3f}  {one.delta:+.2f} ({one.low:+.2f} to "
            f"{one.high:+.2f}){' *' if one.is_discovery else ''}"
        )


def different_settings(first: RunFolder, second: RunFolder) -> dict[str, tuple[str, str]]:
    """Return the settings that differ, as JSON text; "-" where a run lacks one."""
    one, other = (dict(_settings(folder)) for folder in (first, second))
    return {
        key: (one.get(key, "-"), other.get(key, "-"))
        for key in {**one, **other}
        if one.get(key, "-") != other.get(key, "-")
    }


def paired_difference(first: RunFolder, second: RunFolder) -> PairedDifference:
    """Return the difference with intervals from a paired bootstrap over validation images.

    Raises:
        UserError: the runs were not evaluated on the same images and labels, or not alike.
    """
    one, other = (_kept(folder) for folder in (first, second))
    judges = [read_yaml(folder.config).values.get("eval", {}) for folder in (first, second)]
    if judges[0].get("judge") != judges[1].get("judge"):
        raise UserError("the runs differ in eval.judge")
    if one.class_names != other.class_names:
        raise UserError("the runs have other classes")
    columns = ("image_index", "boxes", "labels", "ignore")
    if one.truths.num_images != other.truths.num_images or not all(
        np.array_equal(getattr(one.truths, name), getattr(other.truths, name)) for name in columns
    ):
        raise UserError("the runs were evaluated on other images or labels")
    tables = [match_table(split.truths, split.detections) for split in (one, other)]
    weights = draw_weights(tables[0], REPLICATES, "auto")
    before, after = (replicate_run(table, weights) for table in tables)
    replicates = paired_replicates((after.mean[:, 0] - before.mean[:, 0])[None], weights)
    interval = percentile_interval(replicates, LEVEL)
    labels = one.truths.labels[~one.truths.ignore]
    counts = np.bincount(labels, minlength=len(one.class_names)).tolist()
    classes = class_differences(
        (after.by_class - before.by_class)[None],
        weights,
        names=one.class_names,
        train_objects=[None] * len(counts),
        test_objects=counts,
        level=LEVEL,
        rate=FALSE_RATE,
    )
    return PairedDifference(
        delta=replicates.estimate,
        low=interval.low,
        high=interval.high,
        images=one.truths.num_images,
        classes=tuple(classes),
    )


def _kept(folder: RunFolder) -> JudgedSplit:
    if not judged_file(folder.path, KEPT).is_file():
        raise UserError(
            f"{folder.path.name} keeps no detections (it is not finished, has no validation split, "
            "very many detections, or was trained by an older version)"
        )
    try:
        return read_judged(folder.path, KEPT)
    except UserError as error:
        raise UserError(f"the detections that {folder.path.name} keeps cannot be read") from error


def _classes(first: RunFolder, second: RunFolder) -> dict[str, tuple[float, float]]:
    one, other = (json_of(folder.results).get("per_class") or {} for folder in (first, second))
    pairs = {name: (ap_of(one[name]), ap_of(other[name])) for name in one if name in other}
    return {n: (a, b) for n, (a, b) in pairs.items() if a is not None and b is not None}


def _settings(folder: RunFolder) -> Iterator[tuple[str, str]]:
    values = read_yaml(folder.config).values
    for path in leaves(values):
        if not any(path[: len(group)] == group for group in NOT_COMPARED):
            value: Any = values
            for name in path:
                value = value[name]
            yield ".".join(path), json.dumps(value, default=str)


def _history(folder: RunFolder) -> list[dict[str, float | None]]:
    return [{key: number(cell) for key, cell in row.items()} for row in rows_of(folder.metrics)]
