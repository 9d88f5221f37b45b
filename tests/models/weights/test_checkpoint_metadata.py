import json
from typing import Any

import pytest

from configs.errors import ConfigError
from models.weights.checkpoint import FORMAT_VERSION, checkpoint_metadata, current_metadata
from tests.models.factories import tiny_detector

NAMES = ["cat", "dog", "owl"]


def written() -> dict[str, Any]:
    metadata = checkpoint_metadata(tiny_detector(), NAMES, 64, {"epoch": 3})
    return dict(json.loads(json.dumps(metadata)))


def test_what_is_written_is_current() -> None:
    assert current_metadata(written(), source="w") == written()


def test_first_version_is_brought_up_to_date() -> None:
    """Version 1 knew nothing of libraries and commit."""
    old = {k: v for k, v in written().items() if k not in ("versions", "commit")}
    old["format_version"] = 1
    assert current_metadata(old, source="w") == {**written(), "versions": {}, "commit": None}
    assert old["format_version"] == 1


@pytest.mark.parametrize(
    ("version", "remedy"),
    [
        (0, "train or convert the weights again"),
        (99, "update this program"),
        ("2", "train or convert"),
        (None, "train or convert"),
        (True, "train or convert"),
        ([1], "train or convert"),
    ],
)
def test_other_versions_are_refused_in_one_sentence(version: Any, remedy: str) -> None:
    with pytest.raises(ConfigError, match=r"^w: format version .* cannot be read") as error:
        current_metadata({**written(), "format_version": version}, source="w")
    assert f"this program reads 1 to {FORMAT_VERSION}; {remedy}" in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("graph", []),
        ("class_names", "cat"),
        ("class_names", []),
        ("class_names", ["cat", 3]),
        ("anchors", 3),
        ("anchors", [[1, "2"]]),
        ("image_size", "64"),
        ("image_size", 0),
        ("image_size", True),
    ],
)
def test_values_of_another_kind_are_refused(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"w: metadata '{key}' is damaged"):
        current_metadata({**written(), key: value}, source="w")
