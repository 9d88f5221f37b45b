import weakref

import numpy as np
import pytest
import torch

from configs.schema.augment import AugmentSettings
from data.augment.flip import FlipHorizontal, FlipVertical
from data.augment.operation import SampledOp
from data.loading import planned_batch as planned
from data.loading.planned_batch import PlannedBatch, load_planned, pack_batch
from tests.commands.train.test_no_waiting import questions
from tests.data.augment.device.both_ways import (
    dataset_of,
    differences,
    drawn_both_ways,
    keys_of,
    photograph,
    same_targets,
)
from tests.data.augment.one_by_one import Affine
from tests.data.augment.scenes import Scene, plan_scenes
from tests.data.augment.test_plan_compose import affine, ramp, record
from utils.structures.images import ImageArray, Record

CPU = torch.device("cpu")


def planned_batch(**strengths: float) -> PlannedBatch:
    dataset = dataset_of(AugmentSettings(**strengths), photograph)
    return load_planned(dataset, keys_of(dataset, 64))


def packed(source: Record, *changes: Affine, ops: tuple[SampledOp, ...] = ()) -> PlannedBatch:
    """One sample of the image alone for each of the changes, all with the same operations."""
    scene = Scene(records=[source], image_size=64)
    plan, records = plan_scenes([(scene, change) for change in changes], ops)
    return pack_batch(plan, lambda index: ramp(records[index]))


def flipped(*flips: bool) -> tuple[SampledOp, ...]:
    """Both flips, made or not."""
    return tuple(
        SampledOp(op=op, parameters=() if is_made else None)
        for op, is_made in zip((FlipHorizontal(), FlipVertical()), flips, strict=True)
    )


def test_a_drawn_batch_is_like_any_other() -> None:
    dataset = dataset_of(AugmentSettings(mixup=0.5), photograph)
    worker, device = drawn_both_ways(dataset, keys_of(dataset, 64))
    assert same_targets(worker, device)
    assert device.images.shape == worker.images.shape
    assert device.images.stride() == worker.images.stride()
    assert device.images.dtype == torch.uint8
    assert device.images.is_contiguous(memory_format=torch.channels_last)
    # The memory of second scenes is not kept.
    assert device.images.untyped_storage().nbytes() == device.images.numel()


def test_colours_and_places_together_are_nearly_the_workers() -> None:
    dataset = dataset_of(AugmentSettings(mixup=0.5, mosaic_nine=0.5), photograph)
    difference = differences(*drawn_both_ways(dataset, keys_of(dataset, 160)))
    assert difference.float().mean() < 1.0


def test_drawing_asks_the_device_nothing() -> None:
    for strengths in (
        {},
        {"mixup": 0.5, "degrees": 10.0, "perspective": 0.001},
        {"mosaic": 0.0, "hsv_hue": 1.0},
    ):
        planned = planned_batch(**strengths)
        assert questions(lambda planned=planned: planned.to(CPU).render()) == []


def test_drawing_twice_gives_the_same() -> None:
    planned = planned_batch(mixup=0.5)
    assert torch.equal(planned.render().images, planned.render().images)


def test_moving_leaves_nothing_behind() -> None:
    """On the meta device a tensor that was forgotten would be told from the others."""
    moved = planned_batch(mixup=0.5, degrees=5.0, flip_vertical=0.5).to(torch.device("meta"))
    tensors = [moved.pixels, moved.partners, moved.shares, moved.targets.boxes]
    assert [op.rows is None for op in moved.ops] == [True, False, False]
    tensors += [op.parameters for op in moved.ops] + [op.rows for op in moved.ops[1:]]
    tables = moved.scenes
    tensors += [tables.matrices, tables.bounds, tables.regions, tables.lookups, tables.windows]
    assert all(tensor is not None and tensor.is_meta for tensor in tensors)
    assert moved.render().images.is_meta


def test_a_flipped_sample_is_its_mirror_image() -> None:
    images = {}
    for flips in ((False, False), (True, False), (False, True), (True, True)):
        batch = packed(record(0, (60, 80)), affine(17, 0.9), ops=flipped(*flips))
        images[flips] = batch.render().images.int()
    for flips, image in images.items():
        axes = [3 - axis for axis in range(2) if flips[axis]]
        assert torch.equal(image.flip(axes), images[False, False])


def test_all_out_of_view_is_a_grey_background_sample() -> None:
    source = record(0, (50, 50), [(5, 5, 45, 45)])
    away, seen = affine(shift=(1.0, 0.0), zoom=0.5), affine()
    for changes, is_grey in (((away,), [True]), ((away, seen), [True, False])):
        batch = packed(source, *changes, ops=flipped(True, False)).render()
        assert [bool((image == 114).all()) for image in batch.images] == is_grey
        assert len(batch.targets) == len(changes) - 1


def test_upright_scenes_beside_turned_ones_keep_their_outlines() -> None:
    still, turned = affine(zoom=0.8), affine(30)
    batches = [
        packed(record(0, (60, 80)), *group)
        for group in ((still,), (still, turned), (turned, still), (turned,))
    ]
    assert [batch.scenes.regions is None for batch in batches] == [True, False, False, False]
    alone, first, second, other = (batch.render().images for batch in batches)
    assert torch.equal(torch.cat((alone, other)), first)
    assert torch.equal(torch.cat((other, alone)), second)


def test_ignored_objects_are_left_out() -> None:
    still = AugmentSettings(mosaic=0.0, scale=0.0, translate=0.0)
    dataset = dataset_of(still, photograph)
    batch = load_planned(dataset, keys_of(dataset, 64, 1)).render()
    order = [meta.image_id for meta in batch.metas]
    assert batch.targets.labels.tolist() == [
        10 * index + number for index in order if index for number in range(2)
    ]
    assert np.array_equal(np.unique(batch.targets.image_index), [1, 2, 3, 4, 5])


def test_few_images_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dataset_of(AugmentSettings(), photograph)
    plan = dataset.plan(keys_of(dataset, 64))
    whole = pack_batch(plan, dataset.read)
    given: list[weakref.ref[ImageArray]] = []
    counts = []

    def read(index: int) -> ImageArray:
        image = dataset.read(index).copy()
        given.append(weakref.ref(image))
        counts.append(sum(each() is not None for each in given))
        return image

    monkeypatch.setattr(planned, "IMAGES_AT_ONCE", 3)
    batch = pack_batch(plan, read)
    assert len(given) > 8
    assert max(counts) <= 6  # three, and those before until they are replaced
    assert torch.equal(batch.pixels, whole.pixels)
    for name in batch.scenes.__slots__:
        one, other = getattr(batch.scenes, name), getattr(whole.scenes, name)
        assert (one is other is None) or torch.equal(one, other)
