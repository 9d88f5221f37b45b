"""20,000 well-formed inputs of odd meaning: every reader gives a value or its own error."""

import contextlib
import json
import random
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.errors import ConfigError
from configs.reading.load import experiment_from_mapping, load_dataset
from configs.reading.yaml_reader import read_yaml
from data.formats.coco.reader import CocoReader
from data.formats.files import SplitFiles
from data.formats.rows import judge, reject_all
from data.formats.voc import VocReader
from data.formats.yolo.reader import parse_rows
from models.graph.rows import parse_graph
from models.weights.checkpoint import current_metadata, read_score_calibrator
from tests.data.formats.tiny import coco, voc
from tests.fuzz import strange_values as st
from utils.checkpoint.weights import format_tensor_file, load_weights
from utils.export.description import read_description
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import read_json_object

pytestmark = pytest.mark.slow
CLEAN = (UserError, ConfigError)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        [
            "1",
            "0",
            "nan",
            "\0",
            "\x1b[31m",
            "\ud800",
            "../x",
            "=1+1",
            "a",
            -1,
            2**63,
            1e308,
            10**400,
        ]
    ),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
)


def often(strategy: st.Strategy) -> st.Strategy:
    """Return mostly what belongs there, at times anything."""
    return st.one_of(strategy, strategy, strategy, VALUES)


def fields(**strategies: st.Strategy) -> st.Strategy:
    return st.fields({key: often(value) for key, value in strategies.items()})


def drawn(strategy: st.Strategy, count: int) -> Iterator[Any]:
    """Yield values of seeds that a failed test shows as `seed`."""
    for seed in range(count):
        yield strategy.draw(random.Random(seed))


NUMBERS = st.integers(-3, 90) | st.floats(-5, 200)
COCO = fields(
    images=st.lists(
        fields(
            id=st.integers(0, 4),
            file_name=st.sampled_from(["a.jpg", "b.jpg"]),
            height=NUMBERS,
            width=NUMBERS,
        ),
        max_size=4,
    ),
    annotations=st.lists(
        fields(
            id=st.integers(0, 9),
            image_id=st.integers(0, 4),
            category_id=st.integers(0, 3),
            iscrowd=st.integers(0, 1),
            area=NUMBERS,
            bbox=st.lists(NUMBERS, min_size=4, max_size=4),
        ),
        max_size=5,
    ),
    categories=st.lists(
        fields(id=st.integers(0, 3), name=st.sampled_from(["cat", "dog", "x"])), max_size=3
    ),
)


def judged(raw: Any) -> None:
    for image in raw.images:
        judge(image, (80, 64))
        reject_all(image)


def test_coco(tmp_path_factory: pytest.TempPathFactory) -> None:
    for document in drawn(COCO, 4000):
        reader = CocoReader(READERS["coco"], "train")
        path = str(reader._annotations)
        images = tuple(str(reader._images / name) for name in ("a.jpg", "b.jpg"))
        text = json.dumps(document, default=str).encode()
        with contextlib.suppress(CLEAN):
            judged(reader.read(SplitFiles(images=images, labels={path: text})))


READERS: dict[str, Any] = {}


@pytest.fixture(scope="module", autouse=True)
def _readers(tmp_path_factory: pytest.TempPathFactory) -> None:
    READERS["coco"] = coco(tmp_path_factory.mktemp("coco"), [], [])
    READERS["voc"] = voc(tmp_path_factory.mktemp("voc"), {"a": ""})


TAGS = st.sampled_from(
    [
        "object",
        "name",
        "bndbox",
        "xmin",
        "ymin",
        "xmax",
        "ymax",
        "difficult",
        "size",
        "width",
        "height",
        "filename",
        "part",
        "annotation",
        "{http://x}object",
        "objects",
    ]
)
TEXTS = st.sampled_from(
    ["cat", "1", "0", "-3", "nan", "1_0", "1e999", "Unspecified", "", "\x0b", "9" * 400]
)


def _tree(source: random.Random, depth: int = 0) -> ElementTree.Element:
    tags = TAGS if depth else st.sampled_from(["annotation", "annotation", "x"])
    element = ElementTree.Element(tags.draw(source))
    element.text = TEXTS.draw(source)
    if depth < 4:
        element.extend(_tree(source, depth + 1) for _ in range(source.randint(0, 4 - depth // 2)))
    return element


TREES = st.Strategy(_tree)


def test_voc() -> None:
    for tree in drawn(TREES, 3000):
        reader = VocReader(READERS["voc"], "train")
        files = SplitFiles(
            images=(str(reader._images / "a.jpg"),),
            labels={str(reader._list): b"a\n", reader._xml_path("a"): ElementTree.tostring(tree)},
        )
        with contextlib.suppress(CLEAN):
            judged(reader.read(files))


CELLS = st.one_of(
    st.sampled_from(["0", "1", "0.5", "1_0", "nan", "inf", "-1", "x", "1e999", "\0"]),
    st.text(max_size=4),
)


def test_yolo_rows() -> None:
    for rows in drawn(st.lists(st.lists(CELLS, max_size=9), max_size=5), 4000):
        for row in parse_rows("\n".join(" ".join(row) for row in rows), 3):
            assert row.fault or 0 <= row.label < 3


DATA = fields(
    path=st.sampled_from([".", "x", "~nobody", "a\0b", "x" * 5000]),
    train=st.sampled_from(["images", "x.txt"]),
    val=st.text(max_size=4),
    names=st.lists(st.text(max_size=5), max_size=4)
    | st.dictionaries(st.integers(0, 3), st.text(max_size=3)),
    nc=st.integers(0, 4),
    format=st.sampled_from(["yolo", "coco", "voc", "synthetic"]),
    download=st.text(max_size=5),
)


def test_data_yaml(tmp_path_factory: pytest.TempPathFactory) -> None:
    for values in drawn(DATA, 2500):
        path = tmp_path_factory.getbasetemp() / "data.yaml"
        try:
            path.write_text(yaml.dump(values), encoding="utf-8", errors="surrogatepass")
            read_yaml(path)
            load_dataset(path)
        except CLEAN:
            pass


ROW = st.tuples(
    often(st.integers(-3, 3) | st.lists(st.integers(-3, 3), max_size=3)),
    often(st.integers(1, 4)),
    often(
        st.sampled_from(
            ["Conv", "C3", "SPPF", "Concat", "nn.Upsample", "Detect", "Retina", "nn.ZeroPad2d"]
        )
    ),
    often(
        st.lists(
            st.integers(-2, 70)
            | st.sampled_from(["None", "nearest", "nc", "anchors", "nn.ReLU()", "nn.PReLU(10**9)"]),
            max_size=5,
        )
    ),
).map(list)
GRAPH = fields(
    nc=st.integers(1, 9),
    depth_multiple=NUMBERS,
    width_multiple=NUMBERS,
    channel_multiple=NUMBERS,
    anchors=st.integers(0, 200) | st.lists(st.lists(NUMBERS, max_size=6), max_size=3),
    activation=st.sampled_from(["nn.SiLU()", "nn.ReLU(" + "(" * 90, "x"]),
    backbone=st.lists(ROW, max_size=4),
    head=st.lists(ROW, max_size=3),
)


def test_graphs() -> None:
    for mapping in drawn(GRAPH, 3000):
        with contextlib.suppress(CLEAN):
            parse_graph(mapping if isinstance(mapping, dict) else {}, num_classes=3)


METADATA = fields(
    format_version=st.sampled_from([1, 2, 3]),
    class_names=st.lists(st.text(max_size=4), max_size=3),
    graph=GRAPH,
    anchors=st.lists(st.lists(NUMBERS, max_size=4), max_size=3),
    image_size=st.integers(0, 9000),
    category_ids=st.lists(st.integers(0, 5), max_size=3),
    config=fields(
        train=fields(epochs=NUMBERS, image_size=NUMBERS), eval=fields(batch_size=NUMBERS), data=DATA
    ),
    score_map=fields(knots=st.lists(NUMBERS, max_size=3), values=st.lists(NUMBERS, max_size=3)),
)


def test_metadata_of_weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    for metadata in drawn(METADATA, 2500):
        path = tmp_path_factory.getbasetemp() / "x.safetensors"
        try:
            header = {"kind": "weights", "format_version": 1, "content": metadata}
            path.write_bytes(format_tensor_file({}, header))
        except (ValueError, TypeError):
            continue  # JSON cannot hold it
        try:
            current = current_metadata(load_weights(path)[1], source="x")
            read_score_calibrator(current, source="x")
            experiment_from_mapping(current.get("config") or {})
        except CLEAN:
            pass


PROPERTIES = (
    "class_names",
    "category_ids",
    "image_size",
    "stride",
    "letterbox",
    "pad_colour",
    "nms",
    "score_threshold",
    "iou_threshold",
    "max_detections",
    "max_candidates",
    "multi_label",
    "class_agnostic",
    "precision",
    "training",
    "score_map",
)


def test_descriptions_of_exported_files() -> None:
    for values in drawn(st.fields(dict.fromkeys(PROPERTIES, VALUES)), 1500):
        properties = {key: json.dumps(value, default=str) for key, value in values.items()}
        with contextlib.suppress(CLEAN):
            read_description({"focaldet_format": "1", **properties}, source="x")


def test_json_of_run_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    for value in drawn(VALUES, 1000):
        path: Path = tmp_path_factory.getbasetemp() / "pairing.json"
        path.write_text(json.dumps(value, default=str), encoding="utf-8")
        with contextlib.suppress(CLEAN):
            assert isinstance(read_json_object(path), dict)
