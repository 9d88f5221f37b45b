"""Scored detections for tests: stated one by one, or of a random problem."""

import numpy as np

from tests.utils.comparison.detection_problem import random_rows
from utils.metrics.scored import ScoredDetections, scored_detections


def scored(
    rows: list[tuple[float, int, bool, float]], truths: list[int], images: int = 2
) -> ScoredDetections:
    """Make detections of (score, label, right, overlap)."""
    columns = list(zip(*sorted(rows, key=lambda row: -row[0]), strict=True)) or [[], [], [], []]
    return ScoredDetections(
        scores=np.array(columns[0], float),
        labels=np.array(columns[1], int),
        image=np.zeros(len(rows), int),
        right=np.array(columns[2], bool),
        overlap=np.array(columns[3], float),
        truths=np.array(truths),
        num_images=images,
    )


def random_scored(seed: int, classes: int = 3, crowd_share: float = 0.2) -> ScoredDetections:
    return scored_detections(
        *random_rows(images=12, classes=classes, crowd_share=crowd_share, seed=seed)
    )
