"""docs/data.md names the keys and layouts that there are, and its example works."""

import re
from pathlib import Path
from typing import get_args

from configs.reading.load import load_dataset
from configs.schema.data import Dataset
from data.formats.tools import TOOLS
from data.intake.recognise import LAYOUTS
from data.intake.resolve import look_at, write_yaml
from data.records.load import load_split
from tests.data.intake.exports import roboflow_yolo

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def test_every_key_exists() -> None:
    known = {key for each in get_args(get_args(Dataset)[0]) for key in each.model_fields}
    named = set(re.findall(r"`data\.(\w+)", TEXT))
    assert {"val", "frame", "outside", "classes"} <= named
    assert named - known - {"yaml"} == set()


def test_every_layout_is_in_the_table() -> None:
    table = TEXT.split("## What `data=` takes")[1].split("**Paths**")[0].lower()
    squeezed = table.replace(" ", "")
    assert [name for name in (*LAYOUTS, *TOOLS) if name not in squeezed and name not in table] == []


def test_the_written_yaml_says_the_same(tmp_path: Path) -> None:
    roboflow_yolo(tmp_path / "helmets")
    found = look_at(load_dataset(str(tmp_path / "helmets")))
    write_yaml(found, tmp_path / "my.yaml")
    again = look_at(load_dataset(str(tmp_path / "my.yaml")))
    before, after = (load_split(one.dataset, "train").fingerprint for one in (found, again))
    assert before == after
