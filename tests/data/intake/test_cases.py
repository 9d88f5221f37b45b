"""Real exports and public bug reports: right boxes, or one line that says what to do.

The inputs lie in $FOCALDET_SHARED/cases; a clone without them skips, `test_exports.py` has inputs
of the same kinds that are made on the spot.
"""

import json
import re
from pathlib import Path

import pytest

from configs.errors import ConfigError
from configs.reading.load import load_dataset
from data.intake.resolve import look_at
from data.records.load import load_split
from data.records.split import Split
from utils.runtime.errors import UserError

Truth = dict[str, list[tuple[str, float, float, float, float]]]

REFUSED = {
    "coco_null_in_name": "null character|its image cannot be used",
    "exif_coco_stored_frame": "pixels as stored",
    "img_dng_named_tif": r"3 files end in \.dng, which are not read; convert",
    "labelstudio_yolo_noimages": "no images; export it with its images",
    "name_noext": "5 files without suffix, which are not read; add the suffix",
    "pb_5055": "data.test: none of the 2 images has a label file.*data.unlabelled=background",
    "val_background": "data.val: none of the 2 images has a label file.*unlabelled=background",
}
"""Folder -> the line that says what to do."""

RENAMED = {"pedestrian": "RBC", "people": "WBC", "bicycle": "Platelets", "0": "RBC", "1": "WBC"}
RENAMED |= {"2": "Platelets"}
ONE_CLASS = {"roboflow_coco_1cls"}
NO_TRUTH = {"row_empty"}
"""Label files that hold nothing."""
OTHER_BOXES = {"partly_outside": 2, "voc_zero_based": 1}
"""Inputs where boxes of each image are not in truth.json: one moved to or over the border."""


@pytest.fixture(scope="module")
def cases(shared: Path) -> Path:
    if not (shared / "cases").is_dir():
        pytest.skip(f"no inputs in {shared / 'cases'}; set FOCALDET_SHARED")
    return shared / "cases"


@pytest.fixture(scope="module")
def truth(cases: Path) -> Truth:
    loaded: Truth = json.loads((cases / "truth.json").read_text())
    return loaded


def all_cases() -> list[str]:
    from tests.conftest import SHARED

    folder = SHARED / "cases"
    return sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else ["none"]


def all_yamls() -> list[str]:
    from tests.conftest import SHARED

    folder = SHARED / "cases"
    found = sorted(str(p.relative_to(folder)) for p in folder.rglob("*.y*ml"))
    return found or ["none"]


def read(target: Path) -> list[Split]:
    """Return all splits of a data set as a training would take them."""
    found = look_at(load_dataset(str(target)))
    splits = []
    for name in ("train", "val", "test"):
        if name == "train" or getattr(found.dataset, name):
            split = load_split(found.dataset, name)  # type: ignore[arg-type]
            split.report.require_usable(found.dataset.max_rejected)
            splits.append(split)
    return splits


def differences(split: Split, truth: Truth, case: str) -> list[str]:
    """Return how the boxes of a split differ from the truth by class, number or over a pixel."""
    found = []
    allowed = OTHER_BOXES.get(case, 0)
    for record in split.records:
        name = re.search(r"cell_\d{5}", Path(record.path).name)
        assert name is not None, record.path
        scale_x, scale_y = record.size[1] / 160, record.size[0] / 120
        left = [
            (split.class_names[label], box)
            for label, box, ignore in zip(
                record.labels, record.boxes.tolist(), record.ignore, strict=True
            )
            if not ignore
        ]
        strange = 0
        for class_name, x1, y1, x2, y2 in truth[name.group()]:
            true = (x1 * scale_x, y1 * scale_y, x2 * scale_x, y2 * scale_y)
            match = [
                row
                for row in left
                if (case in ONE_CLASS or RENAMED.get(row[0], row[0]) == class_name)
                and max(abs(a - b) for a, b in zip(row[1], true, strict=True))
                <= 1.001 * max(scale_x, scale_y, 1)
            ]
            if match:
                left.remove(match[0])
            else:
                strange += 1
        if max(strange, len(left)) > allowed:
            found.append(f"{name.group()}: {strange} missing, {len(left)} too many")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("case", all_cases())
def test_folder(case: str, cases: Path, truth: Truth) -> None:
    if case in REFUSED:
        with pytest.raises((UserError, ConfigError), match=REFUSED[case]) as caught:
            read(cases / case)
        assert "\n" not in str(caught.value)
        return
    splits = read(cases / case)
    if case not in NO_TRUTH:
        assert [differences(split, truth, case) for split in splits] == [[]] * len(splits)


@pytest.mark.parametrize("yaml", all_yamls())
def test_yaml_gives_right_boxes_or_one_line(yaml: str, cases: Path, truth: Truth) -> None:
    case = yaml.split("/", 1)[0]
    try:
        splits = read(cases / yaml)
    except (UserError, ConfigError) as error:
        text = str(error)
        assert "\n" not in text
        assert re.search(r"data|class names|train:|val:|cannot read|not valid YAML", text), text
        return
    if case not in NO_TRUTH:
        assert [differences(split, truth, case) for split in splits] == [[]] * len(splits)


@pytest.mark.parametrize(
    ("target", "number"),
    [
        ("zip_given/cells.zip", 5),
        ("cvat_yolo11/obj.data", 6),
        ("cvat_yolo11/train.txt", 6),
        ("roboflow_coco/train/_annotations.coco.json", 5),
        ("openimages/train/labels/detections.csv", 6),
        ("labelme/cell_00000.json", 6),
    ],
)
def test_file(target: str, number: int, cases: Path, truth: Truth) -> None:
    (split, *_) = read(cases / target)
    assert differences(split, truth, target) == []
    assert len(split.records) == number
