"""Classes that the files have and the settings do not: left out, merged or renamed by one key."""

from pathlib import Path

import pytest

from configs.schema.data import ClassChanges
from data.records.load import load_split
from tests.data.formats.tiny import coco, voc
from tests.data.intake.exports import voc_xml
from utils.runtime.errors import UserError

IMAGE = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}
ROWS = [
    {"id": number, "image_id": 1, "category_id": number, "bbox": [10 * number, 5, 20, 20]}
    for number in (0, 1, 2)
]


def stray(tmp_path: Path, **changes: object):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Return COCO data of cat, dog and one box of a category that class_names does not have."""
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}, {"id": 2, "name": "dogs"}]
    dataset = coco(tmp_path, [IMAGE], ROWS, categories=categories)
    return dataset.model_copy(update={"classes": ClassChanges(**changes) if changes else None})


def test_a_stray_category_is_named_with_the_key_that_leaves_it_out(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_split(stray(tmp_path), "train")
    assert "data.classes={leave_out: [dogs]}" in str(caught.value)
    assert "did you mean" not in str(caught.value)  # dog is a category of its own


def test_a_stray_category_is_left_out_and_told(tmp_path: Path) -> None:
    split = load_split(stray(tmp_path, leave_out=("dogs",)), "train")
    assert split.class_names == ("cat", "dog")
    assert split.records[0].labels.tolist() == [0, 1]
    assert split.report.num_dropped == 1
    assert any("dogs: 1 rows" in str(decision) for decision in split.report.decisions)


def test_a_stray_category_is_merged_or_renamed(tmp_path: Path) -> None:
    merged = load_split(stray(tmp_path / "a", merge={"dog": ("dog", "dogs")}), "train")
    assert merged.class_names == ("cat", "dog")
    assert merged.records[0].labels.tolist() == [0, 1, 1]
    renamed = load_split(stray(tmp_path / "b", rename={"dogs": "wolf"}), "train")
    assert renamed.class_names == ("cat", "dog", "wolf")
    assert renamed.records[0].labels.tolist() == [0, 1, 2]


def test_a_name_that_no_file_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'dgos'"):
        load_split(stray(tmp_path, leave_out=("dogs", "dgos")), "train")


def test_a_stray_class_of_voc_is_left_out(tmp_path: Path) -> None:
    objects = [("cat", (10, 12, 50, 40)), ("cow", (10, 12, 50, 40))]
    dataset = voc(tmp_path, {"a": ""})
    (tmp_path / "Annotations" / "a.xml").write_text(voc_xml("a", objects))
    changed = dataset.model_copy(update={"classes": ClassChanges(leave_out=("cow",))})
    split = load_split(changed, "train")
    assert (split.report.num_dropped, split.report.num_rejected) == (1, 0)
    assert split.records[0].labels.tolist() == [0]
