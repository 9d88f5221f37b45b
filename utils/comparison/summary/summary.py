"""The content of comparison.json: every number of a comparison, computed from its run folders."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.schema.comparison import ComparisonSettings
from utils.comparison.runs.run_record import RunRecord
from utils.comparison.statistics.intervals import percentile_interval
from utils.comparison.statistics.match_table import MatchTable, match_table
from utils.comparison.statistics.power import planned_json
from utils.comparison.statistics.replication import (
    RunReplicates,
    Weights,
    draw_weights,
    paired_replicates,
    replicate_run,
)
from utils.comparison.summary.arm_result import (
    NAMES,
    ArmResult,
    detectable,
    difference,
    judge_arms,
    result_json,
)
from utils.comparison.summary.class_differences import class_differences, classes_json
from utils.comparison.summary.controls import Runs, cautions, controls, data_facts
from utils.comparison.summary.focal_grid import focal_grid
from utils.comparison.summary.folds import fold_tables, objects_of_classes
from utils.comparison.summary.plots import arm_plots
from utils.comparison.summary.run_numbers import METRICS, Numbers, run_numbers
from utils.comparison.summary.sentences import (
    caveats,
    headline,
    setting_text,
    verdict_sentence,
    would_change,
)
from utils.runtime.errors import UserError

logger = logging.getLogger(__name__)

_NO_RECALL = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evidence:
    settings: ComparisonSettings
    runs: Runs
    tables: Mapping[str, Mapping[int, MatchTable]]
    replicates: Mapping[str, Mapping[int, RunReplicates]]
    weights: Weights

    def shared_seeds(self, arm: str) -> list[int]:
        """Seeds with a run of the arm and of the baseline."""
        return [seed for seed in self.runs[arm] if seed in self.runs[self.settings.baseline]]


def summarise(
    settings: ComparisonSettings, runs: Runs, failures: Sequence[Mapping[str, str]]
) -> dict[str, Any]:
    """Return the content of comparison.json, except for the plan.

    Args:
        settings: of the comparison.
        runs: finished runs.
        failures: runs that failed: key, title, message.

    Raises:
        UserError: the baseline has no finished run, or no arm shares a seed with it.
    """
    evidence = _evidence(settings, runs)
    candidates = [arm for arm in settings.arms if arm != settings.baseline]
    compared = [arm for arm in candidates if runs.get(arm) and evidence.shared_seeds(arm)]
    if not compared:
        raise UserError("no arm has a finished run of a seed that the baseline has finished too")
    results = judge_arms(
        {arm: _differences(evidence, arm) for arm in compared},
        settings.test,
        baseline=_level(evidence, settings.baseline),
    )
    numbers = _numbers(runs, settings.baseline)
    reference = _first(runs[settings.baseline])
    grid = focal_grid(runs)
    return {
        "verdict": headline({arm: one.word for arm, one in results.items()}, settings.baseline),
        "setting": setting_text(reference),
        "unit": "points of 100 for AP, AR, recall, calibration errors and their differences",
        "baseline": settings.baseline,
        "test": settings.test.model_dump(mode="json"),
        "image_weights": evidence.weights.kind,
        "data": _data(evidence, reference),
        "planned": planned_json(settings),
        "arms": {
            arm: _arm(evidence, arm, results.get(arm), numbers)
            for arm in settings.arms
            if runs.get(arm)
        },
        "metrics": [
            {"key": m.key, "label": m.label, "better": m.better, "group": m.group} for m in METRICS
        ],
        "would_change": _changes(results.values(), settings)
        + caveats(reference.config, grid, [f["title"] for f in failures], folds=settings.folds),
        "failures": [dict(failure) for failure in failures],
        "focal_grid": grid,
        "cautions": cautions(runs),
        "controls": controls(runs),
    }


def _data(evidence: _Evidence, reference: RunRecord) -> dict[str, Any]:
    """Return the facts on the data; with folds the test images are those of all of them."""
    facts = data_facts(reference)
    if evidence.settings.folds is None:
        return facts
    tests = [run.test.truths for run in evidence.runs[evidence.settings.baseline].values()]
    return facts | {
        "test_images": sum(one.num_images for one in tests),
        "test_objects": sum(int((~one.ignore).sum()) for one in tests),
    }


def _changes(results: Iterable[ArmResult], settings: ComparisonSettings) -> list[str]:
    return [
        line
        for result in results
        for line in would_change(result, baseline=settings.baseline, test=settings.test)
    ]


def _evidence(settings: ComparisonSettings, runs: Runs) -> _Evidence:
    if not runs.get(settings.baseline):
        raise UserError(f"the baseline {settings.baseline} has no finished run")
    _require_same_images(runs, by_fold=settings.folds is not None)
    tables = {
        arm: {s: match_table(run.test.truths, run.test.detections) for s, run in by_seed.items()}
        for arm, by_seed in runs.items()
    }
    if settings.folds is not None:
        tables = fold_tables(tables)
    any_table = next(iter(tables[settings.baseline].values()))
    weights = draw_weights(any_table, settings.test.bootstrap, settings.test.weights)
    logger.info("bootstrap: %d replicates of every run", weights.replicates)
    replicates = {
        arm: {seed: replicate_run(table, weights) for seed, table in by_seed.items()}
        for arm, by_seed in tables.items()
    }
    return _Evidence(
        settings=settings, runs=runs, tables=tables, replicates=replicates, weights=weights
    )


def _require_same_images(runs: Runs, *, by_fold: bool) -> None:
    first: dict[int, RunRecord] = {}
    for run in (run for by_seed in runs.values() for run in by_seed.values()):
        other = first.setdefault(run.seed if by_fold else 0, run)
        same = np.array_equal(run.test.truths.boxes, other.test.truths.boxes)
        if len(run.test.paths) != len(other.test.paths) or not same:
            raise UserError(
                f"{run.folder} and {other.folder} were evaluated on different test splits; the "
                "data changed in between: start the comparison in a new folder (name=...)"
            )


def _differences(evidence: _Evidence, arm: str) -> dict[str, Any]:
    baseline = evidence.replicates[evidence.settings.baseline]
    return {
        name: difference(
            evidence.replicates[arm],
            baseline,
            evidence.shared_seeds(arm),
            column,
            evidence.weights,
            evidence.settings.test,
        )
        for column, name in enumerate(NAMES)
    }


def _level(evidence: _Evidence, arm: str) -> float:
    """Return the mean mAP50-95 of an arm over its seeds, points."""
    return float(np.mean([one.mean[0, 0] for one in evidence.replicates[arm].values()]))


def _numbers(runs: Runs, baseline: str) -> dict[str, dict[int, Numbers]]:
    recall = _matched_recall(runs[baseline])
    return {
        arm: {seed: run_numbers(run, matched_recall=recall) for seed, run in by_seed.items()}
        for arm, by_seed in runs.items()
    }


def _matched_recall(baseline: Mapping[int, RunRecord]) -> float:
    """The recall at which false alarms are counted: the baseline's own at its best F1."""
    points = [run.test.result["operating_points"]["best_f1"] for run in baseline.values()]
    return float(np.mean([point["recall"] for point in points])) or _NO_RECALL


def _sentence(evidence: _Evidence, result: ArmResult) -> str:
    return verdict_sentence(
        result,
        baseline=evidence.settings.baseline,
        run=_first(evidence.runs[result.name]),
        test=evidence.settings.test,
        images=evidence.weights.columns.shape[0],
        pairs="seed" if evidence.settings.folds is None else "fold",
    )


def _arm(
    evidence: _Evidence,
    arm: str,
    result: ArmResult | None,
    numbers: Mapping[str, Mapping[int, Numbers]],
) -> dict[str, Any]:
    runs, test = evidence.runs[arm], evidence.settings.test
    own = paired_replicates(
        np.array([one.mean[:, 0] for one in evidence.replicates[arm].values()]), evidence.weights
    )
    interval = percentile_interval(own, test.level)
    content: dict[str, Any] = {
        "verdict": "baseline",
        "sentence": None if result is None else _sentence(evidence, result),
        "seeds": list(runs),
        "map50_95": {
            "mean": own.estimate,
            "interval": [interval.low, interval.high],
            "by_seed": {str(seed): row["map50_95"] for seed, row in numbers[arm].items()},
        },
        "numbers": _spread(numbers[arm], numbers[evidence.settings.baseline]),
        "settings": evidence.settings.arms[arm],
        "plots": arm_plots(list(runs.values()), list(evidence.tables[arm].values())),
    }
    if result is not None:
        content |= result_json(result, test) | {
            "detectable": detectable(result, test, num_arms=len(evidence.settings.arms) - 1),
            "per_class": _classes(evidence, arm),
        }
    return content


def _spread(
    arm: Mapping[int, Numbers], baseline: Mapping[int, Numbers]
) -> dict[str, dict[str, float | None]]:
    """Return mean, standard deviation and mean paired difference of every number."""
    spread = {}
    for metric in METRICS:
        values = _known(arm, metric.key, list(arm))
        shared = [seed for seed in arm if seed in baseline]
        pairs = [
            (a, b)
            for seed in shared
            for a, b in [(arm[seed].get(metric.key), baseline[seed].get(metric.key))]
            if a is not None and b is not None
        ]
        spread[metric.key] = {
            "mean": float(np.mean(values)) if values else None,
            "sd": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "delta": float(np.mean([a - b for a, b in pairs])) if pairs else None,
        }
    return spread


def _known(arm: Mapping[int, Numbers], key: str, seeds: Sequence[int]) -> list[float]:
    values = [arm[seed].get(key) for seed in seeds]
    return [value for value in values if value is not None]


def _classes(evidence: _Evidence, arm: str) -> dict[str, Any]:
    seeds, run = evidence.shared_seeds(arm), _first(evidence.runs[arm])
    baseline = evidence.replicates[evidence.settings.baseline]
    deltas = np.array([evidence.replicates[arm][s].by_class - baseline[s].by_class for s in seeds])
    names = run.test.class_names
    return classes_json(
        class_differences(
            deltas,
            evidence.weights,
            names=names,
            train_objects=run.facts.get("train_objects") or [None] * len(names),
            test_objects=objects_of_classes(
                [evidence.tables[arm][seed] for seed in seeds],
                is_pooled=evidence.settings.folds is not None,
            ),
            level=evidence.settings.test.level,
            rate=evidence.settings.test.discovery_rate,
        )
    )


def _first(by_seed: Mapping[int, RunRecord]) -> RunRecord:
    return next(iter(by_seed.values()))
