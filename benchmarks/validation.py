"""val.py from the command to its table, against `yolo val` on the same images.

    python benchmarks/validation.py --weights yolov5n_v7.0.pt [--peer PYTHON] [--json FILE]

640 px, batch 16, score threshold .001, 300 detections an image, float32, all cores; processes are
timed on the clock, from start to end, in turn.
The peer is Ultralytics' yolov5n. Its released weights are not available offline, so it evaluates
weights of one epoch that it trains here first; the network does the same work with any.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.end_to_end import OFFLINE, write_yolo
from benchmarks.measure import alternate, compared, report
from configs.reading.load import load_experiment
from data.records.load import load_split

GOAL = 3.0


def seconds(command: Sequence[object], environment: dict[str, str] | None = None) -> float:
    """Return how long a program takes; stop with its last words if it fails."""
    start = time.perf_counter()
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise SystemExit("\n".join([f"{command[1]} failed:", *last]))
    return time.perf_counter() - start


def ours(arguments: argparse.Namespace, *settings: str) -> list[object]:
    """Return our command."""
    return [
        *(sys.executable, "val.py", "--weights", arguments.weights),
        *("--data", arguments.data, "--split", "train", "eval.batch_size=16"),
        *settings,
    ]


def theirs(arguments: argparse.Namespace, folder: Path) -> partial[float]:
    """Return Ultralytics' validation, after it has trained the weights."""
    experiment = load_experiment("configs/coco128.yaml", (f"data={arguments.data}",)).experiment
    data = write_yolo(experiment, folder / "data", {"train": "train", "val": "train"})
    environment = {**OFFLINE, "YOLO_CONFIG_DIR": str(folder / "settings")}
    program = Path(arguments.peer).with_name("yolo")
    shared = [f"data={data}", "device=cpu", "plots=False", f"project={folder}", "batch=16"]
    training = ["epochs=1", "imgsz=64", "val=False", "pretrained=False", "amp=False", "workers=2"]
    seconds(
        [program, "detect", "train", "model=yolov5n.yaml", "name=run", *shared, *training],
        environment,
    )
    model = f"model={folder / 'run' / 'weights' / 'last.pt'}"
    judging = ["imgsz=640", "conf=0.001", "max_det=300", "workers=2", "name=judged", "half=False"]
    return partial(seconds, [program, "detect", "val", model, *shared, *judging], environment)


def main() -> None:
    """Read the command line, measure, print."""
    arguments = _arguments()
    experiment = load_experiment("configs/coco128.yaml", (f"data={arguments.data}",)).experiment
    images = len(load_split(experiment.data, "train").records)
    with tempfile.TemporaryDirectory(prefix="focaldet-benchmark-") as place:
        sides = {"float32": partial(seconds, ours(arguments))}
        if arguments.peer:
            sides["peer"] = theirs(arguments, Path(place))
        for run in sides.values():
            run()  # reads what is not in memory yet
        found = alternate(sides, arguments.repetitions)
    start = seconds([sys.executable, "-c", "import torch, cv2, hotcoco"])
    report(
        [
            compared(
                f"val.py on {images} images, {side}, s (peer: yolo val)",
                found[side],
                found.get("peer"),
                goal=GOAL,
                limit=start,
            )
            for side in found
            if side != "peer"
        ],
        arguments.json,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--weights", type=Path, required=True, help="of a yolov5n of 80 classes")
    parser.add_argument(
        "--data", default="coco128", help="data set; its training split is evaluated"
    )
    parser.add_argument("--peer", help="Python interpreter beside which Ultralytics' `yolo` lies")
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
