"""A new format of labels takes three places: its reader, its settings, its line in the table."""

import json
from pathlib import Path
from typing import get_args

import pytest

from commands.compare.split_cut import cut_test_split
from configs.reading.load import load_experiment
from configs.schema import data as schema
from data.formats import readers
from data.formats.readers import READERS
from data.records.load import load_split
from tests.data.formats.tiny import write_image
from tests.worked_example import below_root, extended_copy, run_in

SETTINGS = '''class CsvDataset(DatasetSettings):
    """One table with rows `image,class,x1,y1,x2,y2` in pixels."""

    format: Literal["csv"]

    train: str
    """The table of the training images."""

    val: str | None = None
    """The table of the validation images."""

    test: str | None = None
    """The table of the test images."""


'''
READER = '''"""Tables with a row an object."""

import os
from pathlib import Path

from data.formats.files import SplitFiles, read_required, to_text
from data.formats.rows import RawImage, RawRow, RawSplit


class CsvReader:
    def __init__(self, dataset, split):
        self._dataset, self._key = dataset, f"data.{split}"
        self._table = Path(dataset.path, getattr(dataset, split))

    def find(self):
        content = read_required(self._table, self._key)
        images = {self._image(line) for line in to_text(content).split()}
        return SplitFiles(images=tuple(sorted(images)), labels={str(self._table): content})

    def read(self, files):
        names = self._dataset.class_names
        rows = {image: [] for image in files.images}
        for number, line in enumerate(to_text(files.labels[str(self._table)]).split(), 1):
            _, name, *box = line.split(",")
            label, corners = names.index(name), tuple(map(float, box))
            rows[self._image(line)].append(RawRow(f"line {number}", line, label=label, box=corners))
        return RawSplit(
            category_ids=tuple(range(len(names))),
            images=[
                RawImage(path=path, image_id=number, rows=own, label_file=str(self._table))
                for number, (path, own) in enumerate(rows.items())
            ],
        )

    def write_part(self, records, category_ids, path):
        names = {os.path.basename(record.path) for record in records}
        lines = self._table.read_text().splitlines(keepends=True)
        path.with_suffix(".csv").write_text("".join(x for x in lines if x.split(",")[0] in names))
        return str(path.with_suffix(".csv"))

    def _image(self, line):
        return str(Path(self._dataset.path, line.split(",")[0]))
'''
PROGRAM = f"""
import json, sys
from pathlib import Path
from {cut_test_split.__module__} import cut_test_split
from {load_experiment.__module__} import load_experiment
from {load_split.__module__} import load_split

def rows(records):
    return {{Path(r.path).stem: [r.boxes.tolist(), r.labels.tolist()] for r in records}}

path, cut = sys.argv[1:]
whole = load_split(load_experiment(path).experiment.data, "val").records
settings = cut_test_split(load_experiment(path), Path(cut), 0.5)
parts = load_experiment(path, settings).experiment.data
found = [whole, *(load_split(parts, part).records for part in ("val", "test"))]
print(json.dumps([rows(records) for records in found]))
"""


@pytest.mark.slow
def test_a_worked_example_takes_three_places(tmp_path: Path) -> None:
    table = below_root(readers.__file__)
    reader = table.with_name("csv_tables.py")
    module = ".".join(reader.with_suffix("").parts)
    places = extended_copy(
        tmp_path / "copy",
        {
            reader: {"": READER},
            below_root(schema.__file__): {
                "class SyntheticDataset(": SETTINGS + "class SyntheticDataset(",
                "YoloDataset | CocoDataset": "YoloDataset | CsvDataset | CocoDataset",
            },
            table: {
                "import CocoDataset, ": "import CocoDataset, CsvDataset, ",
                "from data.formats.coco": f"from {module} import CsvReader\nfrom data.formats.coco",
                "    YoloDataset: ": "    CsvDataset: CsvReader,\n    YoloDataset: ",
            },
        },
    )
    assert len(places) == 3
    names = [f"image{number}" for number in range(6)]
    for name in names:
        write_image(tmp_path / f"{name}.jpg")
    lines = [f"{name}.jpg,dog,{k},2,40,50" for k, name in enumerate(names)]
    (tmp_path / "table.csv").write_text("\n".join([*lines, f"{names[0]}.jpg,cat,5,6,20,30"]))
    (tmp_path / "graph.yaml").write_text("nc: 2\nanchors: [[10, 13]]\nbackbone: []\nhead: []\n")
    settings = {
        "data": {
            "format": "csv", "path": str(tmp_path), "class_names": ["cat", "dog"],
            "train": "table.csv", "val": "table.csv", "cache": False,
        },
        "model": {"graph": "graph.yaml"},
    }  # fmt: skip
    (tmp_path / "experiment.yaml").write_text(json.dumps(settings))
    (tmp_path / "cut").mkdir()
    said = run_in(
        tmp_path / "copy", PROGRAM, str(tmp_path / "experiment.yaml"), str(tmp_path / "cut")
    )
    whole, val, test = json.loads(said.splitlines()[-1])
    want = {name: [[[k, 2, 40, 50]], [1]] for k, name in enumerate(names)}
    want[names[0]] = [[[0, 2, 40, 50], [5, 6, 20, 30]], [1, 0]]
    assert whole == want
    assert val
    assert test
    assert {**val, **test} == want
    assert not val.keys() & test.keys()


def test_every_format_of_files_has_a_reader() -> None:
    union, _ = get_args(schema.Dataset)
    assert set(get_args(union)) - {schema.SyntheticDataset, schema.AutoDataset} == READERS.keys()


def test_settings_are_found_by_the_name_of_their_format() -> None:
    assert schema.settings_of_format("coco") is schema.CocoDataset
    assert schema.settings_of_format("voc") is schema.VocDataset
    assert schema.settings_of_format("yolo") is schema.YoloDataset
