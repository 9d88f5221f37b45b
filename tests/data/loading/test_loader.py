import gc
import multiprocessing
import os
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal

import pytest
import torch

from configs.schema.augment import AugmentSettings
from configs.schema.data import YoloDataset
from configs.schema.evaluation import EvalSettings
from configs.schema.experiment import Experiment
from configs.schema.train import TrainSettings
from data.loading import workers as module
from data.loading.dataset import TrainDataset, collate
from data.loading.loader import EvalBatches, TrainBatches, build_eval_batches, build_train_batches
from data.loading.samplers import TrainPlan, TrainSampler
from data.loading.worker_watch import WorkerPlan
from tests.data.synthetic.scene_files import write_scenes
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.errors import UserError
from utils.structures.batch import Batch
from utils.structures.images import Record


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 13)


def experiment(
    workers: int = 0,
    image_size: int = 64,
    multi_scale: float = 0.5,
    draws: Literal["auto", "cpu", "train"] = "auto",
    custom: tuple[str, ...] = (),
) -> Experiment:
    return Experiment(
        data=YoloDataset(path=".", class_names=("thing",), train="images"),
        train=TrainSettings(
            image_size=image_size,
            batch_size=4,
            epochs=4,
            workers=workers,
            multi_scale=multi_scale,
            seed=3,
        ),
        augment=AugmentSettings(
            mixup=0.3, mosaic_nine=0.3, degrees=5, close_mosaic=1, device=draws, custom=custom
        ),
    )


def train_batches(records: list[Record], workers: int = 0) -> TrainBatches:
    return build_train_batches(records, experiment(workers), stride=32)


def eval_batches(records: list[Record], batch_size: int = 4, workers: int = 0) -> EvalBatches:
    settings = EvalSettings(batch_size=batch_size)
    return build_eval_batches(records, image_size=64, stride=32, settings=settings, workers=workers)


def tensors(batch: Batch) -> tuple[torch.Tensor, ...]:
    targets = batch.targets
    return batch.images, targets.boxes, targets.labels, targets.image_index


def identical(first: Iterable[Batch], second: Iterable[Batch]) -> bool:
    return all(
        a.metas == b.metas and all(map(torch.equal, tensors(a), tensors(b)))
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def reference(records: list[Record]) -> list[list[Batch]]:
    """Three epochs loaded in this process."""
    batches = train_batches(records)
    return [list(batches.epoch(epoch)) for epoch in range(3)]


@pytest.mark.filterwarnings("ignore:This DataLoader will create 4 worker processes")
@pytest.mark.parametrize("workers", [2, 4])
def test_batches_do_not_depend_on_workers(
    records: list[Record], reference: list[list[Batch]], workers: int
) -> None:
    batches = train_batches(records, workers)
    try:
        for epoch in (0, 1, 2, 0):
            assert identical(batches.epoch(epoch), reference[epoch])
        assert identical(batches.epoch(1, start=2), reference[1][2:])
        assert list(batches.epoch(1, start=4)) == []
    finally:
        batches.close()


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_are_their_samples_one_by_one(records: list[Record], workers: int) -> None:
    """Planned together or alone, before and after the end of mosaic, resumed within an epoch."""
    settings = experiment()
    plan = TrainPlan(
        num_images=len(records),
        batch_size=4,
        image_size=64,
        seed=3,
        epochs=4,
        stride=32,
        multi_scale=0.5,
        close_mosaic=1,
    )
    dataset = TrainDataset(records, augment=settings.augment, seed=3)
    sampler = TrainSampler(plan)
    batches = TrainBatches(dataset, plan, workers=workers)
    try:
        for epoch, start in ((0, 0), (2, 1), (3, 2)):
            sampler.select(epoch, start)
            alone = [collate([dataset[key] for key in keys]) for keys in sampler]
            assert len(alone) == len(batches) - start
            assert identical(batches.epoch(epoch, start=start), alone)
    finally:
        batches.close()


def test_operations_of_the_user_do_not_depend_on_workers(
    records: list[Record], reference: list[list[Batch]]
) -> None:
    """Nor on where an epoch is resumed; torchvision takes numbers of torch's global generator."""
    pytest.importorskip("torchvision")
    custom = ("torchvision.transforms.v2.RandomPhotometricDistort",)
    alone, two = (
        build_train_batches(records, experiment(workers, custom=custom), stride=32)
        for workers in (0, 2)
    )
    whole = list(alone.epoch(1))
    try:
        assert identical(two.epoch(1), whole)
        assert identical(two.epoch(1, start=2), whole[2:])
    finally:
        two.close()
    assert identical(alone.epoch(1, start=1), whole[1:])
    for batch, plain in zip(whole, reference[1], strict=True):
        assert torch.equal(batch.targets.boxes, plain.targets.boxes)
    assert not identical(whole, reference[1])


def test_epochs_differ_and_cover_all_images(
    records: list[Record], reference: list[list[Batch]]
) -> None:
    assert [len(batch) for batch in reference[0]] == [4, 4, 4, 1]
    for epoch in reference:
        seen = [meta.image_id for batch in epoch for meta in batch.metas]
        assert sorted(seen) == [record.image_id for record in records]
    orders = [[m.image_id for batch in epoch for m in batch.metas] for epoch in reference]
    assert orders[0] != orders[1] != orders[2]


def test_lengths(records: list[Record]) -> None:
    batches = train_batches(records)
    assert len(batches) == 4
    assert batches.num_images == 13
    assert len(eval_batches(records, 1)) == 13
    assert eval_batches(records).num_images == 13


def test_an_epoch_left_early_leaves_nothing_behind(
    records: list[Record], reference: list[list[Batch]]
) -> None:
    batches = train_batches(records, 2)
    try:
        left: Iterator[Batch] = batches.epoch(0)
        next(left)
        assert identical(batches.epoch(2), reference[2])
    finally:
        batches.close()


def test_loading_leaves_the_global_generator_alone(records: list[Record]) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for workers in (0, 1):
        batches = train_batches(records, workers)
        next(batches.epoch(0))
        batches.close()
    assert torch.equal(torch.get_rng_state(), before)


def test_close_ends_the_workers_and_loading_can_go_on(
    records: list[Record], reference: list[list[Batch]]
) -> None:
    already = set(multiprocessing.active_children())
    batches = train_batches(records, 2)
    epoch = batches.epoch(0)
    next(epoch)
    assert len(set(multiprocessing.active_children()) - already) == 2
    batches.close()
    assert set(multiprocessing.active_children()) <= already
    batches.close()
    assert identical(batches.epoch(1), reference[1])
    batches.close()


def worker_ids() -> set[int | None]:
    return {process.pid for process in multiprocessing.active_children()}


def test_workers_can_be_started_before_there_is_work(records: list[Record]) -> None:
    with_workers, alone = train_batches(records, workers=2), train_batches(records)
    judged, judged_alone = eval_batches(records, workers=1), eval_batches(records)
    before = worker_ids()
    for batches in (with_workers, judged, with_workers, alone):
        batches.start()
    started = worker_ids() - before
    assert len(started) == 3
    assert identical(with_workers.epoch(1, start=1), alone.epoch(1, start=1))
    assert identical(judged, judged_alone)
    assert identical(with_workers.epoch(2), alone.epoch(2))
    assert worker_ids() - before == started
    with_workers.close()
    judged.close()


def test_collections_leave_alone_what_the_process_shares_with_its_workers(
    records: list[Record],
) -> None:
    batches = train_batches(records, workers=1)
    next(batches.epoch(0))
    shared = gc.get_freeze_count()
    batches.close()
    assert shared > 10_000
    assert gc.get_freeze_count() == 0


def test_more_workers_than_cores_are_no_matter_for_a_warning(
    records: list[Record], recwarn: pytest.WarningsRecorder
) -> None:
    batches = train_batches(records, workers=(os.cpu_count() or 1) + 1)
    next(batches.epoch(0))
    batches.close()
    assert not [str(warning.message) for warning in recwarn]


def test_workers_leave_ctrl_c_to_the_main_process(
    records: list[Record], reference: list[list[Batch]]
) -> None:
    already = set(multiprocessing.active_children())
    batches = train_batches(records, 2)
    try:
        epoch = batches.epoch(0)
        first = next(epoch)
        for worker in set(multiprocessing.active_children()) - already:
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGINT)
        assert identical([first, *epoch], reference[0])
        assert identical(batches.epoch(1), reference[1])
    finally:
        batches.close()


@pytest.fixture(scope="module")
def device_reference(records: list[Record]) -> list[list[Batch]]:
    """All epochs, drawn by the device from what this process loaded."""
    batches = build_train_batches(records, experiment(draws="train"), stride=32)
    return [list(batches.epoch(epoch)) for epoch in range(4)]


def test_who_draws_changes_pixels_by_a_level(records: list[Record]) -> None:
    """In all epochs, at all image sizes, with mosaic and, in the last one, without."""
    by_worker, by_device = experiment(draws="cpu"), experiment(draws="train")
    worker, device = (
        build_train_batches(
            records,
            # Turned tiles have another rim, which is much of an image of 32 pixels.
            each.model_copy(update={"augment": each.augment.model_copy(update={"degrees": 0.0})}),
            stride=32,
        )
        for each in (by_worker, by_device)
    )
    for epoch in range(4):
        for one, other in zip(worker.epoch(epoch), device.epoch(epoch), strict=True):
            assert one.metas == other.metas
            assert all(map(torch.equal, tensors(one)[1:], tensors(other)[1:]))
            assert one.images.shape == other.images.shape
            difference = (one.images.int() - other.images.int()).abs().float()
            assert difference.mean() < 0.3
            # Objects are bright on black: 1/16 of a pixel is up to 15 levels at their edges.
            assert difference.max() <= 20


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_drawing_on_the_device_does_not_depend_on_workers(
    records: list[Record], device_reference: list[list[Batch]], workers: int
) -> None:
    batches = build_train_batches(records, experiment(workers, draws="train"), stride=32)
    try:
        for epoch in (0, 3, 0):
            assert identical(batches.epoch(epoch), device_reference[epoch])
        assert identical(batches.epoch(1, start=2), device_reference[1][2:])
    finally:
        batches.close()


def test_on_a_cpu_workers_draw_unless_told_otherwise(
    records: list[Record], reference: list[list[Batch]]
) -> None:
    told = build_train_batches(records, experiment(draws="cpu"), stride=32)
    assert identical(told.epoch(0), reference[0])


@pytest.mark.parametrize("draws", ["cpu", "train"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_lost_image_is_told_in_one_line(
    tmp_path: Path, workers: int, draws: Literal["cpu", "train"]
) -> None:
    records = write_scenes(tmp_path, 5)
    Path(records[2].path).unlink()
    batches = build_train_batches(records, experiment(workers, draws=draws), stride=32)
    with pytest.raises(UserError) as caught:
        list(batches.epoch(0))
    batches.close()
    assert str(caught.value).startswith(records[2].path)
    assert "\n" not in str(caught.value)


def test_evaluation_does_not_depend_on_batches_or_workers(records: list[Record]) -> None:
    def by_image(batches: EvalBatches) -> dict[int, torch.Tensor]:
        images = {
            meta.image_id: image
            for batch in batches
            for meta, image in zip(batch.metas, batch.images, strict=True)
        }
        batches.close()
        return images

    want = by_image(eval_batches(records, 1))
    assert sorted(want) == [record.image_id for record in records]
    for batch_size, workers in ((3, 0), (16, 0), (3, 2)):
        got = by_image(eval_batches(records, batch_size, workers))
        assert got.keys() == want.keys()
        assert all(torch.equal(got[image_id], want[image_id]) for image_id in want)


def test_evaluation_can_be_repeated(records: list[Record]) -> None:
    batches = eval_batches(records, workers=1)
    assert identical(list(batches), list(batches))
    assert len(list(batches)) == len(batches)
    batches.close()


def test_no_images_to_judge_are_no_batches() -> None:
    assert list(eval_batches([], workers=2)) == []


def test_training_without_images_is_refused() -> None:
    with pytest.raises(UserError, match="no usable image"):
        train_batches([])


def test_image_size_must_fit_the_stride(records: list[Record]) -> None:
    with pytest.raises(UserError, match=r"96 is not a multiple .* 64; take 64 or 128"):
        build_train_batches(records, experiment(image_size=96), stride=64)
    with pytest.raises(UserError, match=r"32 is not .*; take 64$"):
        build_eval_batches(records, image_size=32, stride=64, settings=EvalSettings(), workers=0)


@pytest.mark.parametrize("draws", ["cpu", "train"])
def test_every_loader_knows_who_shares_the_memory(
    records: list[Record], monkeypatch: pytest.MonkeyPatch, draws: Literal["cpu", "train"]
) -> None:
    seen = []

    def fitting(workers: int, batch_bytes: int, *, processes: int) -> WorkerPlan:
        seen.append(processes)
        return WorkerPlan(workers=workers)

    monkeypatch.setattr(module, "fitting_workers", fitting)
    ranks = Ranks(rank=1, size=16, local_size=8)
    build_train_batches(records, experiment(draws=draws), stride=32, ranks=ranks).close()
    settings = EvalSettings(batch_size=4)
    build_eval_batches(
        records, image_size=64, stride=32, settings=settings, workers=0, ranks=ranks
    ).close()
    assert seen == [8, 8]
