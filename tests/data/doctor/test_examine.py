"""Every planted fault is found where it was planted, and nothing is found where none is."""

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from data.doctor.checks import CHECKS, SEVERITIES
from data.doctor.examine import Diagnosis, examine, worst_lines
from data.doctor.rows import CODES
from data.formats import rows, voc
from data.formats.coco import reader as coco
from data.formats.yolo import files as yolo_files
from data.records.load import load_split
from tests.data.doctor.planted import HEIGHT, NAMES, WIDTH, Planted, plant_local

SIZE = 96
LARGE = 400


def diagnose(data: Planted, image_size: int = SIZE) -> Diagnosis:
    settings = data.settings()
    splits = [load_split(settings, "train")]
    if settings.val:
        splits.append(load_split(settings, "val"))
    return examine(splits, image_size=image_size)


@pytest.fixture
def data(tmp_path: Path) -> Planted:
    return Planted(tmp_path)


def codes(diagnosis: Diagnosis) -> set[str]:
    return {finding.code for finding in diagnosis.findings}


def test_sound_data_have_no_finding(data: Planted) -> None:
    diagnosis = diagnose(data)
    assert [finding.line() for finding in diagnosis.findings] == []
    assert diagnosis.is_sound


def test_every_local_fault_is_found_where_it_was_planted(data: Planted) -> None:
    planted = plant_local(data)
    assert len(planted) >= 30
    diagnosis = diagnose(data, LARGE)
    for code, files in planted.items():
        findings = [finding for finding in diagnosis.findings if finding.code == code]
        assert findings, code
        named = {
            Path(path).name
            for finding in findings
            for place in finding.places
            for path in (place.path, place.other)
        }
        assert files <= named, (code, files - named)
        assert all(finding.count >= 1 and finding.message for finding in findings)
    # The crowds are small objects of one class, and their rows are many.
    consequences = {"too-many-rejected", "class-shares-differ", "object-sizes-differ"}
    assert codes(diagnosis) - set(planted) <= consequences


def test_places_of_local_faults_name_no_other_image(data: Planted) -> None:
    planted = plant_local(data)
    exact = (
        "image-blank", "image-tiny", "image-elongated", "exif-rotation", "suffix-differs",
        "odd-pixels", "several-frames", "box-two-classes", "box-nearly-twice", "box-sliver",
        "box-elongated", "box-whole-image", "crowded", "over-crowded", "box-repeated",
        "image-unreadable", "label-without-image", "class-out-of-range", "box-outside",
    )  # fmt: skip
    findings = diagnose(data, LARGE).findings
    for code in exact:
        named = {
            Path(place.path).name
            for finding in findings
            if finding.code == code
            for place in finding.places
        }
        assert named == planted[code], code


@pytest.mark.slow
def test_pairs_name_both_images(data: Planted) -> None:
    plant_local(data)
    pairs = {
        code: {
            frozenset(Path(path).stem for path in (place.path, place.other))
            for finding in diagnose(data).findings
            if finding.code == code
            for place in finding.places
        }
        for code in ("similar-image-twice", "similar-image-in-splits", "same-image-twice")
    }
    assert pairs["similar-image-twice"] == {frozenset({"20", "21"})}
    assert pairs["similar-image-in-splits"] == {frozenset({"17"})}
    assert pairs["same-image-twice"] == {frozenset({"18", "19"}), frozenset({"22", "23"})}


def ids_from_one(data: Planted) -> None:
    data.relabel(lambda label: label + 1, "train", "val")


def swap_in_val(data: Planted) -> None:
    data.relabel(lambda label: {1: 2, 2: 1}.get(label, label), "val")


def shift_in_val(data: Planted) -> None:
    data.names = (*NAMES, "tree")
    data.relabel(lambda label: label + 1, "val")


def shift_train(data: Planted) -> None:
    data.names = (*NAMES, "tree")
    data.relabel(lambda label: label + 1, "train")


def corners(data: Planted) -> None:
    data.rewrite(lambda x, y, w, h: (x - w / 2, y - h / 2, x + w / 2, y + h / 2))


def top_left(data: Planted) -> None:
    data.rewrite(lambda x, y, w, h: (x - w / 2, y - h / 2, w, h))


def half_units(data: Planted) -> None:
    data.rewrite(lambda x, y, w, h: (x / 2, y / 2, w / 2, h / 2))


def mostly_background(data: Planted) -> None:
    for index in range(40):
        data.write_rows("train", index, [])


def no_val(data: Planted) -> None:
    data.val = None


def val_is_train(data: Planted) -> None:
    data.val = "images/train"


def few_val(data: Planted) -> None:
    for path in list((data.root / "images" / "val").glob("*.jpg"))[:30]:
        path.unlink()
        (data.root / "labels" / "val" / f"{path.stem}.txt").unlink()


def no_objects(data: Planted) -> None:
    for index in range(54):
        data.write_rows("val", index, [])


def unused_class(data: Planted) -> None:
    data.names = (*NAMES, "tree")


def missing_class(data: Planted) -> None:
    for path in (data.root / "labels" / "val").glob("*.txt"):
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join(row for row in rows if not row.startswith("3")))


def alike_names(data: Planted) -> None:
    data.names = ("bolt", "Bolt ", "mast", "sign")


def numeric_names(data: Planted) -> None:
    data.names = ("0", "1", "2", "class_3")


def other_mix(data: Planted) -> None:
    for path in (data.root / "labels" / "val").glob("*.txt"):
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join(row for row in rows if row[0] in "02" or "7.txt" in str(path)))


def tiny_objects(data: Planted) -> None:
    data.rewrite(lambda x, y, w, h: (x, y, w / 4, h / 4))


def whole_images(data: Planted) -> None:
    data.rewrite(lambda x, y, w, h: (0.5, 0.5, 1.0, 1.0))


def imbalance(data: Planted) -> None:
    for path in (data.root / "labels").rglob("*.txt"):
        rows = path.read_text().splitlines(keepends=True)
        path.write_text("".join(row for row in rows if row[0] != "3" or path.stem in ("1", "2")))


def larger_in_val(data: Planted) -> None:
    for path in (data.root / "labels" / "train").glob("*.txt"):
        rows = [row.split() for row in path.read_text().splitlines()]
        halved = [f"{r[0]} {r[1]} {r[2]} {float(r[3]) / 2.5} {float(r[4]) / 2.5}" for r in rows]
        path.write_text("\n".join(halved))


def copies_in_val(data: Planted) -> None:
    for letter in "ab":
        name = f"frame_png.rf.{letter * 32}"
        data.write_image("val", name, data.scene())
        data.write_rows("val", name, ["0 0.5 0.5 0.2 0.2"])


def background_in_val(data: Planted) -> None:
    for index in range(20):
        data.write_rows("val", index, [])


WRONG_BOXES = {
    "box-outside", "box-without-area", "row-repaired", "too-many-rejected", "class-rare",
    "class-unused", "class-imbalance", "box-nearly-twice",
}  # fmt: skip

GLOBAL: dict[str, tuple[Callable[[Planted], None], set[str]]] = {
    "ids-from-one": (ids_from_one, {"class-unused", "class-out-of-range", "too-many-rejected"}),
    "classes-swapped": (swap_in_val, set()),
    "classes-shifted": (
        shift_in_val,
        {"class-missing", "class-shares-differ", "row-noted"},
    ),
    "convention-corners": (corners, WRONG_BOXES),
    "convention-top-left": (top_left, WRONG_BOXES),
    "boxes-in-one-part": (half_units, {"box-small", "box-mostly-small"}),
    "background-share": (mostly_background, {"background-differs"}),
    "no-val-split": (no_val, set()),
    "split-shared-files": (val_is_train, set()),
    "few-images": (few_val, set()),
    "no-objects": (no_objects, {"background-differs"}),
    "class-unused": (unused_class, set()),
    "class-missing": (missing_class, {"class-shares-differ"}),
    "class-names-alike": (alike_names, set()),
    "class-names-numbers": (numeric_names, set()),
    "class-shares-differ": (other_mix, {"class-missing"}),
    "box-mostly-small": (tiny_objects, {"box-sliver"}),
    "box-mostly-whole-image": (whole_images, {"box-twice", "box-two-classes", "too-many-rejected"}),
    "class-imbalance": (imbalance, {"class-rare"}),
    "class-rare": (imbalance, {"class-imbalance"}),
    "object-sizes-differ": (larger_in_val, {"box-small", "box-mostly-small"}),
    "copies-in-evaluation": (copies_in_val, set()),
    "background-differs": (background_in_val, set()),
}
"""Code -> how it comes about, and what else may follow from it."""


@pytest.mark.parametrize("code", GLOBAL)
def test_every_fault_of_the_whole_set_is_found(code: str, data: Planted) -> None:
    plant, consequences = GLOBAL[code]
    plant(data)
    found = codes(diagnose(data))
    assert code in found
    assert found - {code} <= consequences


def test_a_shift_of_the_training_split_is_found_too(data: Planted) -> None:
    shift_train(data)
    assert "classes-shifted" in codes(diagnose(data))


def test_worst_lines_are_few_and_leave_out_what_the_label_report_says(data: Planted) -> None:
    settings = data.settings()
    splits = [load_split(settings, "train"), load_split(settings, "val")]
    assert worst_lines(splits, image_size=SIZE) == []
    plant_local(data)
    splits = [load_split(settings, "train"), load_split(settings, "val")]
    lines = worst_lines(splits, image_size=SIZE)
    assert len(lines) == 4
    assert all("error" in line or "warning" in line for line in lines[:3])
    assert "copies" in lines[0]
    assert "check_data.py" in lines[-1]
    assert not any("cannot be used" in line or "no area" in line for line in lines)


def test_worst_lines_name_ids_that_count_from_one(data: Planted) -> None:
    ids_from_one(data)
    settings = data.settings()
    splits = [load_split(settings, "train"), load_split(settings, "val")]
    assert "count from 1" in worst_lines(splits, image_size=SIZE)[0]


def test_all_codes_have_a_severity_and_words() -> None:
    for check in CHECKS.values():
        assert check.severity in SEVERITIES
        assert check.title[0].isupper()
        assert not check.title.endswith(".")
        assert check.advice.endswith((".", "?"))


@pytest.mark.slow
def test_findings_are_the_same_after_the_folder_has_moved(data: Planted, tmp_path: Path) -> None:
    plant_local(data)
    before = [finding.line() for finding in diagnose(data).findings]
    target = tmp_path.with_name(tmp_path.name + "-moved")
    shutil.copytree(data.root, target)
    data.root = target
    assert [finding.line() for finding in diagnose(data).findings] == before


@pytest.mark.parametrize(
    ("reason", "code"),
    [
        (rows.DUPLICATE, "box-twice"),
        (rows.NO_AREA, "box-without-area"),
        (rows.OUTSIDE, "box-outside"),
        (rows.TOO_FAR_OUT, "box-outside"),
        (yolo_files.ORPHAN_LABELS, "label-without-image"),
        (yolo_files.SHARED_LABELS, "labels-shared"),
        (yolo_files.NOT_AN_IMAGE_NAME, "file-ignored"),
        (yolo_files.LISTED_TWICE, "listed-twice"),
        (voc.LISTED_TWICE, "listed-twice"),
        (voc.NO_XML, "image-without-label-file"),
        (coco.UNKNOWN_CATEGORY, "class-out-of-range"),
        (coco.NO_BOX, "row-rejected"),
    ],
)
def test_reasons_of_the_readers_have_their_code(reason: str, code: str) -> None:
    known = [own for start, own in CODES.items() if reason.startswith(start)]
    assert known == ([] if code == "row-rejected" else [code])


def test_a_dull_image_is_not_blank(data: Planted) -> None:
    rng = np.random.default_rng(0)
    dull = np.clip(rng.normal(90, 6, (HEIGHT, WIDTH, 3)), 0, 255).astype(np.uint8)
    data.write_image("train", 5, dull)
    assert "image-blank" not in codes(diagnose(data))


def test_some_boxes_across_the_border_are_no_other_convention(data: Planted) -> None:
    for index in range(30):
        data.add_row(index, "0 0.9 0.5 0.4 0.3")
        data.add_row(index, "0 0.2 0.2 0.9 0.9")
    found = codes(diagnose(data))
    assert "row-repaired" in found  # clipped
    assert not {"convention-corners", "convention-top-left"} & found


def test_a_noisy_copy_of_another_size_is_found(data: Planted) -> None:
    noise = np.random.default_rng(0).normal(0, 25, (2 * HEIGHT, 2 * WIDTH, 3))
    larger = cv2.resize(cv2.imread(str(data.image("train", 3))), (2 * WIDTH, 2 * HEIGHT))
    data.write_image("train", 4, np.clip(larger + noise, 0, 255).astype(np.uint8))
    assert "similar-image-twice" in codes(diagnose(data))
