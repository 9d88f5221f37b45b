from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.loading.samplers import TrainPlan, TrainSampler, group_by_shape

PLAN = TrainPlan(num_images=10, batch_size=4, image_size=320, seed=0, epochs=5)


@given(num_images=st.integers(1, 50), batch_size=st.integers(1, 60), epoch=st.integers(0, 9))
def test_every_image_once_an_epoch(num_images: int, batch_size: int, epoch: int) -> None:
    plan = replace(PLAN, num_images=num_images, batch_size=batch_size)
    batches = list(plan.keys(epoch))
    assert len(batches) == plan.num_batches
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert sorted(key.index for batch in batches for key in batch) == list(range(num_images))
    assert {key.epoch for batch in batches for key in batch} == {epoch}


def test_order_depends_on_seed_and_epoch_only() -> None:
    plan = replace(PLAN, num_images=100)

    def order(plan: TrainPlan, epoch: int) -> list[int]:
        return [key.index for batch in plan.keys(epoch) for key in batch]

    assert order(plan, 3) == order(replace(plan, batch_size=7, image_size=64), 3)
    assert order(plan, 3) != order(plan, 4)
    assert order(plan, 3) != order(replace(plan, seed=1), 3)
    assert order(plan, 0) != list(range(100))


@given(start=st.integers(0, 3), epoch=st.integers(0, 4))
def test_start_skips_batches(start: int, epoch: int) -> None:
    plan = replace(PLAN, multi_scale=0.5)
    sampler = TrainSampler(plan)
    sampler.select(epoch, start)
    assert list(sampler) == list(plan.keys(epoch))[start:]
    assert len(sampler) == 3 - start


def test_start_outside_the_epoch_is_refused() -> None:
    sampler = TrainSampler(PLAN)
    for epoch, start in ((0, 4), (0, -1), (-1, 0)):
        with pytest.raises(ValueError, match="no batch"):
            sampler.select(epoch, start)


def test_mosaic_ends_before_the_last_epochs() -> None:
    plan = replace(PLAN, close_mosaic=2)
    assert [next(plan.keys(epoch))[0].mosaic for epoch in range(5)] == [True] * 3 + [False] * 2
    assert next(PLAN.keys(4))[0].mosaic
    assert not next(replace(PLAN, close_mosaic=9).keys(0))[0].mosaic


@pytest.mark.parametrize(
    ("image_size", "multi_scale", "stride", "sizes"),
    [
        (320, 0.0, 32, {320}),
        (320, 0.1, 32, {288, 320, 352}),
        (320, 0.05, 32, {320}),
        (320, 0.5, 32, set(range(160, 481, 32))),
        (320, 0.5, 64, {192, 256, 320, 384, 448}),
        (320, 0.7, 32, set(range(96, 545, 32))),
        (800, 0.16, 32, set(range(672, 929, 32))),
        (640, 0.2, 16, set(range(512, 769, 32))),
        (32, 0.9, 32, {32}),
    ],
)
def test_image_sizes(image_size: int, multi_scale: float, stride: int, sizes: set[int]) -> None:
    plan = replace(PLAN, image_size=image_size, multi_scale=multi_scale, stride=stride)
    drawn = Counter(plan.batch_image_size(epoch, b) for epoch in range(10) for b in range(60))
    assert set(drawn) == sizes
    assert min(drawn.values()) > 0.5 * 600 / len(sizes)


def test_one_size_in_a_batch() -> None:
    plan = replace(PLAN, multi_scale=0.5, num_images=100)
    sizes = [{key.image_size for key in batch} for batch in plan.keys(0)]
    assert all(len(batch) == 1 for batch in sizes)
    assert len(set.union(*sizes)) > 3


def test_groups_have_one_shape_and_a_fixed_order() -> None:
    shapes = [(32, 64), (64, 32), (32, 64), (32, 64), (32, 32)]
    assert group_by_shape(shapes, 2) == [[4], [0, 2], [3], [1]]
    assert group_by_shape([], 2) == []


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_every_batch_of_one(processes: int) -> None:
    """Together they see the images of one process with the joint batch, equally many each."""
    joint = replace(PLAN, batch_size=2 * processes)
    parts = [
        replace(PLAN, batch_size=2, processes=processes, process=rank) for rank in range(processes)
    ]
    assert {part.num_batches for part in parts} == {joint.num_batches}
    shares = [list(part.keys(1)) for part in parts]
    for number, whole in enumerate(joint.keys(1)):
        own = [share[number] for share in shares]
        assert len({len(keys) for keys in own}) == 1
        together = [key for keys in own for key in keys]
        assert together[: len(whole)] == whole
        assert len(together) - len(whole) < processes


def test_more_processes_than_images() -> None:
    plan = replace(PLAN, num_images=2, batch_size=1, processes=5)
    shares = [list(replace(plan, process=rank).keys(0)) for rank in range(5)]
    assert all(len(keys) == 1 for share in shares for keys in share)
    assert {key.index for share in shares for keys in share for key in keys} == {0, 1}


def test_a_copy_of_an_image_is_drawn_anew() -> None:
    keys = [key for keys in replace(PLAN, draw=_twice).keys(0) for key in keys]
    assert len(set(keys)) == len(keys)
    assert {key.copy for key in keys} == {0, 1}


def _twice(num_images: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    return [(index // 2, index % 2) for index in range(num_images)]
