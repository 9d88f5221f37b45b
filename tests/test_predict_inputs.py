"""What predict.py is given in real life: long videos, dying streams, odd and huge pictures."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from commands.predict.cli import parse_predict_command
from commands.predict.run import PredictionSummary, predict
from data.images.io import read_image
from focaldet import Detector, load_detector
from tests.commands.tiny_weights import write_weights
from tests.data.synthetic.scene_files import write_scenes
from utils.runtime.errors import UserError

QUIET = ("train.threads=1", "train.workers=0")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights(tmp_path_factory.mktemp("inputs") / "w.safetensors")


@pytest.fixture(scope="module")
def detector(weights: Path) -> Detector:
    return load_detector(weights)


def run(weights: Path, source: object, out: Path, *arguments: str) -> PredictionSummary:
    command = ["--weights", str(weights), "--source", str(source), "--save-dir", str(out)]
    return predict(parse_predict_command([*command, *arguments, *QUIET]))


def scene(tmp_path: Path) -> np.ndarray:
    """An upright picture (96, 128, 3) of rectangles, some of them grey."""
    record = write_scenes(tmp_path, 5)[4]
    picture = read_image(record.path)
    picture[10:40, 60:100] = 180
    return picture


@pytest.mark.slow
def test_three_hundred_frames_in_and_out_at_their_rate(weights: Path, tmp_path: Path) -> None:
    rate = 29.97
    source = tmp_path / "in.mp4"
    writer = cv2.VideoWriter(str(source), cv2.VideoWriter.fourcc(*"mp4v"), rate, (64, 48))
    for number in range(300):
        frame = np.full((48, 64, 3), 40, np.uint8)
        frame[10:30, number % 44 : number % 44 + 20] = 220
        writer.write(frame)
    writer.release()
    few = "eval.max_detections=5"
    summary = run(weights, source, tmp_path / "out", "--save", "video,csv", few)
    assert summary.num_pictures == 300
    assert summary.skipped == []
    capture = cv2.VideoCapture(str(tmp_path / "out" / "in.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(rate, abs=0.01)
    count = 0
    while capture.read()[0]:
        count += 1
    assert count == 300
    rows = (tmp_path / "out" / "detections.csv").read_text().splitlines()[1:]
    assert {int(row.split(",")[1]) for row in rows} == set(range(300))


class DyingCamera(socketserver.ThreadingTCPServer):
    """An MJPEG camera that sends a few pictures per connection and is gone after some."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, connections: int, pictures: int) -> None:
        super().__init__(("127.0.0.1", 0), _CameraHandler)
        self.left = connections
        self.pictures = pictures
        done, data = cv2.imencode(".jpg", np.full((48, 64, 3), 128, np.uint8))
        assert done
        self.jpeg = data.tobytes()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/camera.mjpg"


class _CameraHandler(BaseHTTPRequestHandler):
    server: DyingCamera

    def do_GET(self) -> None:
        self.server.left -= 1
        if self.server.left < 0:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        part = b"--next\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        for _ in range(self.server.pictures):
            self.wfile.write(part % len(self.server.jpeg) + self.server.jpeg + b"\r\n")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def camera(connections: int, pictures: int) -> Iterator[DyingCamera]:
    with DyingCamera(connections, pictures) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.slow
def test_a_camera_that_dies_is_reached_again_until_it_is_gone(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through sockets and the real decoder; what was seen before the end is written."""
    monkeypatch.setattr("data.sources.video.RECONNECTS", 2)
    monkeypatch.setattr("data.sources.video.FIRST_WAIT_S", 0.1)
    monkeypatch.setattr("data.sources.video.LiveStream._pass_over", lambda *_: None)
    with camera(connections=4, pictures=12) as server:
        with pytest.raises(UserError, match="broke off, and 2 attempts to reconnect failed"):
            run(weights, server.address, tmp_path / "out", "--save", "csv")
        assert server.left < 0
    rows = (tmp_path / "out" / "detections.csv").read_text().splitlines()[1:]
    numbers = {int(row.split(",")[1]) for row in rows}
    # One connection alone gives no more than a dozen pictures, some of which the decoder needs.
    assert max(numbers) >= 12
    assert numbers == set(range(max(numbers) + 1))


@pytest.mark.slow
def test_a_camera_that_is_not_there_ends_in_one_line(weights: Path, tmp_path: Path) -> None:
    with camera(connections=0, pictures=0) as server:
        with pytest.raises(UserError, match="cannot be opened; is it there and free"):
            run(weights, server.address, tmp_path / "out", "--save", "csv")
        assert server.left < 0


def test_uncommon_pixels_give_the_boxes_of_the_plain_picture(
    detector: Detector, tmp_path: Path
) -> None:
    """Rotated by EXIF, 16 bits, grey: the same pixels for a viewer, so the very same boxes."""
    upright = scene(tmp_path)
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.fromarray(np.ascontiguousarray(np.rot90(upright, 1)))
    turned.save(tmp_path / "turned.png", exif=exif)
    deep = upright.astype(np.uint16) * 257
    cv2.imwrite(str(tmp_path / "deep.png"), deep[..., ::-1])
    wanted = detector(upright)
    assert len(wanted) > 5
    for name in ("turned.png", "deep.png"):
        found = detector(tmp_path / name)
        assert found.image_size == (96, 128)
        np.testing.assert_array_equal(found.boxes, wanted.boxes)
    grey = Image.fromarray(upright).convert("L")
    grey.save(tmp_path / "grey.png")
    in_colour = detector(np.asarray(grey.convert("RGB")))
    np.testing.assert_array_equal(detector(tmp_path / "grey.png").boxes, in_colour.boxes)


def test_cmyk_boxes_lie_in_the_picture(detector: Detector, weights: Path, tmp_path: Path) -> None:
    source = tmp_path / "in" / "cmyk.jpg"
    source.parent.mkdir()
    Image.fromarray(scene(tmp_path)).convert("CMYK").save(source, quality=95)
    wanted = detector(read_image(source))
    run(weights, source, tmp_path / "out", "--save", "none", "--save-json", str(tmp_path / "r"))
    rows = json.loads((tmp_path / "r").read_text())
    assert rows == [{**row, "image_id": 0} for row in wanted.to_coco(0)]
    for x, y, width, height in (row["bbox"] for row in rows):
        assert 0 <= x <= x + width <= 128.001
        assert 0 <= y <= y + height <= 96.001


@pytest.mark.slow
@pytest.mark.parametrize("tile", [(), ("--tile", "6000")])
def test_a_hundred_megapixels_give_boxes_of_the_whole_picture(
    detector: Detector, weights: Path, tmp_path: Path, tile: tuple[str, ...]
) -> None:
    small = cv2.resize(scene(tmp_path), (128, 128), interpolation=cv2.INTER_NEAREST)
    factor = 80
    huge = np.repeat(np.repeat(small, factor, axis=0), factor, axis=1)
    assert huge.shape[0] * huge.shape[1] > 100e6
    source = tmp_path / "huge.png"
    cv2.imwrite(str(source), huge[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
    del huge
    target = tmp_path / "r.json"
    run(weights, source, tmp_path / "out", "--save", "none", "--save-json", str(target), *tile)
    rows = json.loads(target.read_text())
    assert len(rows) > 5
    boxes = np.array([row["bbox"] for row in rows])
    assert (boxes[:, :2] + boxes[:, 2:]).max() <= 128 * factor + 1
    if not tile:
        wanted = detector(small)
        starts = np.sort(wanted.boxes[:10, 0] * factor)
        np.testing.assert_allclose(np.sort(boxes[:10, 0]), starts, atol=0.02 * 128 * factor)
