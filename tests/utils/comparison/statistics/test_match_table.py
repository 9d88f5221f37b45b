"""Tables of matches: the detections of each class, best first, as a plain selection finds them."""

import numpy as np
import pytest

from tests.utils.comparison.detection_problem import random_rows
from utils.comparison.statistics.match_table import best_of_each_class, match_table
from utils.metrics.rows import DetectionRows


@pytest.mark.parametrize("seed", range(5))
def test_each_class_has_its_own_detections_best_first(seed: int) -> None:
    truths, found = random_rows(images=12, classes=5, seed=seed)
    tied = DetectionRows(
        image_index=found.image_index,
        boxes=found.boxes,
        scores=np.round(found.scores, 1),  # of equal scores the first in the list comes first
        labels=np.where(found.labels == 3, 2, found.labels),  # a class without detections
    )
    table = match_table(truths, tied)
    ranked = best_of_each_class(tied.best_first())
    for label, one in enumerate(table.classes):
        rows = sorted(
            (row for row in range(len(ranked)) if ranked.labels[row] == label),
            key=lambda row: -ranked.scores[row],
        )
        assert one.image.tolist() == ranked.image_index[rows].tolist()
        assert one.scores.tolist() == ranked.scores[rows].tolist()
        assert one.hit.shape == one.neutral.shape == (10, len(rows))
    assert len(table.classes[3].image) == 0
    assert sum(len(one.image) for one in table.classes) == len(ranked)
