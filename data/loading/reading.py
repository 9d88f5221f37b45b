"""Image readers of training and evaluation, and the cache of decoded images they share."""

from collections.abc import Sequence

from configs.schema.train import TrainSettings
from data.images.cache import ImageCache, open_image_cache
from data.images.pixels import ShrinkingReader
from data.loading.samplers import image_size_range
from utils.structures.images import Record


def train_reader(train: TrainSettings, stride: int, cache: ImageCache | None) -> ShrinkingReader:
    """Return the reader of training images, shrunk to the largest image size of the training."""
    _, largest = image_size_range(train.image_size, stride, train.multi_scale)
    return ShrinkingReader(largest, exact=False, cache=cache)


def eval_reader(image_size: int, cache: ImageCache | None) -> ShrinkingReader:
    """Return the reader of evaluation images, with exactly the pixels of the letterbox."""
    return ShrinkingReader(image_size, exact=True, cache=cache)


def open_training_cache(
    train: TrainSettings,
    train_records: Sequence[Record],
    val_records: Sequence[Record],
    *,
    stride: int,
) -> ImageCache | None:
    """Return the cache of `train.cache`, with room for the images of both splits.

    None where it is off or, with `auto`, if not all images fit.
    """
    if train.cache == "off":  # keys need the time of change of every image
        return None
    wanted = train_reader(train, stride, None).wanted(train_records)
    wanted |= eval_reader(train.image_size, None).wanted(val_records)
    return open_image_cache(wanted, mode=train.cache, limit_gib=train.cache_limit)
