"""What an exported file says of itself comes back as it was, or is refused in one line."""

from dataclasses import replace

import pytest

from tests.utils.export.test_nms_graph import VAL
from utils.export.description import Description, read_description
from utils.runtime.errors import UserError

DESCRIPTION = Description(
    class_names=("cat", "Eule, groß", '"quoted"'),
    category_ids=(3, 18, 90),
    image_size=640,
    stride=32,
    rectangular=True,
    pad_colour=114,
    has_suppression=False,
    suppression=VAL,
)


@pytest.mark.parametrize(
    "description",
    [
        DESCRIPTION,
        replace(
            DESCRIPTION,
            rectangular=False,
            has_suppression=True,
            precision="int8",
            suppression=replace(VAL, score_threshold=0.1 + 0.2, multi_label=False),
            score_map={"knots": [0.0, 1.0], "values": [0.1, 0.9]},
            training={"config": {"train": {"image_size": 640}}, "epoch": 3, "config_hash": "ab"},
        ),
    ],
)
def test_round_trip(description: Description) -> None:
    properties = description.to_properties()
    assert all(isinstance(value, str) for value in properties.values())
    assert read_description(properties, source="x.onnx") == description


def test_entries_of_others_are_not_read() -> None:
    properties = {**DESCRIPTION.to_properties(), "author": "somebody"}
    assert read_description(properties, source="x.onnx") == DESCRIPTION


def test_a_foreign_file_says_nothing() -> None:
    with pytest.raises(UserError, match=r"x\.onnx has no metadata of this program's export\.py"):
        read_description({"author": "somebody"}, source="x.onnx")


def test_files_from_before_box_voting_have_none() -> None:
    properties = DESCRIPTION.to_properties()
    del properties["box_voting"]
    assert read_description(properties, source="x.onnx").suppression.box_voting is None
    voting = replace(DESCRIPTION.suppression, box_voting=0.7)
    description = replace(DESCRIPTION, suppression=voting)
    assert read_description(description.to_properties(), source="x.onnx") == description


def test_newer_and_damaged_files_are_refused() -> None:
    properties = DESCRIPTION.to_properties()
    with pytest.raises(UserError, match=r"x\.onnx has export format 7, this program reads 1"):
        read_description({**properties, "focaldet_format": "7"}, source="x.onnx")
    for key in properties.keys() - {"channel_order", "pixel_range", "box_format", "letterbox"}:
        without = {other: value for other, value in properties.items() if other != key}
        if key in ("focaldet_format", "box_voting"):
            continue
        with pytest.raises(UserError, match=r"x\.onnx: its metadata are damaged"):
            read_description(without, source="x.onnx")
        if key != "precision":
            with pytest.raises(UserError, match=r"x\.onnx: its metadata are damaged"):
                read_description({**properties, key: "{"}, source="x.onnx")
