"""One number everywhere: a small version of the table of docs/agreement.md, and the page."""

import json
import re
from pathlib import Path

import pytest
import yaml

from benchmarks.agreement import agreement
from commands.export.cli import DataSplit

COCO128 = Path(__file__).parents[1] / "configs" / "datasets" / "coco128.yaml"
PAGE = Path(__file__).parents[1] / "docs" / "agreement.md"
EXPORTED = ("ONNX", "ONNX with NMS", "OpenVINO", "OpenVINO with NMS", "TorchScript")
INT8 = ("ONNX int8", "OpenVINO int8")
TOLERANCE = 1e-4


def assert_agreement(ap: dict[str, float]) -> None:
    """PyTorch's ways are equal to the last digit, exported float32 files within the tolerance."""
    torch_ways = [way for way in ap if way not in (*EXPORTED, *INT8)]
    assert len(torch_ways) >= 2
    assert len({ap[way] for way in torch_ways}) == 1
    for way in EXPORTED:
        assert ap[way] == pytest.approx(ap["val.py"], abs=TOLERANCE), way


@pytest.mark.slow
def test_every_way_gives_the_same_number(shared: Path, tmp_path: Path) -> None:
    """Released weights on photographs."""
    weights = shared / "weights" / "yolov5n_v7.0.pt"
    data = few_photographs(shared / "data" / "coco128", tmp_path)
    rows = agreement(weights, DataSplit(data=str(data), split="val"), tmp_path)
    ap = {row.way: row.map50_95 for row in rows}
    assert 0.2 < ap["val.py"] < 0.9, "too easy or too hard to prove a thing"
    assert_agreement(ap)
    for way in INT8:
        assert ap[way] > 0.5 * ap["val.py"], "int8 costs some AP, not most of it"


def few_photographs(source: Path, folder: Path, count: int = 6) -> Path:
    names = [path.stem for path in sorted((source / "images" / "train2017").glob("*.jpg"))[:count]]
    for kind, ending in (("images", "jpg"), ("labels", "txt")):
        (folder / kind).mkdir()
        for name in names:
            original = source / kind / "train2017" / f"{name}.{ending}"
            if original.exists():
                (folder / kind / original.name).symlink_to(original)
    data = folder / "data.yaml"
    class_names = yaml.safe_load(COCO128.read_text(encoding="utf-8"))["class_names"]
    data.write_text(
        f"format: yolo\npath: {folder}\ntrain: images\nval: images\n"
        f"class_names: {json.dumps(class_names)}\nmax_rejected: 1.0\n"
    )
    return data


def table_rows(text: str) -> list[dict[str, float]]:
    """Return way -> AP of every table of the page that has ways."""
    tables: list[dict[str, float]] = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if cells[0] == "way":
            tables.append({})
        elif tables and len(cells) > 2 and re.fullmatch(r"0\.\d+", cells[1]):
            tables[-1][cells[0]] = float(cells[1])
    return tables


def test_the_page_says_what_it_promises() -> None:
    tables = table_rows(PAGE.read_text(encoding="utf-8"))
    assert len(tables) == 2
    for ap in tables:
        assert set(ap) >= {*EXPORTED, *INT8}
        assert_agreement(ap)
    assert any("validation in training" in ap for ap in tables)


def test_the_assertion_notices_a_difference() -> None:
    same = dict.fromkeys(("val.py", "predict", *EXPORTED), 0.5)
    assert_agreement(same)
    with pytest.raises(AssertionError):
        assert_agreement({**same, "predict": 0.5 + 1e-12})
    with pytest.raises(AssertionError):
        assert_agreement({**same, "OpenVINO": 0.5002})
