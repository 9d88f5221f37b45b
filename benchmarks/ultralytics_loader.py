"""Time training samples of an installed Ultralytics; `loader.py` starts it.

Reads the task as JSON from standard input; the last line written is JSON with the CPU time of a
sample, ms, and the peak memory, MiB. Nothing of ours is imported; of Ultralytics only the
documented Python API.
"""

import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path


def main() -> None:
    """Build the training data set as Ultralytics' trainer does and time one epoch of it."""
    task = json.load(sys.stdin)
    import cv2
    import torch
    import yaml
    from ultralytics.cfg import get_cfg
    from ultralytics.data import build_yolo_dataset
    from ultralytics.data.utils import check_det_dataset

    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    augment = task["augment"]
    overrides = {
        "imgsz": task["image_size"],
        "cache": False,
        "degrees": augment["degrees"],
        "translate": augment["translate"],
        "scale": augment["scale"],
        "shear": augment["shear"],
        "perspective": augment["perspective"],
        "fliplr": augment["flip_horizontal"],
        "flipud": augment["flip_vertical"],
        "mosaic": augment["mosaic"],
        "mixup": augment["mixup"],
        "hsv_h": augment["hsv_hue"],
        "hsv_s": augment["hsv_saturation"],
        "hsv_v": augment["hsv_value"],
    }
    with tempfile.TemporaryDirectory() as folder:
        description = Path(folder) / "data.yaml"
        names = dict(enumerate(task["names"]))
        train = task["train"]
        # It writes an index beside the labels: into a copy, whose files are links.
        mirror = shutil.copytree(task["path"], Path(folder) / "data", copy_function=os.symlink)
        content = {"path": str(mirror), "train": train, "val": train, "names": names}
        description.write_text(yaml.safe_dump(content), encoding="utf-8")
        data = check_det_dataset(str(description))
        dataset = build_yolo_dataset(get_cfg(overrides=overrides), data["train"], 16, data)
        epoch_ms(dataset)  # fills its buffer of recent images
        duration_ms = epoch_ms(dataset)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"ms": duration_ms, "peak_mib": peak_mib}))


def epoch_ms(dataset: object) -> float:
    """Return the CPU time of a sample, ms, over one epoch in random order."""
    import random

    order = list(range(len(dataset)))  # type: ignore[arg-type]
    random.shuffle(order)
    start = time.process_time()
    for index in order:
        dataset[index]  # type: ignore[index]
    return (time.process_time() - start) / len(order) * 1e3


if __name__ == "__main__":
    main()
