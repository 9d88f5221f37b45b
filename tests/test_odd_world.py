"""Odd names, numbers, sizes and partners, end to end where one reader alone does not decide."""

import contextlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import focaldet
from commands.compare.forecast import power_sentences
from commands.predict.cli import parse_predict_command
from commands.predict.run import PredictionSummary, predict, read_category_ids
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from configs.reading.yaml_reader import read_yaml
from data.formats.coco.reader import NAMED_TWICE
from data.formats.rows import MAX_ROWS
from data.formats.tools.parsing import read_numbers
from data.formats.yolo.reader import parse_rows
from data.index_cache import CacheEntry, IndexCache
from data.records.load import load_split
from models.graph.rows import parse_graph
from models.limits import MAX_REPEATS
from models.limits import MAX_ROWS as MOST_GRAPH_ROWS
from models.weights.checkpoint import checkpoint_metadata, current_metadata, read_score_calibrator
from tests.commands.tiny_weights import CLASS_NAMES, IMAGE_SIZE, uneven_detector, write_weights
from tests.data.formats.tiny import coco, voc, voc_object, write_image, yolo
from tests.data.synthetic.scene_files import write_scenes
from tests.models.factories import tiny_detector, tiny_graph
from tests.run_programs import LIMIT_S, run
from utils.checkpoint.weights import save_weights
from utils.comparison.statistics.power import Design
from utils.report.drawing import draw_boxes
from utils.runtime.errors import UserError

ROOT = Path(__file__).parents[1]
ROW = "0 .5 .5 .25 .5\n"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("odd") / "w.safetensors")


def detect(weights: Path, source: object, out: Path, *arguments: str) -> PredictionSummary:
    command = ["--weights", str(weights), "--source", str(source), "--save-dir", str(out)]
    quiet = ("train.threads=1", "train.workers=0", "eval.score_threshold=0.001")
    return predict(parse_predict_command([*command, *arguments, *quiet]))


# Names.


@pytest.mark.slow
def test_pictures_whose_names_are_no_utf8(weights: Path, tmp_path: Path) -> None:
    """As archives of Latin-1 systems have them."""
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    picture = write_scenes(tmp_path, 1)[0].path
    for name in (b"\xe91.jpg", b"a.jpg", b"z\xff.jpg"):
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(Path(picture).read_bytes())
    summary = detect(weights, tmp_path / "in", tmp_path / "out", "--save", "csv,txt,images,json")
    assert (summary.num_pictures, summary.unwritten) == (3, [])
    assert b"\\udce91.jpg" in (tmp_path / "out" / "detections.csv").read_bytes() or (
        b"\\xe91.jpg" in (tmp_path / "out" / "detections.csv").read_bytes()
    )
    assert len(list((tmp_path / "out" / "labels").iterdir())) == 3


def test_class_names_of_half_characters_are_drawn() -> None:
    canvas = np.zeros((64, 64, 3), np.uint8)
    boxes = np.array([[5, 5, 40, 40]], np.float32)
    names = ("\ud800bad", "a\0b", "\x1b[31m")
    for label in range(3):
        drawn = draw_boxes(canvas.copy(), boxes, np.array([label]), names, np.array([0.5]))
        assert drawn.any()


@pytest.mark.slow
def test_results_that_no_file_can_take_cost_their_picture(weights: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for name in ("a" * 251 + ".jpg", "b.jpg"):
        write_image(folder / name)
    (tmp_path / "out").mkdir()
    summary = detect(weights, folder, tmp_path / "out" / "x", "--save", "crops,txt,images")
    assert summary.num_pictures == 2
    assert summary.unwritten == []
    (folder / "c.txt").mkdir()  # a folder stands where a label file is to be written
    write_image(folder / "c.jpg")
    out = tmp_path / "taken"
    real = Path.write_bytes

    def refuse(path: Path, content: bytes) -> int:
        if path.name == "b.txt":
            raise OSError(36, "File name too long")
        return real(path, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", refuse)
        summary = detect(weights, folder, out, "--save", "txt")
    assert summary.num_pictures == 3
    assert [Path(skip.source).name for skip in summary.unwritten] == ["b.jpg"]
    assert any(line.startswith("not written: 1 picture") for line in summary.lines())
    assert len(list((out / "labels").iterdir())) == 2


def test_a_full_disk_still_ends_it(weights: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.jpg")

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(UserError, match="free space"):
            detect(weights, tmp_path / "in", tmp_path / "out", "--save", "txt")


NO_NAMES = ("a\0b", "\ud800", "x" * 5000, "~nosuchuser/x")


@pytest.mark.parametrize("name", NO_NAMES)
def test_names_that_no_file_can_have(name: str, tmp_path: Path, weights: Path) -> None:
    calls: list[Any] = [
        lambda: focaldet.load_detector(name + ".safetensors"),
        lambda: focaldet.load_detector(name + ".pt"),
        lambda: focaldet.load_detector(name + ".onnx"),
        lambda: focaldet.load_detector(weights)(name),
        lambda: load_experiment(Path(name)),
        lambda: load_experiment(Path("configs/quickstart.yaml"), [f"model.graph={name}"]),
        lambda: load_split(yolo(tmp_path / "y", {"a": ROW}, train=f"{name}.txt"), "train"),
    ]
    for call in calls:
        with pytest.raises((UserError, ConfigError)) as caught:
            call()
        assert 0 < len(str(caught.value)) < 2000


@pytest.mark.parametrize("name", NO_NAMES[:3])
def test_lists_with_names_that_no_file_can_have(name: str, tmp_path: Path) -> None:
    line = (name + "\na\n").encode("utf-8", "surrogatepass")
    one = yolo(tmp_path / "y", {"a": ROW}, train="list.txt")
    (tmp_path / "y" / "list.txt").write_bytes(line + b"images/a.jpg\n")
    assert len(load_split(one, "train").records) == 1
    two = voc(tmp_path / "v", {"a": voc_object("cat", (1, 1, 20, 20))})
    (tmp_path / "v" / "ImageSets" / "Main" / "train.txt").write_bytes(line)
    assert len(load_split(two, "train").records) == 1


def test_a_base_in_a_circle_of_links_or_too_long(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to(tmp_path / "b.yaml")
    (tmp_path / "b.yaml").symlink_to(tmp_path / "a.yaml")
    (tmp_path / "c.yaml").write_text(f"base: {'x' * 5000}.yaml\n")
    for name in ("a.yaml", "c.yaml"):
        with pytest.raises(ConfigError) as caught:
            load_experiment(tmp_path / name)
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("tag", ["!!binary aGk=", "!!set {a}", "!!int '3'", "!!float 1", "!!str 5"])
def test_explicit_tags_are_refused(tag: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(f"a: {tag}\n")
    with pytest.raises(ConfigError, match=r"x\.yaml:1: .*tag"):
        read_yaml(tmp_path / "x.yaml")


def test_half_a_character_in_a_yaml_names_its_key(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text('run:\n  name: "\\ud800x"\n')
    with pytest.raises(ConfigError, match=r"x\.yaml:2: run\.name contains half a character"):
        read_yaml(tmp_path / "x.yaml")


# Numbers and sizes.


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": [[-1, 1, "Conv", [8, 1, 1]]] * (MOST_GRAPH_ROWS + 1)},
        {"backbone": [[-1, 10**9, "Conv", [8, 1, 1]]]},
        {"backbone": [[-1, 1, "Conv", [10**12, 1, 1]]]},
        {"backbone": [[-1, 1, "Conv", [65_536, 1, 1]]] * 3},
        *({key: value} for key in ("depth_multiple", "width_multiple", "channel_multiple")
          for value in (1e9, 1e308, 10**400)),
        {"anchors": 10**9}, {"anchors": [[10**400, 1]] * 2}, {"anchors": [[1e300, 1]] * 2},
        {"activation": "nn.ReLU(" + "-" * 100_000 + "1)"}, {"activation": "nn.PReLU(2000000000)"},
    ],
    ids=lambda changes: f"{next(iter(changes))}-{str(next(iter(changes.values())))[:20]}",
)  # fmt: skip
def test_networks_of_a_size_that_nobody_builds(changes: dict[str, Any]) -> None:
    from models.detector import build_detector

    began = time.process_time()
    with pytest.raises(ConfigError) as caught:
        build_detector(tiny_graph(**changes), num_classes=3, source="g.yaml")
    assert time.process_time() - began < 10
    assert len(str(caught.value)) < 600


def test_repeats_of_all_rows_count_together() -> None:
    rows = [[-1, MAX_REPEATS // 2, "Conv", [8, 1, 1]]] * 3
    with pytest.raises(ConfigError, match="blocks"):
        parse_graph(tiny_graph(backbone=rows), num_classes=3, source="g")


def written() -> dict[str, Any]:
    extra = {"config": {"train": {}}, "category_ids": [1, 2, 3]}
    return checkpoint_metadata(tiny_detector(), ("a", "b", "c"), 64, extra)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("config", [1]), ("config", {"eval": None}), ("config", {"train": []}),
        ("category_ids", [1]), ("category_ids", [[1]] * 3), ("category_ids", [1.5] * 3),
        ("category_ids", "abc"), ("category_ids", [True] * 3), ("category_ids", [10**30] * 3),
        ("image_size", 10**9), ("image_size", 10**400), ("image_size", -1),
        ("class_names", [f"c{n}" for n in range(70_000)]), ("class_names", ["\ud800", "b", "c"]),
        ("epoch", "3"), ("config_hash", 3), ("graph", None), ("anchors", [[10**400] * 6] * 2),
        ("versions", [[[[[]]]]] * 100_001), ("config", {"train": {"a": "x" * 9, "b": [[[[0]]]]}}),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_metadata_that_no_training_writes(key: str, value: Any) -> None:
    metadata = {**written(), key: value}
    if key == "config" and value == {"train": {"a": "x" * 9, "b": [[[[0]]]]}}:
        current_metadata(metadata, source="w")  # an unknown key is a later question
        return
    with pytest.raises(ConfigError, match=r"^w: ") as caught:
        current_metadata(metadata, source="w")
    assert len(str(caught.value)) < 300


def test_metadata_that_are_no_mapping_or_too_deep() -> None:
    deep: Any = 1
    for _ in range(300):
        deep = {"a": deep}
    for metadata in ("x", None, {**written(), "extra": deep}):
        with pytest.raises(ConfigError, match=r"^w: "):
            current_metadata(metadata, source="w")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "score_map",
    ["x", {"knots": [0, 1]}, {"knots": ["0", "nan", "1"], "values": ["0", "0", "1"]},
     {"knots": [0, 0.5, 1], "values": ["0", "nan", "1"]}, {"knots": [[0]], "values": [[0]]},
     {"knots": [0, 1e999], "values": [0, 1]}],
    ids=str,
)  # fmt: skip
def test_score_maps_that_are_none(score_map: Any) -> None:
    with pytest.raises(ConfigError, match="w"):
        read_score_calibrator({"score_map": score_map}, source="w")


@pytest.mark.parametrize(
    "kind", [torch.bool, torch.int8, torch.complex64, torch.float8_e4m3fn], ids=str
)
def test_weights_of_another_kind_of_number_are_refused(kind: torch.dtype, tmp_path: Path) -> None:
    detector = uneven_detector()
    tensors = dict(detector.state_dict())
    name = next(key for key in tensors if key.endswith("conv.weight"))
    tensors[name] = tensors[name].to(kind)
    from utils.checkpoint.weights import format_tensor_file

    metadata = checkpoint_metadata(detector, CLASS_NAMES, IMAGE_SIZE)
    header = {"kind": "weights", "format_version": 1, "content": metadata}
    (tmp_path / "w.safetensors").write_bytes(format_tensor_file(tensors, header))
    with pytest.raises(ConfigError, match="not usable"):
        focaldet.load_detector(tmp_path / "w.safetensors")


@pytest.mark.parametrize("factor", [1e30, 3e38])
def test_weights_that_answer_nan_are_told(
    factor: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    detector = uneven_detector()
    with torch.no_grad():
        for parameter in detector.parameters():
            parameter.fill_(factor)
    metadata = checkpoint_metadata(detector, CLASS_NAMES, IMAGE_SIZE)
    save_weights(tmp_path / "w.safetensors", detector.state_dict(), metadata)
    with caplog.at_level(logging.WARNING):
        focaldet.load_detector(tmp_path / "w.safetensors")
    assert "gives NaN or infinity for a grey image" in caplog.text


def test_sound_weights_are_taken_without_a_word(
    weights: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        focaldet.load_detector(weights)
    assert caplog.text == ""


def test_variances_below_zero_are_refused(tmp_path: Path) -> None:
    detector = uneven_detector()
    tensors = dict(detector.state_dict())
    name = next(key for key in tensors if key.endswith("running_var"))
    tensors[name] = tensors[name] - 5
    metadata = checkpoint_metadata(detector, CLASS_NAMES, IMAGE_SIZE)
    save_weights(tmp_path / "w.safetensors", tensors, metadata)
    with pytest.raises(ConfigError, match="variances below 0"):
        focaldet.load_detector(tmp_path / "w.safetensors")


@pytest.mark.parametrize("size", [999_999_968, 8224, 10**12])
def test_images_larger_than_any_memory(size: int, weights: Path) -> None:
    with pytest.raises(ConfigError, match="image_size"):
        focaldet.load_detector(weights, image_size=size)
    with pytest.raises(ConfigError, match=r"train\.image_size"):
        load_experiment(Path("configs/quickstart.yaml"), [f"train.image_size={size}"])


@pytest.mark.parametrize("text", ["0.5_0", "3_0", "1_0.5", "_1", "1_"])
def test_underscores_make_no_number(text: str) -> None:
    (row,) = parse_rows(f"0 {text} .5 .1 .1", 2)
    assert row.fault
    (row,) = parse_rows("1_0 .5 .5 .1 .1", 12)
    assert row.fault
    assert read_numbers([text, "1"]) is None
    assert read_numbers(["1", 2, "0.5"]) == [1, 2, 0.5]


def test_underscores_make_no_number_in_voc(tmp_path: Path) -> None:
    dataset = voc(tmp_path, {"a": voc_object("cat", ("1", "1", "3_0", "20"))})
    assert load_split(dataset, "train").report.num_rejected == 1


def test_a_label_file_of_a_million_rows_is_one_rejected_row(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW * (MAX_ROWS + 1), "b": ROW}, max_rejected=1.0)
    began = time.process_time()
    split = load_split(dataset, "train")
    assert time.process_time() - began < 10
    assert split.report.num_rejected == 1
    assert [Path(record.path).name for record in split.records if len(record.boxes)] == ["b.jpg"]


COCO_IMAGE = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}
COCO_BOX = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [5, 5, 20, 20]}


@pytest.mark.parametrize(
    "changes",
    [{"height": float("nan")}, {"height": float("inf")}, {"height": 10**400}, {"height": "x"},
     {"height": [1]}, {"id": 2**70}, {"id": 1.5}, {"id": None}, {"file_name": "a\0.jpg"},
     {"file_name": "\ud800.jpg"}, {"file_name": ["a.jpg"]}, {"file_name": None},
     {"file_name": "x" * 5000}, {"file_name": "/dev/zero"}],
    ids=lambda changes: str(changes)[:40],
)  # fmt: skip
def test_coco_images_with_odd_facts(changes: dict[str, Any], tmp_path: Path) -> None:
    """Each is a rejected or repaired row, or one line; the sound image stays where one is left."""
    dataset = coco(tmp_path, [COCO_IMAGE], [COCO_BOX])
    path = tmp_path / "train.json"
    document = json.loads(path.read_text())
    write_image(tmp_path / "images" / "b.jpg")
    other = {**COCO_IMAGE, "id": 7, "file_name": "b.jpg"}
    document["images"] = [{**COCO_IMAGE, **changes}, other]
    path.write_text(json.dumps(document))
    with contextlib.suppress(UserError):
        split = load_split(dataset, "train")
        assert "b.jpg" in {Path(record.path).name for record in split.records}


@pytest.mark.parametrize(
    "name",
    [["cat"], {"a": 1}, None, 5, "\ud800", "x" * 10_000],
    ids=lambda name: str(name)[:40],
)
def test_coco_categories_with_odd_names(name: Any, tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": name}]
    dataset = coco(tmp_path, [COCO_IMAGE], [COCO_BOX], categories=categories)
    assert load_split(dataset, "train").records[0].labels.tolist() == [0]
    used = coco(
        tmp_path / "used",
        [COCO_IMAGE],
        [COCO_BOX, {**COCO_BOX, "id": 2, "category_id": 1}],
        categories=categories,
    )
    with pytest.raises(UserError) as caught:
        load_split(used, "train")
    assert len(str(caught.value)) < 600


def test_two_coco_images_of_one_file_are_noted(tmp_path: Path) -> None:
    images = [COCO_IMAGE, {**COCO_IMAGE, "id": 2}]
    split = load_split(coco(tmp_path, images, [COCO_BOX]), "train")
    assert any(decision.reason == NAMED_TWICE for decision in split.report.decisions)


def test_a_picture_outside_of_the_images_folder_is_watched(tmp_path: Path) -> None:
    """The index is made anew when such a picture comes, goes or changes its size."""
    image = {"id": 1, "file_name": "../more/b.jpg"}
    dataset = coco(tmp_path, [{**image, "file_name": "x.jpg", "id": 9}, image], [COCO_BOX])
    path = write_image(tmp_path / "more" / "b.jpg", 60, 80)

    def sizes() -> dict[str, tuple[int, int]]:
        records = load_split(dataset, "train").records
        return {Path(record.path).name: record.size for record in records}

    assert sizes()["b.jpg"] == (60, 80)
    write_image(path, 200, 300)
    assert sizes()["b.jpg"] == (200, 300)
    path.unlink()
    assert "b.jpg" not in sizes()
    write_image(path, 30, 40)
    assert sizes()["b.jpg"] == (30, 40)


@pytest.mark.parametrize("damage", ["facts", "counts", "owner"])
def test_an_index_of_somebody_else_is_not_taken(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path / "cache"))
    dataset = yolo(tmp_path / "d", {"a": ROW})
    before = load_split(dataset, "train")
    cache = IndexCache(tmp_path / "cache")
    (path,) = (tmp_path / "cache").glob("labels-*")
    if damage == "owner":
        monkeypatch.setattr(os, "getuid", lambda: os.stat(path).st_uid + 1)
        assert cache._path(path.stem) == path
        assert cache.load(path.stem, "any") is None
        return
    meta = json.loads(bytes(np.load(path)["meta"]))
    entry = cache.load(path.stem, meta["key"])
    assert entry is not None
    arrays, facts = dict(entry.arrays), dict(entry.facts)
    if damage == "facts":
        del facts["report"]
    else:
        arrays["num_boxes"] = arrays["num_boxes"] + 5
    cache.save(path.stem, meta["key"], CacheEntry(arrays=arrays, facts=facts))
    after = load_split(dataset, "train")
    assert [r.boxes.tolist() for r in after.records] == [r.boxes.tolist() for r in before.records]


# The API.


@pytest.mark.parametrize(
    "picture",
    [Image.new("RGB", (0, 0)), torch.zeros(3, 4, 4).to_sparse(),
     torch.zeros(3, 4, 4, device="meta"), None, np.zeros((0, 5, 3), np.uint8),
     np.zeros((5, 5, 3, 1), np.uint8), object(), 5, b"x"],
    ids=lambda picture: type(picture).__name__,
)  # fmt: skip
def test_pictures_that_are_none(picture: Any, weights: Path) -> None:
    with pytest.raises(UserError):
        focaldet.load_detector(weights)(picture)


@pytest.mark.parametrize("weights_path", [None, 5, b"x", ["a"]], ids=str)
def test_weights_that_are_no_path(weights_path: Any) -> None:
    with pytest.raises(UserError, match="path of a file"):
        focaldet.load_detector(weights_path)


FORKED = """
import os, sys, torch
import focaldet, numpy as np
detect = focaldet.load_detector(sys.argv[1], image_size=320)
torch.set_num_threads(2)
picture = np.zeros((320, 320, 3), np.uint8)
large = torch.ones(1 << 20)
detect(picture); (large + large).exp().sum()
child = os.fork()
if not child:
    detect(picture); (large + large).exp().sum()
    os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), torch.get_num_threads())
"""


@pytest.mark.slow
def test_a_child_of_a_process_with_threads_computes(weights: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(weights)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.stdout.split() == ["7", "2"], done.stderr


# Screens and partners.


def test_results_are_shown_on_an_ascii_screen() -> None:
    code = "from utils.runtime import screen; screen.prepare_streams(); screen.show('\u00e9\u6f22')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert (done.returncode, done.stdout) == (0, b"\\xe9\\u6f22\n")


@contextlib.contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and never answer."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        kept: list[socket.socket] = []

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    kept.append(server.accept()[0])

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        for connection in kept:
            connection.close()


@pytest.mark.slow
@pytest.mark.parametrize("address", ["http://127.0.0.1:{}/x.mjpg", "rtsp://127.0.0.1:{}/x"])
def test_a_stream_that_never_answers_is_given_up_and_interrupted(
    address: str, weights: Path, tmp_path: Path
) -> None:
    with silent_server() as port:
        started = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "predict.py", "--weights", str(weights), "--source",
             address.format(port), "--save-dir", str(tmp_path / "out")],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        told = [process.stderr.readline() for _ in range(1)]
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=LIMIT_S)[1]
        assert "connecting" in told[0] + rest
        assert process.returncode == 130, [*told, rest]
        # 26 s before; how long it took to start tells how busy the machine is.
        assert time.monotonic() - began < 15 + began - started
        assert "Traceback" not in rest


# Files of JSON that others wrote.


@pytest.mark.parametrize(
    "content",
    ['{"categories": [{"name": "cat", "id": Infinity}]}', "[" * 100_000, "[]", '{"categories": 5}',
     '{"categories": [{"name": "cat", "id": 1e999}]}', '{"categories": [[]]}', "{", ""],
    ids=lambda content: content[:30],
)  # fmt: skip
def test_categories_of_a_file_that_is_none(content: str, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError, match=r"^--categories .*c\.json: is not a COCO annotation file"):
        read_category_ids(tmp_path / "c.json", ("cat",))


# Words and folders.


def test_one_arm_is_one_arm() -> None:
    design = Design(level=0.95, margin=0.5, sd=0.4, num_arms=1, correction="holm")
    told = " ".join(power_sentences(design, 2))
    assert "1 arm " in told
    assert "1 arms" not in told


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("optim.lrr", "train.optimizer.lr"), ("trian.epochs", "train.epochs"),
     ("agument.mosaic", "augment.mosaic"), ("loss.objectnes.gama", "loss.objectness.gamma")],
)  # fmt: skip
def test_a_slip_in_the_name_of_a_section_gets_a_hint(key: str, nearest: str) -> None:
    with pytest.raises(ConfigError, match=rf"unknown key '{key}'.*did you mean '{nearest}'"):
        load_experiment(Path("configs/quickstart.yaml"), [f"{key}=1"])


@pytest.mark.slow
def test_no_folder_is_left_where_the_network_cannot_be_built(tmp_path: Path) -> None:
    graph = tmp_path / "g.yaml"
    text = (ROOT / "configs" / "models" / "yolov5n.yaml").read_text()
    graph.write_text(text.replace("[-1, 1, Conv, [128, 3, 2]]", "[-1, 1, Conv, [128, 3, 0]]", 1))
    assert graph.read_text() != text
    done = run(
        "train.py", "--cfg", "configs/quickstart.yaml", f"model.graph={graph}",
        f"data.path={tmp_path / 'data'}", "data.train_images=4", "data.val_images=2",
        "data.side=64", "train.image_size=64", f"run.folder={tmp_path / 'runs'}",
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert list((tmp_path / "runs").iterdir()) == []
