"""Classes that a federated data set (LVIS) does not label exhaustively in an image: neutral there.

For each image such a set lists classes that were checked and are absent (`neg_category_ids`) and
classes that are not exhaustively labelled (`not_exhaustive_category_ids`). Detections of any other
class are neither true nor false positives (Gupta et al., LVIS, CVPR 2019, section 3).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from data.formats.coco.boxes import to_id
from data.formats.rows import RawRow

NOT_EXHAUSTIVE = "class is not exhaustively labelled in this image: neutral there"
NOT_CHECKED = "class was not checked in this image: neutral there"
TOO_MANY = (
    "too many images and classes to make those neutral that were not checked "
    "(neg_category_ids): their detections count as false positives"
)
MOST_ROWS = 1_000_000
"""Rows that neutral classes may add to a split; LVIS as a whole would add 25 million."""


def states_checked(images: Iterable[Mapping[str, Any]]) -> bool:
    """Tell whether images list the classes that were checked and are absent."""
    return any(isinstance(image.get("neg_category_ids"), list) for image in images)


def neutral_rows(
    image: Mapping[str, Any],
    labels: Mapping[Any, int],
    own: Sequence[RawRow],
    size: tuple[int, int] | None,
    *,
    by_checks: bool,
) -> list[RawRow]:
    """Return neutral rows over the whole image, one for each class not labelled exhaustively.

    Args:
        image: entry of the annotation file.
        labels: class index by category id.
        own: the image's rows.
        size: (height, width) that boxes count in; None adds nothing.
        by_checks: also make classes neutral that were neither checked nor labelled.
    """
    if size is None:
        return []
    partial = _labels(image.get("not_exhaustive_category_ids"), labels)
    reasons = dict.fromkeys(sorted(partial), NOT_EXHAUSTIVE)
    absent = image.get("neg_category_ids")
    if by_checks and isinstance(absent, list):
        known = _labels(absent, labels) | {row.label for row in own if not row.fault}
        reasons |= dict.fromkeys(sorted(set(labels.values()) - known), NOT_CHECKED)
    box = (0.0, 0.0, float(size[1]), float(size[0]))
    return [
        RawRow("image", reason, label=label, box=box, ignore=True)
        for label, reason in reasons.items()
    ]


def _labels(stated: Any, labels: Mapping[Any, int]) -> set[int]:
    ids = map(to_id, stated) if isinstance(stated, list) else ()
    return {labels[key] for key in ids if key in labels}
