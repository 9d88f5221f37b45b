"""Latency of exported files on the CPU, against Ultralytics' export of a network of the same size.

    python benchmarks/exported.py --weights yolov5n_v7.0.pt [--peer PYTHON] [--json FILE]

Each file runs in its own runtime (ONNX Runtime, OpenVINO, TorchScript) with the same number of
threads and the same float32 images, batch by batch in turn, timed on the clock. The peer's files
have the fixed batch and size that are its default, ours take any. Its network has new weights, so
hardly a box passes its threshold: with suppression included, ours has more to do.
"""

import argparse
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.end_to_end import OFFLINE
from benchmarks.measure import Figure, alternate, clock_milliseconds, compared, report
from benchmarks.validation import seconds

Run = Callable[[np.ndarray], object]
SUFFIX = {"onnx": ".onnx", "openvino": ".xml", "torchscript": ".torchscript"}
HAVE_NMS = ("onnx", "openvino")
"""Formats that hold suppression in ours."""
PEERS_EXPORT = """
import sys
from ultralytics import YOLO
network, form, size, batch, nms = sys.argv[1:]
model = YOLO(network)
print(model.export(format=form, imgsz=int(size), batch=int(batch), nms=nms == "nms", device="cpu"))
"""


def opened(path: Path, form: str, threads: int) -> Run:
    """Return what runs a file in its own runtime on `threads` threads.

    All runtimes have their defaults but for the threads and, in OpenVINO, the float32 asked for.
    """
    if form == "onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda images: session.run(None, {name: images})
    if form == "openvino":
        import openvino

        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(path, "CPU", settings)
        return lambda images: compiled(images)
    network = torch.jit.load(str(path))

    @torch.no_grad()
    def run(images: np.ndarray) -> object:
        return network(torch.from_numpy(images))

    return run


def export_ours(weights: Path, form: str, size: int, *, nms: bool, folder: Path) -> Path:
    """Write our file of `weights`; return its path."""
    command = [sys.executable, "export.py", "--weights", weights, "--format", form]
    words = ["--nms"] if nms else []
    seconds([*command, *words, "--output", folder, f"train.image_size={size}"])
    (path,) = folder.glob(f"*{SUFFIX[form]}")
    return path


def export_theirs(arguments: argparse.Namespace, form: str, *, nms: bool, folder: Path) -> Path:
    """Write the peer's file of its network; return its path."""
    folder.mkdir(parents=True)
    words = (arguments.network, form, arguments.image_size, arguments.batch, "nms" if nms else "-")
    done = subprocess.run(
        [arguments.peer, "-c", textwrap.dedent(PEERS_EXPORT), *map(str, words)],
        cwd=folder,
        env={**OFFLINE, "YOLO_CONFIG_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    found = sorted(folder.rglob(f"*{SUFFIX[form]}"))
    if done.returncode or not found:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise SystemExit("\n".join(["the peer's export failed:", *last]))
    return found[0]


def measure(
    arguments: argparse.Namespace, form: str, images: np.ndarray, *, nms: bool, folder: Path
) -> Figure:
    """Return the figure of one format, with or without suppression in the file."""
    ours = export_ours(
        arguments.weights, form, arguments.image_size, nms=nms, folder=folder / "ours"
    )
    sides: dict[str, Run] = {"ours": opened(ours, form, arguments.threads)}
    if arguments.peer:
        theirs = export_theirs(arguments, form, nms=nms, folder=folder / "peer")
        sides["peer"] = opened(theirs, form, arguments.threads)
    for run in sides.values():
        run(images)
        run(images)  # TorchScript specialises at its second call
    timed = {
        name: partial(clock_milliseconds, partial(run, images), arguments.calls)
        for name, run in sides.items()
    }
    found = alternate(timed, arguments.repetitions)
    name = f"{form}{', suppression included' if nms else ''}, batch {len(images)}, ms"
    return compared(name, found["ours"], found.get("peer"), goal=1.0, limit=None)


def main() -> None:
    """Read the command line, export, measure, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    shape = (arguments.batch, 3, arguments.image_size, arguments.image_size)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    figures = []
    with tempfile.TemporaryDirectory(prefix="focaldet-benchmark-") as place:
        for form in arguments.format:
            for nms in (False, True) if form in HAVE_NMS else (False,):
                folder = Path(place) / f"{form}{nms}"
                figures.append(measure(arguments, form, images, nms=nms, folder=folder))
    report(figures, arguments.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="what ours exports")
    parser.add_argument("--peer", help="Python interpreter that has Ultralytics")
    parser.add_argument("--network", default="yolov5n.yaml", help="what the peer exports")
    parser.add_argument("--format", nargs="+", choices=SUFFIX, default=list(SUFFIX))
    parser.add_argument("--image-size", type=int, default=640)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--calls", type=int, default=5, help="of each side before the other's turn")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
