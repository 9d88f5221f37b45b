"""Collects the content of a comparison's page; the layout is in `utils/report`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.images.io import read_image
from utils.comparison.runs.run_record import RunRecord
from utils.metrics.rows import Floats, TruthRows
from utils.metrics.scored import scored_detections
from utils.report.drawing import (
    Picture,
    data_uri,
    draw_boxes,
    encode_jpeg,
    shrink_to,
    side_by_side,
)
from utils.report.pages.comparison_page import ComparisonPage, write_comparison_page
from utils.report.pages.page_template import Figure
from utils.runtime.errors import UserError

PICTURES = 6
PICTURE_SIDE = 420

Runs = Mapping[str, Mapping[int, RunRecord]]


def write_comparison_report(path: Path, title: str, content: Mapping[str, Any], runs: Runs) -> None:
    """Write report.html of a comparison.

    Args:
        path: the file.
        title: name of the comparison.
        content: of comparison.json.
        runs: arm -> seed -> run, for the pictures; images that are gone are left out.
    """
    figures = list(_figures(content["baseline"], runs))
    write_comparison_page(path, ComparisonPage(title=title, content=content, figures=figures))


def _figures(baseline: str, runs: Runs) -> Iterator[Figure]:
    """Yield the images where an arm and the baseline differ most, each arm in turn."""
    candidates = [arm for arm, by_seed in runs.items() if arm != baseline and by_seed]
    seeds = [s for s in runs[baseline] if all(s in runs[arm] for arm in candidates)]
    if not seeds or not candidates:
        return
    first = runs[baseline][seeds[0]]
    shown: set[int] = set()
    for number in range(PICTURES):
        arm = candidates[number % len(candidates)]
        other = runs[arm][seeds[0]]
        gain = _merit(other) - _merit(first)
        order = [int(image) for image in np.argsort(-np.abs(gain), kind="stable")]
        image = next((i for i in order if i not in shown and gain[i] != 0), None)
        if image is None:
            continue
        shown.add(image)
        picture = _picture(first, other, image)
        if picture is not None:
            name = Path(first.test.paths[image]).name
            yield Figure(
                source=data_uri(encode_jpeg(picture)),
                caption=f"{name}: truth, {baseline}, {arm}; {arm} has {gain[image]:+.0f} right "
                "minus wrong detections",
            )


def _threshold(run: RunRecord) -> float:
    return float(run.test.result["operating_points"]["best_f1"]["threshold"])


def _merit(run: RunRecord) -> Floats:
    """Return right minus wrong detections of each image, at the run's own best threshold."""
    found = scored_detections(run.test.truths, run.test.detections)
    kept = found.scores >= _threshold(run)
    sign = np.where(found.right[kept], 1.0, -1.0)
    total = np.bincount(found.image[kept], weights=sign, minlength=found.num_images)
    return np.asarray(total, np.float64)


def _picture(baseline: RunRecord, arm: RunRecord, image: int) -> Picture | None:
    """Return ground truth, baseline and arm side by side; None where the image cannot be read."""
    try:
        pixels = read_image(baseline.test.paths[image])
    except (UserError, OSError):
        return None
    pixels, scale = shrink_to(pixels, PICTURE_SIDE)
    names = baseline.test.class_names
    truths: TruthRows = baseline.test.truths
    mine = truths.image_index == image
    panels = [draw_boxes(pixels, _corners(truths.boxes[mine]) * scale, truths.labels[mine], names)]
    for run in (baseline, arm):
        rows = run.test.detections
        chosen = (rows.image_index == image) & (rows.scores >= _threshold(run))
        panels.append(
            draw_boxes(
                pixels,
                _corners(rows.boxes[chosen]) * np.float32(scale),
                rows.labels[chosen],
                names,
                rows.scores[chosen].astype(np.float32),
            )
        )
    return side_by_side(panels)


def _corners(boxes: Floats) -> Any:
    """Return xywh boxes (N, 4) as float32 xyxy."""
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1).astype(np.float32)
