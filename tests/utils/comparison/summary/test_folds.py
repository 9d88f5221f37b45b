"""Folds in the statistics of seeds: the same numbers as by hand, and no noise in common."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from commands.compare.run import report
from tests.utils.comparison.detection_problem import random_detections, random_truths
from tests.utils.comparison.stored_runs import eval_result, write_comparison
from utils.comparison.runs.stored_evaluation import JudgedSplit, read_judged, write_judged
from utils.comparison.statistics.bootstrap import hierarchical_replicates, seed_shares
from utils.comparison.statistics.match_table import match_table
from utils.comparison.statistics.replication import draw_weights, replicate_run
from utils.comparison.summary.folds import fold_tables, objects_of_classes
from utils.metrics.coco_ap import JUDGES
from utils.runtime.errors import UserError

pytestmark = pytest.mark.slow


FOLDS = 6
QUALITIES = {"bce": 0.5, "much": 0.9}


def write_folds(folder: Path) -> Path:
    test = {"weights": "counts"}  # whole weights: recalls at a grid point are compared exactly
    write_comparison(folder, qualities=QUALITIES, seeds=range(FOLDS), test=test)
    for fold in range(FOLDS):
        truths = random_truths(np.random.default_rng(fold), images=12 + fold, classes=3)
        for arm, quality in QUALITIES.items():
            place = folder / "runs" / arm / f"seed{fold}"
            found = random_detections(
                np.random.default_rng((fold, 1)), truths, quality=quality, decimals=4
            )
            before = read_judged(place, "test")
            judged = replace(
                before,
                truths=truths,
                detections=found,
                paths=tuple(f"{fold}-{k}.jpg" for k in range(truths.num_images)),
                result=eval_result(truths, found),
            )
            assert isinstance(judged, JudgedSplit)
            write_judged(place, "test", judged)
    design = json.loads((folder / "design.json").read_text())
    design["settings"] |= {"folds": FOLDS, "seeds": list(range(FOLDS))}
    (folder / "design.json").write_text(json.dumps(design))
    return folder


def test_a_comparison_of_folds_is_paired_by_fold(tmp_path: Path) -> None:
    folder = write_folds(tmp_path / "cmp")
    content = report(folder)
    arm = content["arms"]["much"]
    for fold in range(FOLDS):
        points = []
        for name in ("much", "bce"):
            split = read_judged(folder / "runs" / name / f"seed{fold}", "test")
            points.append(
                100 * float(JUDGES["pycocotools"](split.truths, split.detections).stats[0])
            )
        assert arm["deltas"][str(fold)] == pytest.approx(points[0] - points[1], abs=1e-7)
    assert arm["delta"] == pytest.approx(np.mean(list(arm["deltas"].values())))
    assert arm["p_uncorrected"] == pytest.approx(2 / 2**FOLDS)
    assert content["data"]["test_images"] == sum(12 + fold for fold in range(FOLDS))
    assert f"{sum(12 + fold for fold in range(FOLDS))} test images, 6 folds." in arm["sentence"]
    assert any("the interval is optimistic" in line for line in content["would_change"])
    spread = np.std(list(arm["deltas"].values()), ddof=1) / FOLDS**0.5
    assert arm["standard_error"] >= 0.9 * spread
    json.dumps(content, allow_nan=False)


def test_without_folds_other_images_are_refused(tmp_path: Path) -> None:
    folder = write_folds(tmp_path / "cmp")
    design = json.loads((folder / "design.json").read_text())
    design["settings"]["folds"] = None
    (folder / "design.json").write_text(json.dumps(design))
    with pytest.raises(UserError, match="different test splits"):
        report(folder)


def test_pooled_tables_give_the_same_ap_and_independent_noise() -> None:
    rng = np.random.default_rng(3)
    tables = {}
    for fold in range(5):
        truths = random_truths(rng, images=40, classes=2)
        tables[fold] = match_table(truths, random_detections(rng, truths, quality=0.6, decimals=4))
    pooled = fold_tables({"a": tables})["a"]
    assert {table.num_images for table in pooled.values()} == {200}
    weights = draw_weights(pooled[0], 400, "dirichlet")
    replicates = {fold: replicate_run(table, weights) for fold, table in pooled.items()}
    for fold, table in tables.items():
        own = replicate_run(table, draw_weights(table, 10, "dirichlet"))
        assert np.allclose(replicates[fold].mean[0], own.mean[0])
    drawn = np.array([one.mean[1:401, 0] for one in replicates.values()])
    correlation = np.corrcoef(drawn)
    assert np.abs(correlation - np.eye(5)).max() < 0.25
    deltas = drawn[:, 0]
    found = hierarchical_replicates(deltas, drawn, seed_shares(5, 400, seed=0))
    single = drawn.var(axis=1).mean()
    assert found.image_variance == pytest.approx(single / 5, rel=0.35)
    spread = deltas.var(ddof=1) / 5
    assert found.seed_variance + found.image_variance == pytest.approx(
        max(spread, single / 5), rel=0.35
    )


def test_classes_that_a_fold_lacks_are_not_compared() -> None:
    rng = np.random.default_rng(0)
    first, second = (random_truths(rng, images=9, classes=2) for _ in range(2))
    keep = second.labels == 0
    columns = ("image_index", "boxes", "labels", "ignore", "area")
    second = replace(second, **{name: getattr(second, name)[keep] for name in columns})
    tables = [
        match_table(t, random_detections(rng, t, quality=0.5, decimals=4)) for t in (first, second)
    ]
    counts = [[one.num_truths for one in table.classes] for table in tables]
    assert objects_of_classes(tables, is_pooled=True) == [counts[0][0] + counts[1][0], 0]
    assert objects_of_classes(tables, is_pooled=False) == counts[0]
