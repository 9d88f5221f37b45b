"""What kinds of errors cost AP: TIDE's split (Bolya et al. 2020), computed by hotcoco."""

from collections.abc import Mapping
from dataclasses import dataclass

from utils.metrics.coco_ap import hotcoco_evaluation
from utils.metrics.rows import DetectionRows, TruthRows

KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")


@dataclass(frozen=True, slots=True)
class ErrorTypes:
    """delta_ap: AP50, in [0, 1], that would be won by mending each kind; counts: how many."""

    delta_ap: Mapping[str, float]
    counts: Mapping[str, int]


def error_types(truths: TruthRows, detections: DetectionRows) -> ErrorTypes:
    """Split errors into wrong class, wrong place, both, duplicates, background and misses.

    An IoU of 0.5 is right, one below 0.1 is background.
    """
    found = hotcoco_evaluation(truths, detections).tide_errors(pos_thr=0.5, bg_thr=0.1)
    return ErrorTypes(
        delta_ap={kind: float(found["delta_ap"][kind]) for kind in KINDS},
        counts={kind: int(found["counts"][kind]) for kind in KINDS},
    )
