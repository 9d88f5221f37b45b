"""Folds of a cross-validation as the statistics of seeds read them: one frame of images for all.

Every fold gets images of its own, the others' empty. Weights of images, which are drawn for all
folds together, then vary the folds independently, and `hierarchical_replicates` finds no noise that
folds have in common: the variance of their mean is what they differ by.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from utils.comparison.statistics.match_table import ClassTable, MatchTable


def fold_tables(
    tables: Mapping[str, Mapping[int, MatchTable]],
) -> dict[str, dict[int, MatchTable]]:
    """Return tables over the images of all folds; a fold has the same images in every arm.

    Args:
        tables: arm -> fold -> table over the images of that fold.
    """
    sizes = {
        fold: table.num_images for by_fold in tables.values() for fold, table in by_fold.items()
    }
    folds = sorted(sizes)
    starts = {fold: sum(sizes[other] for other in folds if other < fold) for fold in folds}
    total = sum(sizes.values())

    def moved(one: ClassTable, start: int) -> ClassTable:
        after = total - start - len(one.truths)
        return replace(one, image=one.image + start, truths=np.pad(one.truths, (start, after)))

    return {
        arm: {
            fold: MatchTable(
                num_images=total,
                classes=tuple(moved(one, starts[fold]) for one in table.classes),
            )
            for fold, table in by_fold.items()
        }
        for arm, by_fold in tables.items()
    }


def objects_of_classes(tables: Sequence[MatchTable], *, is_pooled: bool) -> list[int]:
    """Return the test objects of each class: of any table, of all where they are folds.

    A class that a fold lacks has no difference there; it gets 0, and is not compared.
    """
    counts = [[one.num_truths for one in table.classes] for table in tables]
    if not is_pooled:
        return counts[0]
    return [sum(own) if min(own) else 0 for own in zip(*counts, strict=True)]
