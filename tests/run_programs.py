"""Running the entry points as a person does."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from configs.schema.data import SyntheticDataset
from data.synthetic.generate import ensure_written
from utils.checkpoint.weights import load_weights

ROOT = Path(__file__).parents[1]
TINY = (
    "--cfg", "configs/quickstart.yaml", "data.train_images=12", "data.val_images=6",
    "data.test_images=3", "data.side=96", "train.image_size=96", "train.batch_size=4",
    "train.nominal_batch=8", "train.workers=0", "train.threads=1", "train.precision=float32",
    "augment.mosaic=0.5", "eval.interval=1",
)  # fmt: skip
"""Arguments of train.py for a training of seconds."""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run an entry point to its end and return what it said."""
    return subprocess.run(
        [sys.executable, program, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )


def train(dataset: Path, runs: Path, *settings: str) -> Path:
    """Train on the generated data in `dataset`; return the run's folder."""
    done = run(
        "train.py", *TINY, f"data.path={dataset}", f"run.folder={runs}", "run.name=x", *settings
    )
    assert done.returncode == 0, done.stderr
    return runs / "x"


def write_dataset(folder: Path) -> Path:
    """Write the generated data that `TINY` trains on; return the folder."""
    ensure_written(
        SyntheticDataset(
            format="synthetic",
            path=str(folder),
            train_images=12,
            val_images=6,
            test_images=3,
            side=96,
        )
    )
    return folder


def weights_digest(folder: Path) -> str:
    """Return a hash over names and values of the best weights of a run."""
    tensors, _ = load_weights(folder / "best.safetensors")
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode() + tensors[name].numpy().tobytes())
    return digest.hexdigest()
