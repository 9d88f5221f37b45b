"""data.depth from the YAML to the pixels of training, evaluation and prediction."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from commands.build.detector import load_detector
from commands.build.predictor import Predictor, prediction_settings
from configs.errors import ConfigError
from configs.reading.load import load_dataset
from configs.schema.data import YoloDataset
from data.images.pixels import ShrinkingReader, read_record
from data.records.load import load_split
from data.records.split import RecordTable
from data.sources import SourceBatches, find_sources
from tests.commands.tiny_weights import write_weights

VALUES = np.array([[0, 16], [1600, 4080]], np.uint16)
"""Of a camera of 12 bits."""


def data_set(folder: Path, **settings: Any) -> YoloDataset:
    for name, factor in (("bright", 1), ("dark", 4)):
        path = folder / "images" / f"{name}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), np.repeat(VALUES // factor, 20, axis=0).repeat(20, axis=1))
        label = folder / "labels" / f"{name}.txt"
        label.parent.mkdir(exist_ok=True)
        label.write_text("0 .5 .5 .5 .5\n")
    return YoloDataset(
        path=str(folder), train="images", class_names=("a",), cache=False, **settings
    )


def brightest(dataset: YoloDataset) -> list[int]:
    return [int(read_record(record).max()) for record in load_split(dataset, "train").records]


def test_one_depth_keeps_the_dark_ones_dark(tmp_path: Path) -> None:
    assert brightest(data_set(tmp_path)) == [255, 255]
    assert brightest(data_set(tmp_path, depth=12)) == [255, 63]
    assert brightest(data_set(tmp_path, depth=16)) == [15, 3]
    assert brightest(data_set(tmp_path, depth=12, val=0.5)) in ([255], [63])


def test_what_was_decided_is_no_remark_any_more(tmp_path: Path) -> None:
    remarks = load_split(data_set(tmp_path), "train").report.decisions
    assert sorted(r.reason for r in remarks if "bits" in r.reason) == [
        f"16-bit image whose values use {bits} bits: these are taken, data.depth says it for all"
        for bits in (10, 12)
    ]
    decided = load_split(data_set(tmp_path, depth=12), "train").report.decisions
    assert not [r for r in decided if "bits" in r.reason]


def test_records_keep_it_on_their_way_to_workers_and_caches(tmp_path: Path) -> None:
    records = load_split(data_set(tmp_path, depth=12), "train").records
    assert [record.depth for record in RecordTable(records)] == [12, 12]
    automatic = load_split(data_set(tmp_path), "train").records
    assert [record.depth for record in RecordTable(automatic)] == [None, None]
    reader = ShrinkingReader(20, exact=True)
    assert [int(reader(record).max()) for record in records] == [255, 63]
    assert not set(reader.wanted(records)) & set(reader.wanted(automatic))


@pytest.mark.parametrize("depth", ["7", "17", "12.5", "deep"])
def test_other_depths_are_refused(depth: str, tmp_path: Path) -> None:
    data_set(tmp_path)
    yaml = tmp_path / "my.yaml"
    yaml.write_text(f"path: {tmp_path}\ntrain: images\nnames: [a]\ndepth: {depth}\n")
    with pytest.raises(ConfigError, match="depth"):
        load_dataset(str(yaml))


def test_prediction_reads_as_the_training_did(tmp_path: Path) -> None:
    data_set(tmp_path)
    weights = write_weights(tmp_path / "w.safetensors")
    loaded = load_detector(weights)
    assert Predictor(loaded, prediction_settings(loaded)).depth is None
    config = dict(loaded.metadata.get("config", {}))
    loaded.metadata["config"] = {**config, "data": {**config.get("data", {}), "depth": 12}}
    predictor = Predictor(loaded, prediction_settings(loaded))
    assert predictor.depth == 12
    batches = SourceBatches(
        sources=find_sources([str(tmp_path / "images")]),
        framing=predictor.framing,
        batch_size=1,
        threads=1,
        depth=predictor.depth,
    )
    seen = {item.frames[0].name: int(item.frames[0].image().max()) for item in batches}
    assert seen == {"bright": 255, "dark": 63}
    assert prediction_settings(loaded, ["data.depth=10"]).data.depth_bits == 10
    loaded.metadata["config"] = {**config, "data": ["nonsense"]}
    assert prediction_settings(loaded).data.depth_bits is None
