from dataclasses import replace

import numpy as np
import pytest
import torch

from data.loading.dataset import collate
from utils.structures.images import ImageMeta, Sample


def sample(image_id: int, ignore: list[bool], side: int = 8) -> Sample:
    n = len(ignore)
    rng = np.random.default_rng(image_id)
    return Sample(
        image=rng.integers(0, 256, (side, side + 2, 3), dtype=np.uint8),
        boxes=rng.random((n, 4), dtype=np.float32),
        labels=10 * image_id + np.arange(n),
        ignore=np.array(ignore, np.bool_),
        meta=ImageMeta(
            path=f"{image_id}",
            image_id=image_id,
            original_size=(1, 1),
            scale=(1.0, 1.0),
            pad=(0, 0),
        ),
    )


def test_targets_point_at_their_images_and_leave_ignored_out() -> None:
    samples = [sample(0, [False, True]), sample(1, []), sample(2, [True]), sample(3, [False] * 2)]
    batch = collate(samples)
    assert batch.targets.labels.tolist() == [0, 30, 31]
    assert batch.targets.image_index.tolist() == [0, 3, 3]
    want = np.concatenate((samples[0].boxes[:1], samples[3].boxes))
    assert np.array_equal(batch.targets.boxes, want)
    assert [meta.image_id for meta in batch.metas] == [0, 1, 2, 3]


def test_images_are_channels_last_views() -> None:
    samples = [sample(index, []) for index in range(3)]
    images = collate(samples).images
    assert images.shape == (3, 3, 8, 10)
    assert images.is_contiguous(memory_format=torch.channels_last)
    for index, one in enumerate(samples):
        assert np.array_equal(images[index].permute(1, 2, 0), one.image)


def rows_of_one_array(count: int) -> tuple[np.ndarray, list[Sample]]:
    """Return (B, 8, 10, 3) of different pixels and samples whose images are its rows."""
    samples = [sample(index, []) for index in range(count)]
    whole = np.stack([each.image for each in samples])
    return whole, [replace(each, image=image) for each, image in zip(samples, whole, strict=True)]


def test_rows_of_one_array_are_not_copied() -> None:
    whole, samples = rows_of_one_array(3)
    images = collate(samples).images
    assert images.data_ptr() == whole.__array_interface__["data"][0]
    assert np.array_equal(images.permute(0, 2, 3, 1), whole)


@pytest.mark.parametrize("order", [[1, 0, 2], [0, 1], [1, 2], [0, 0, 2], [2]])
def test_other_rows_are_stacked(order: list[int]) -> None:
    whole, samples = rows_of_one_array(3)
    images = collate([samples[place] for place in order]).images
    assert np.array_equal(images.permute(0, 2, 3, 1), whole[order])
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_views_of_other_shape_are_stacked() -> None:
    """Rows of a larger array cut in half, and a mirrored one."""
    whole, samples = rows_of_one_array(2)
    mirrored = [replace(each, image=each.image[:, ::-1]) for each in samples]
    assert np.array_equal(collate(mirrored).images.permute(0, 2, 3, 1), whole[:, :, ::-1])
    halves = [replace(each, image=each.image[:4]) for each in samples]
    assert np.array_equal(collate(halves).images.permute(0, 2, 3, 1), whole[:, :4])


def test_background_batch() -> None:
    targets = collate([sample(0, [])]).targets
    assert targets.boxes.shape == (0, 4)
    assert targets.boxes.dtype == torch.float32
    assert targets.labels.dtype == targets.image_index.dtype == torch.int64


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="same shape"):
        collate([sample(0, []), sample(1, [], side=16)])
