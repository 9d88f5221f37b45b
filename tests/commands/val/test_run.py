"""The data that val.py evaluates on."""

from pathlib import Path

import pytest

from commands.val import run
from commands.val.cli import parse_val_command
from configs.reading.load import experiment_from_mapping
from tests.commands.compare.test_comparison_parts import yolo_data
from utils.runtime.errors import UserError


@pytest.mark.parametrize("named", [(), ("--data", "my.yaml")])
def test_missing_data_say_who_named_them(tmp_path: Path, named: tuple[str, ...]) -> None:
    yolo_data(tmp_path)
    data = {
        "format": "yolo",
        "path": str(tmp_path),
        "class_names": ["a"],
        "train": "images",
        "val": "lists/val.txt",
    }
    experiment = experiment_from_mapping({"data": data, "train": {"image_size": 64}})
    command = parse_val_command(["--weights", "old.safetensors", *named])
    with pytest.raises(UserError, match=r"lists/val\.txt") as raised:
        run._load_split(experiment, command)
    hint = "(so old.safetensors names the data it was trained on; name others with --data)"
    assert str(raised.value).endswith(hint) != bool(named)
