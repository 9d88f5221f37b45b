"""Released checkpoints give the numbers of the reference implementation, from image to box."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from data.images.io import read_image
from data.images.letterbox import fit_into
from models.detector import Detector, build_detector
from models.inference.fusion import fuse
from models.inference.nms import Postprocess
from models.weights.transfer import transfer
from tests.models.factories import read_graph
from utils.checkpoint.torch_file import read_torch_file
from utils.structures.boxes import box_area

VERSIONS = {"v7": "yolov5n_v7.0.pt", "v6": "yolov5n_v6.0.pt"}


@dataclass(frozen=True)
class Released:
    detector: Detector
    golden: dict[str, Tensor]
    image_names: list[str]


@pytest.fixture(scope="module", params=VERSIONS)
def released(request: pytest.FixtureRequest, shared: Path) -> Released:
    """The detector with released weights, and what it must give."""
    detector = build_detector(read_graph("yolov5n"), num_classes=80)
    checkpoint = read_torch_file(shared / "weights" / VERSIONS[request.param])
    report = transfer(detector, checkpoint.tensors)
    assert report.missing == ()
    with np.load(shared / "golden" / f"yolov5n_{request.param}.npz", allow_pickle=False) as file:
        golden = {
            name: torch.from_numpy(file[name])
            for name in file.files
            if name.startswith(("rand_", "det"))
        }
        image_names = [str(file[name]) for name in sorted(file.files) if name.startswith("name")]
    return Released(detector.eval(), golden, image_names)


@torch.no_grad()
def test_raw_output(released: Released) -> None:
    for network in (released.detector, fuse(released.detector)):
        levels = network(released.golden["rand_x"]).levels
        for index, level in enumerate(levels):
            expected = released.golden[f"rand_raw{index}"]
            torch.testing.assert_close(level, expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_decoded_output(released: Released) -> None:
    decoded = released.detector(released.golden["rand_x"]).decode()
    expected = released.golden["rand_decoded"]
    centers = (decoded.boxes[..., :2] + decoded.boxes[..., 2:]) / 2
    torch.testing.assert_close(centers, expected[..., :2], rtol=1e-4, atol=1e-3)
    areas = expected[..., 2:4].prod(-1)
    torch.testing.assert_close(box_area(decoded.boxes), areas, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(decoded.objectness, expected[..., 4], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(decoded.class_scores, expected[..., 5:], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@torch.no_grad()
def test_detections_on_real_images(released: Released, shared: Path) -> None:
    process = Postprocess(score_threshold=0.25, iou_threshold=0.45, multi_label=False)
    assert released.image_names
    for index, name in enumerate(released.image_names):
        image = read_image(next((shared / "data" / "coco128").rglob(name)))
        letterbox = fit_into(image.shape[:2], 640, (640, 640))
        pixels = torch.from_numpy(letterbox.apply(image)).permute(2, 0, 1)[None].float() / 255
        found = process(released.detector(pixels)).detections[0]
        expected = released.golden[f"det{index}"]
        assert found.labels.tolist() == expected[:, 5].tolist()
        torch.testing.assert_close(found.scores, expected[:, 4], rtol=1e-4, atol=1e-4)
        boxes = letterbox.meta("", 0).to_original(found.boxes)
        torch.testing.assert_close(boxes, expected[:, :4], rtol=1e-4, atol=1e-2)
