"""Folds: every image is kept from exactly one training, together with its copies."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from configs.schema.data import SyntheticDataset, YoloDataset
from data.records.load import load_split
from data.records.split import Split
from utils.runtime.errors import UserError

NAMES = {
    "train": [f"t{n}" for n in range(9)] + ["a.rf.0123456789abcdef", "a.rf.fedcba9876543210"],
    "val": [f"v{n}" for n in range(4)] + ["a.rf.00000000aaaaaaaa", "t0"],
}


def write_data(root: Path) -> None:
    for split, names in NAMES.items():
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number, name in enumerate(names):
            Image.new("RGB", (40, 30), (number, 7, 9)).save(root / "images" / split / f"{name}.png")
            row = f"{number % 2} 0.5 0.5 0.{number % 4 + 1} 0.2\n"
            (root / "labels" / split / f"{name}.txt").write_text(row)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_data(tmp_path)
    return tmp_path


def dataset(root: Path, **changes: object) -> YoloDataset:
    values = {"train": "images/train", "val": "images/val", "cache": False, **changes}
    return YoloDataset(path=str(root), class_names=("x", "y"), **values)  # type: ignore[arg-type]


def images(split: Split) -> list[str]:
    return [str(Path(r.path).relative_to(Path(r.path).parents[1])) for r in split.records]


@pytest.mark.slow
@pytest.mark.parametrize("folds", [2, 3, 5, 13])
def test_every_image_is_kept_once_and_trained_on_otherwise(root: Path, folds: int) -> None:
    every = sorted(f"{split}/{name}.png" for split, names in NAMES.items() for name in names)
    kept: list[str] = []
    sizes = []
    for fold in range(folds):
        own = dataset(root, folds=folds, fold=fold)
        train, val, test = (load_split(own, name) for name in ("train", "val", "test"))  # type: ignore[arg-type]
        assert images(val) == images(test)
        assert sorted(images(train) + images(val)) == every
        assert not {Path(n).name for n in images(train)} & {Path(n).name for n in images(val)}
        kept += images(val)
        sizes.append(len({Path(n).name.split(".rf.")[0] for n in images(val)}))
    assert sorted(kept) == every
    assert max(sizes) - min(sizes) <= 1  # groups: three copies of a, two images named t0


def test_copies_stay_together_and_labels_stay_with_their_image(root: Path) -> None:
    whole = {
        r.path: r for name in ("train", "val") for r in load_split(dataset(root), name).records
    }  # type: ignore[arg-type]
    homes = set()
    for fold in range(4):
        val = load_split(dataset(root, folds=4, fold=fold), "val")
        homes |= {fold for name in images(val) if "/a.rf" in name}
        assert len({r.image_id for r in val.records}) == len(val.records)
        for record in val.records:
            assert np.array_equal(record.boxes, whole[record.path].boxes)
            assert np.array_equal(record.labels, whole[record.path].labels)
    assert len(homes) == 1


def test_reports_count_what_they_have(root: Path) -> None:
    (root / "labels/val/v0.txt").write_text("0 0.5 0.5 0.1 0.1\n0 2 2 2\n")
    for fold in range(3):
        own = dataset(root, folds=3, fold=fold, max_rejected=1.0)
        train, val = load_split(own, "train"), load_split(own, "val")
        assert train.report.num_rejected == 1
        for split in (train, val):
            assert split.report.num_images == len(split.records)
            assert split.report.num_used == sum(len(r.boxes) for r in split.records)
        assert any(f"fold {fold} of 3" in d.value for d in val.report.decisions)


def test_a_share_is_part_of_the_folds_and_the_order_of_files_does_not_matter(root: Path) -> None:
    shared = load_split(dataset(root, val=0.2, folds=2), "val")
    alone = load_split(dataset(root, val=None, folds=2), "val")
    assert images(shared) == images(alone)
    assert all(name.startswith("train/") for name in images(alone))


def test_what_cannot_be_folded_is_one_line(root: Path) -> None:
    with pytest.raises(UserError, match=r"data\.folds=15 needs as many groups .*are 14"):
        load_split(dataset(root, folds=15), "train")
    for wrong in ({"folds": 3, "fold": 3}, {"fold": 1}, {"folds": 1}):
        with pytest.raises(ValidationError):
            dataset(root, **wrong)


@pytest.mark.slow
def test_generated_images_are_folded(tmp_path: Path) -> None:
    own = SyntheticDataset(
        format="synthetic", path=str(tmp_path / "d"), train_images=6, val_images=4, side=64
    )
    folded = own.model_copy(update={"folds": 5, "fold": 2})
    assert len(load_split(own, "train").records) == 6
    assert (len(load_split(folded, "train").records), len(load_split(folded, "val").records)) == (
        8,
        2,
    )
    assert [path.name for path in tmp_path.iterdir()] == ["d"]
