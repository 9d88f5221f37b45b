"""The Python API: every form of a picture gives what the tools give."""

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from commands.api.detector import as_rgb
from commands.build.predictor import Predictor
from focaldet import (
    ConfigError,
    Detections,
    Detector,
    ImageError,
    UserError,
    load_detector,
)
from tests.commands.tiny_weights import CLASS_NAMES, write_weights
from tests.data.synthetic.scene_files import write_scenes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("api")
    write_weights(root / "best.safetensors", category_ids=[3, 1, 7])
    write_scenes(root, 6)
    return root


@pytest.fixture(scope="module")
def detector(folder: Path) -> Detector:
    return load_detector(folder / "best.safetensors", batch_size=2)


def equal(a: Detections, b: Detections) -> bool:
    pairs = ((a.boxes, b.boxes), (a.scores, b.scores), (a.labels, b.labels))
    return a.image_size == b.image_size and all(np.array_equal(x, y) for x, y in pairs)


def test_every_form_of_a_picture_gives_the_same(folder: Path, detector: Detector) -> None:
    path = folder / "0.png"
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    pixels = np.asarray(image)
    tensor = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
    wanted = detector(str(path))
    assert len(wanted) > 3
    for picture in (path, image, pixels, pixels[:, ::-1][:, ::-1], tensor, tensor / 255):
        assert equal(detector(picture), wanted)


def test_a_list_gives_one_result_each_in_its_order(folder: Path, detector: Detector) -> None:
    paths = [folder / f"{number}.png" for number in (4, 0, 3, 1, 2, 5)]
    results = detector(paths)
    assert len(results) == 6
    for path, result in zip(paths, results, strict=True):
        alone = detector(path)
        assert result.image_size == alone.image_size
        # Not bit for bit: torch may sum in another order for another number of pictures.
        assert np.allclose(result.boxes[:10], alone.boxes[:10], atol=1e-3)
        others = [detector(other).boxes[:10] for other in paths if other != path]
        assert not any(np.allclose(boxes, alone.boxes[:10], atol=1e-3) for boxes in others)
    assert detector([]) == []
    assert len(detector((paths[0],))) == 1


def test_boxes_lie_in_the_picture_and_scores_fall(folder: Path, detector: Detector) -> None:
    found = detector(folder / "4.png")
    height, width = found.image_size
    assert (height, width) == (96, 128)
    assert (found.boxes >= 0).all()
    assert (found.boxes <= [width, height, width, height]).all()
    assert (np.diff(found.scores) <= 0).all()
    assert (found.boxes.dtype, found.scores.dtype, found.labels.dtype) == (
        np.float32,
        np.float32,
        np.int64,
    )
    first = next(iter(found))
    assert first.class_name == CLASS_NAMES[found.labels[0]] == found.class_names[found.labels[0]]
    assert first.box == tuple(found.boxes[0].tolist())
    assert first.score == found.scores[0]


def test_coco_entries_are_rounded_and_carry_the_categories(
    folder: Path, detector: Detector
) -> None:
    found = detector(folder / "0.png")
    entries = found.to_coco(42)
    assert len(entries) == len(found)
    for entry, box, score, label in zip(
        entries, found.boxes.tolist(), found.scores.tolist(), found.labels, strict=True
    ):
        assert set(entry) == {"image_id", "category_id", "bbox", "score"}
        assert entry["image_id"] == 42
        assert entry["category_id"] == (3, 1, 7)[label]
        x1, y1, x2, y2 = box
        assert entry["bbox"] == [round(n, 3) for n in (x1, y1, x2 - x1, y2 - y1)]
        assert entry["score"] == round(score, 6)


@pytest.mark.slow
def test_arguments_reach_the_settings(folder: Path, detector: Detector) -> None:
    path, weights = folder / "0.png", folder / "best.safetensors"
    wanted = detector(path)
    middle = float(np.median(wanted.scores))
    strict = load_detector(weights, score_threshold=middle)(path)
    assert len(strict) == int((wanted.scores > middle).sum())
    assert len(load_detector(weights, max_detections=2)(path)) == 2
    assert len(load_detector(weights, iou_threshold=0.01)(path)) < len(wanted)
    assert len(load_detector(weights, class_agnostic=True)(path)) <= len(wanted)
    assert not equal(load_detector(weights, image_size=128)(path), wanted)
    assert len(load_detector(weights, eval={"max_candidates": 2})(path)) <= 2 < len(wanted)
    with pytest.raises(ConfigError, match="score_treshold"):
        load_detector(weights, score_treshold=0.5)
    with pytest.raises(ConfigError, match="a multiple of 32"):
        load_detector(weights, image_size=100)
    with pytest.raises(UserError, match="device"):
        load_detector(weights, device="cuda:99")


def test_it_is_the_predictor_of_the_tools(folder: Path, detector: Detector) -> None:
    predictor = Predictor.from_file(folder / "best.safetensors")
    image = as_rgb(folder / "0.png")
    found = predictor(predictor.framing.batch([image]))[0]
    assert np.array_equal(detector(image).boxes, found.boxes.numpy())


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), "uint8"),
        (np.zeros((4, 4, 4), np.uint8), r"got uint8 \(4, 4, 4\)"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"\(2, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), r"\(3, H, W\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int64), "int64"),
        (torch.full((3, 4, 4), 255.0), r"in \[0, 1\]"),
        (torch.full((3, 4, 4), float("nan")), r"in \[0, 1\]"),
        (Image.new("F", (4, 4)), "mode F"),
        (5, "got int; several go in a list"),
    ],
)
def test_other_forms_are_refused_in_one_line(picture: Any, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        as_rgb(picture)
    assert "\n" not in str(caught.value)


def test_pixels_of_every_form_become_rgb() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (as_rgb(grey) == grey[..., None]).all()
    assert as_rgb(grey).shape == (3, 4, 3)
    half = torch.tensor([0.0, 0.5, 1.0]).view(3, 1, 1).expand(3, 2, 2)
    assert as_rgb(half)[0, 0].tolist() == [0, 128, 255]
    assert as_rgb(half.half())[0, 0].tolist() == [0, 128, 255]
    assert as_rgb(Image.new("L", (2, 5), 9)).tolist() == [[[9] * 3] * 2] * 5
    assert as_rgb(Image.new("CMYK", (1, 1), (0, 255, 255, 0))).shape == (1, 1, 3)
    with pytest.raises(ImageError, match=r"missing\.jpg: no such file"):
        as_rgb("missing.jpg")


def test_a_rotated_picture_is_seen_upright() -> None:
    image = Image.new("RGB", (6, 4))
    exif = image.getexif()
    exif[0x0112] = 6
    assert as_rgb(image).shape == (6, 4, 3)


def test_without_supervision_the_error_says_what_to_do(
    folder: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UserError, match=r"pip install supervision.*boxes, scores and labels"):
        detector(folder / "0.png").to_supervision()


def test_supervision_gets_all_columns(
    folder: Path, detector: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in = types.ModuleType("supervision")
    stand_in.Detections = lambda **columns: columns  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "supervision", stand_in)
    found = detector(folder / "0.png")
    given = found.to_supervision()
    assert given["xyxy"] is found.boxes
    assert given["confidence"] is found.scores
    assert given["class_id"] is found.labels
    assert given["data"]["class_name"].tolist() == [each.class_name for each in found]


def test_the_project_itself_does_not_import_it() -> None:
    root = Path(__file__).parents[3]
    own = [root / f"{name}.py" for name in ("train", "val", "predict")]
    for package in ("commands", "configs", "data", "models", "utils"):
        own += (root / package).rglob("*.py")
    assert [path for path in own if "import focaldet" in path.read_text()] == []
    assert [path for path in own if "from focaldet" in path.read_text()] == []


@pytest.mark.slow
def test_detections_are_shown_as_a_picture_and_a_table(folder: Path, detector: Detector) -> None:
    found = detector(folder / "0.png")
    drawn = found.plot()
    assert drawn.size == (found.image_size[1], found.image_size[0])
    assert len(found) > 0
    assert (np.asarray(drawn) != found.pixels).any()
    assert found._repr_png_().startswith(b"\x89PNG")
    assert repr(found).startswith("<Detections: ")
    assert f"{found.image_size[1]} x {found.image_size[0]} pixels" in repr(found)


@pytest.mark.slow
def test_a_table_has_a_row_for_each_object(folder: Path, detector: Detector) -> None:
    pandas = pytest.importorskip("pandas")
    found = detector(folder / "0.png")
    table = found.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert table[["x1", "y1", "x2", "y2"]].to_numpy().tolist() == found.boxes.tolist()
    assert table["class_name"].tolist() == [each.class_name for each in found]
