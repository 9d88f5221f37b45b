"""Report on the match of anchors and data: boxes that match no anchor are not learnt."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.anchors.matching import SizeArray, matches
from data.anchors.statistics import trained_labels, trained_sizes_wh
from utils.structures.images import Record

SIZE_LIMITS_PX = {"small": (0.0, 32.0), "medium": (32.0, 96.0), "large": (96.0, np.inf)}
"""COCO's size ranges: limits of the square root of the area, here at network scale."""

MAX_CLASS_ROWS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFit:
    """Match of anchors and one group of boxes.

    best_possible_recall: share of boxes with an anchor, 0 to 1; anchors_per_box: matching anchors
    of a box, on average. Both None where there are no boxes.
    """

    num_boxes: int
    best_possible_recall: float | None
    anchors_per_box: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AnchorReport:
    """Match of anchors and all boxes, by class and by size; ignored boxes do not count."""

    image_size: int
    overall: GroupFit
    per_class: dict[str, GroupFit]
    by_size: dict[str, GroupFit]

    @property
    def lines(self) -> tuple[str, ...]:
        """What to print: a sentence, then a row for each size and class, worst classes first."""
        fit = self.overall
        if fit.best_possible_recall is None:
            return ("anchors: there are no boxes to compare them with",)
        summary = (
            f"anchors: best possible recall {fit.best_possible_recall:.2%} of {fit.num_boxes} "
            f"boxes at {self.image_size} px; "
            f"on average {fit.anchors_per_box:.2f} anchors match each box"
        )
        classes = [(name, group) for name, group in self.per_class.items() if group.num_boxes]
        classes.sort(key=lambda row: row[1].best_possible_recall or 0.0)
        rows = [_row(name, group) for name, group in self.by_size.items() if group.num_boxes]
        rows += [_row(name, group) for name, group in classes[:MAX_CLASS_ROWS]]
        if len(classes) > MAX_CLASS_ROWS:
            rows.append(f"  ... and {len(classes) - MAX_CLASS_ROWS} classes with no lower recall")
        return (summary, *rows)

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


def _row(name: str, group: GroupFit) -> str:
    return (
        f"  {name:<20} {group.num_boxes:>8} boxes  recall {group.best_possible_recall:>8.2%}"
        f"  anchors {group.anchors_per_box:>5.2f}"
    )


def describe_anchors(
    records: Sequence[Record],
    class_names: Sequence[str],
    anchors: SizeArray,
    *,
    image_size: int,
    max_ratio: float,
) -> AnchorReport:
    """Compare anchors with the boxes of the data.

    Args:
        records: training images; their boxes are scaled as the letterbox scales them.
        class_names: names in order of class index.
        anchors: (L, A, 2) width and height in pixels at `image_size`.
        image_size: side of the square network input, pixels.
        max_ratio: greater than 1; the assigner's limit on the ratio of sides.
    """
    sizes_wh = trained_sizes_wh(records, image_size)
    labels = trained_labels(records)
    num_matches = matches(sizes_wh, anchors, max_ratio).sum(axis=1)
    side = np.sqrt(sizes_wh.prod(axis=1))
    return AnchorReport(
        image_size=image_size,
        overall=_fit_of(num_matches),
        per_class={
            name: _fit_of(num_matches[labels == index]) for index, name in enumerate(class_names)
        },
        by_size={
            name: _fit_of(num_matches[(side >= low) & (side < high)])
            for name, (low, high) in SIZE_LIMITS_PX.items()
        },
    )


def _fit_of(num_matches: npt.NDArray[np.int64]) -> GroupFit:
    if len(num_matches) == 0:
        return GroupFit(num_boxes=0, best_possible_recall=None, anchors_per_box=None)
    return GroupFit(
        num_boxes=len(num_matches),
        best_possible_recall=float((num_matches > 0).mean()),
        anchors_per_box=float(num_matches.mean()),
    )
