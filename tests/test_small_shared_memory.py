"""Training where shared memory is as small as Docker makes it: to the end, with a note."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.run_programs import ROOT, TINY_NETWORK

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ARGUMENTS = (
    "--cfg", "configs/quickstart.yaml", "data.train_images=32", "data.val_images=4",
    "data.test_images=0", "data.side=640", "train.image_size=640", "train.batch_size=16",
    "train.workers=4", "train.epochs=1", "train.cache=off", f"model.graph={TINY_NETWORK}",
    "run.name=x",
)  # fmt: skip


def may_mount() -> bool:
    unshare = shutil.which("unshare")
    command = [str(unshare), "-m", "sh", "-c", "mount -t tmpfs -o size=1m tmpfs /dev/shm"]
    return unshare is not None and not subprocess.run(command, capture_output=True).returncode


@pytest.mark.skipif(not may_mount(), reason="needs the right to mount")
@pytest.mark.parametrize(
    ("size", "workers"), [("64m", "1 workers with one batch each"), ("1m", "this process alone")]
)
def test_a_training_comes_to_its_end(size: str, workers: str, tmp_path: Path) -> None:
    mount = f'mount -t tmpfs -o size={size} tmpfs /dev/shm && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", mount, "sh", sys.executable, "train.py", *ARGUMENTS]
    done = subprocess.run(
        [*command, f"data.path={tmp_path / 'data'}", f"run.folder={tmp_path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
    )
    assert done.returncode == 0, done.stderr
    assert "/dev/shm has" in done.stderr
    assert "--shm-size=1g" in done.stderr
    assert workers in done.stderr
    assert (tmp_path / "x" / "results.json").is_file()
    assert "Traceback" not in done.stderr
