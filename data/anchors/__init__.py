"""Anchors and label statistics: match of anchors and boxes, fitting, counts."""

from data.anchors.fit import AnchorFit, fit_anchors
from data.anchors.matching import best_possible_recall
from data.anchors.report import AnchorReport, describe_anchors
from data.anchors.statistics import LabelStatistics, label_statistics, trained_sizes_wh

__all__ = [
    "AnchorFit",
    "AnchorReport",
    "LabelStatistics",
    "best_possible_recall",
    "describe_anchors",
    "fit_anchors",
    "label_statistics",
    "trained_sizes_wh",
]
