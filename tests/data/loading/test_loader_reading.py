"""Batches are the same bit for bit with the cache on, off, cold and warm, for any workers."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from configs.schema.evaluation import EvalSettings
from configs.schema.experiment import Experiment
from data.images import pixels as module
from data.images.cache import ImageCache
from data.loading.loader import build_eval_batches, build_train_batches, open_training_cache
from tests.data.loading.test_loader import experiment, identical
from tests.data.synthetic.scene_files import write_scenes
from utils.structures.batch import Batch
from utils.structures.images import Record


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Small PNG scenes and JPEGs large enough to be shrunk and reduced."""
    folder = tmp_path_factory.mktemp("scenes")
    found = write_scenes(folder, 9)
    rng = np.random.default_rng(0)
    for index, (height, width) in enumerate([(400, 600), (512, 256), (333, 777)]):
        noise = rng.integers(0, 256, (height // 9, width // 9, 3), dtype=np.uint8)
        path = folder / f"large{index}.jpg"
        cv2.imwrite(str(path), cv2.resize(noise, (width, height)))
        found.append(
            Record(
                path=str(path),
                image_id=200 + index,
                size=(height, width),
                boxes=np.array([[9, 9, width - 20, height - 50]], np.float32),
                labels=np.array([3]),
                ignore=np.zeros(1, np.bool_),
                area=np.ones(1, np.float32),
            )
        )
    return found


def train_epoch(
    records: list[Record], settings: Experiment, cache: ImageCache | None
) -> list[Batch]:
    batches = build_train_batches(records, settings, stride=32, cache=cache)
    try:
        return [batch for epoch in (0, 3) for batch in batches.epoch(epoch)]
    finally:
        batches.close()


def evaluated(records: list[Record], workers: int, cache: ImageCache | None) -> list[Batch]:
    batches = build_eval_batches(
        records,
        image_size=64,
        stride=32,
        settings=EvalSettings(batch_size=4),
        workers=workers,
        cache=cache,
    )
    try:
        return list(batches)
    finally:
        batches.close()


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "multi_scale"), [(0, 0.5), (1, 0.0), (4, 0.5)])
def test_training_batches_do_not_depend_on_the_cache(
    records: list[Record], workers: int, multi_scale: float, tmp_path: Path
) -> None:
    wanted = train_epoch(records, experiment(0, multi_scale=multi_scale), None)
    settings = experiment(workers, multi_scale=multi_scale)
    for _ in ("cold", "warm"):
        cache = ImageCache(tmp_path / "cache")
        assert identical(train_epoch(records, settings, cache), wanted)
    assert len(list(tmp_path.rglob("*.pixels"))) == len(records)
    half = ImageCache(tmp_path / "half", last_key=b"\x80" + b"\0" * 15)
    assert identical(train_epoch(records, settings, half), wanted)
    for path in list(tmp_path.rglob("*.pixels"))[::2]:
        path.write_bytes(path.read_bytes()[:-3] + b"???")
    assert identical(train_epoch(records, settings, ImageCache(tmp_path / "cache")), wanted)


@pytest.mark.parametrize("workers", [0, 2])
def test_evaluation_batches_do_not_depend_on_the_cache(
    records: list[Record], workers: int, tmp_path: Path
) -> None:
    wanted = evaluated(records, 0, None)
    for _ in ("cold", "warm"):
        assert identical(evaluated(records, workers, ImageCache(tmp_path)), wanted)
    assert len(list(tmp_path.rglob("*.pixels"))) == len(records)


def test_the_cache_holds_both_splits_and_no_more(
    records: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path))
    settings = experiment()
    train = settings.train.model_copy(update={"cache_limit": 1.0})
    cache = open_training_cache(train, records[:8], records[4:], stride=32)
    assert cache is not None
    train_epoch(records[:8], settings, cache)
    evaluated(records[4:], 0, cache)
    # Of the large images at the end only the evaluation has a version; small ones are shared,
    # unless training, at sizes up to 96 pixels, and evaluation, at 64, shrink them differently.
    names = {path.name for path in (tmp_path / "images").rglob("*.pixels")}
    taken = sum(path.stat().st_size for path in (tmp_path / "images").rglob("*.pixels"))
    assert len(records) <= len(names) < len(records[:8]) + len(records[4:])
    tight = train.model_copy(update={"cache_limit": taken / 2**30})
    assert open_training_cache(tight, records[:8], records[4:], stride=32) is not None
    tight = train.model_copy(update={"cache_limit": (taken - 1) / 2**30})
    assert open_training_cache(tight, records[:8], records[4:], stride=32) is None
    off = train.model_copy(update={"cache": "off"})
    monkeypatch.setattr(module, "stamp_file", lambda _: pytest.fail("looked at an image"))
    assert open_training_cache(off, records[:8], records[4:], stride=32) is None


def test_a_cache_that_vanishes_is_no_fault(records: list[Record], tmp_path: Path) -> None:
    wanted = train_epoch(records, experiment(), None)
    cache = ImageCache(tmp_path / "cache")
    train_epoch(records, experiment(), cache)
    shutil.rmtree(tmp_path / "cache")
    assert identical(train_epoch(records, experiment(), cache), wanted)
