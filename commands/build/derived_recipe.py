"""Derive the numbers of a recipe from data and processes, and log them."""

import logging

from configs.reading.derive import derive, length_of_run
from configs.reading.load import LoadedExperiment
from data.records.load import Split

logger = logging.getLogger(__name__)


def derive_recipe(
    loaded: LoadedExperiment, split: Split, *, processes: int = 1
) -> LoadedExperiment:
    """Return the experiment with all its numbers, and log each with its reason.

    Args:
        loaded: what is trained.
        split: its training images.
        processes: that train together.
    """
    num_images = max(len(split.records), 1)
    derived = derive(loaded, num_images=num_images, processes=processes)
    if derived.derived:
        logger.info("recipe, fitted to %d images:", num_images)
    for number in derived.derived:
        logger.info("  %s", number)
    length = length_of_run(
        derived.experiment,
        num_images=num_images,
        processes=processes,
        is_fitted="train.ema.decay" in derived.words,
    )
    for sentence in length:
        logger.info("%s", sentence)
    return derived
