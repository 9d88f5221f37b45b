"""Find objects with an exported detector and nothing but onnxruntime, numpy and OpenCV.

    python export.py --weights best.safetensors --format onnx --nms
    python serve_onnx.py best-nms.onnx street.jpg          # prints JSON
    python serve_onnx.py best-nms.onnx --port 8000         # answers with JSON, too:
    curl --data-binary @street.jpg http://127.0.0.1:8000

This file may be copied anywhere; it needs none of FocalDet. What it does with an image is what the
file's metadata say, and what val.py and predict.py do.
"""

import argparse
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

MOST_BYTES = 100_000_000


class OnnxDetector:
    """A detector in an .onnx file that contains its own suppression."""

    def __init__(self, path: str, threads: int = 0) -> None:
        """Open the file; `threads` 0 takes what onnxruntime thinks best."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            path, options, providers=onnxruntime.get_available_providers()
        )
        said = self._session.get_modelmeta().custom_metadata_map
        if said.get("nms") != "true":
            raise SystemExit(f"{path}: export it again with --nms")
        self.class_names: list[str] = json.loads(said["class_names"])
        self._image_size = int(said["image_size"])
        self._stride = int(said["stride"])
        self._rectangular = said["letterbox"] == "rectangular"
        self._pad_colour = int(said["pad_colour"])
        self._score_map = json.loads(said.get("score_map", "null"))

    def __call__(self, image: np.ndarray) -> list[dict[str, Any]]:
        """Return the objects in an image (H, W, 3) uint8 BGR, boxes in its pixels."""
        height, width = image.shape[:2]
        framed, scale, pad = self._letterbox(image)
        pixels = framed[..., ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
        boxes, scores, labels, counts = self._session.run(None, {"images": pixels})
        count = int(counts[0])
        found = boxes[0, :count] - np.array([*pad, *pad], np.float32)
        found = found / np.array([*scale, *scale], np.float32)
        found = found.clip(0, np.array([width, height, width, height], np.float32))
        scores = scores[0, :count]
        if self._score_map:
            scores = np.interp(scores, self._score_map["knots"], self._score_map["values"])
        return [
            {"class": self.class_names[label], "score": float(score), "box": box}
            for label, score, box in zip(labels[0], scores, found.tolist(), strict=False)
        ]

    def _letterbox(self, image: np.ndarray) -> tuple[np.ndarray, tuple[float, float], list[int]]:
        """Return the framed image, (horizontal, vertical) scale and [left, top] padding."""
        height, width = image.shape[:2]
        size, stride, longest = self._image_size, self._stride, max(height, width)
        ratio = size / longest
        new_height, new_width = max(1, int(height * ratio)), max(1, int(width * ratio))
        shape = [size, size]
        if self._rectangular:
            shape = [
                -(-(2 * side * size + longest * stride) // (2 * longest * stride)) * stride
                for side in (height, width)
            ]
        top, left = (shape[0] - new_height) // 2, (shape[1] - new_width) // 2
        framed = np.full((*shape, 3), self._pad_colour, np.uint8)
        if (new_height, new_width) != (height, width):
            way = cv2.INTER_LINEAR if max(new_height, new_width) > longest else cv2.INTER_AREA
            image = cv2.resize(image, (new_width, new_height), interpolation=way)
        framed[top : top + new_height, left : left + new_width] = image
        return framed, (new_width / width, new_height / height), [left, top]


def decode(data: bytes) -> np.ndarray | None:
    """Return the pixels (H, W, 3) BGR of a JPEG, PNG, ..., turned as EXIF says, or None."""
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None


def serve(detector: OnnxDetector, port: int) -> None:
    """Answer POST requests whose body is an image with the objects in it, as JSON."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if not 0 < length <= MOST_BYTES:
                return self._answer(400, {"error": "send an image as the body of the request"})
            image = decode(self.rfile.read(length))
            if image is None:
                return self._answer(400, {"error": "the body is not a readable image"})
            return self._answer(200, {"detections": detector(image)})

        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    print(f"listening on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


def main() -> None:
    """Read the command line; print the objects in images, or serve."""
    parser = argparse.ArgumentParser(description="Find objects with an exported detector.")
    parser.add_argument("model", help=".onnx written by export.py --nms")
    parser.add_argument("images", nargs="*", help="images to look at")
    parser.add_argument("--port", type=int, help="serve on this port instead; 0 takes a free one")
    parser.add_argument("--threads", type=int, default=0, help="compute threads; 0: all")
    command = parser.parse_args()
    detector = OnnxDetector(command.model, command.threads)
    if command.port is not None:
        serve(detector, command.port)
    for name in command.images:
        image = decode(Path(name).read_bytes())
        if image is None:
            sys.exit(f"{name}: is not a readable image")
        print(json.dumps({"image": name, "detections": detector(image)}))


if __name__ == "__main__":
    main()
