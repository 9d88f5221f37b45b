"""The environment of a run: versions, hardware, source, command; no personal data."""

import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from utils.runtime.files.atomic import write_json
from utils.runtime.machine.threads import available_cores
from utils.runtime.program import ROOT

PACKAGES = (
    "torch",
    "torchvision",
    "numpy",
    "opencv-python",
    "opencv-python-headless",
    "pydantic",
    "safetensors",
    "hotcoco",
    "pycocotools",
    "tqdm",
    "PyYAML",
)


def describe_environment() -> dict[str, Any]:
    """Return versions, CPU, GPUs, threads, git commit and command line as plain values."""
    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": sys.argv,
        "git": git_commit(ROOT),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": _package_versions(),
        "cpu": cpu_name(),
        "cores": available_cores(),
        "threads": torch.get_num_threads(),
        "cuda": torch.version.cuda,
        "gpus": [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())],
        "variables": {
            name: os.environ[name]
            for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "CUBLAS_WORKSPACE_CONFIG")
            if name in os.environ
        },
    }


def describe_program() -> dict[str, Any]:
    """Return the versions stored in weights: of libraries, and the git commit."""
    return {"versions": _package_versions(), "commit": git_commit(ROOT)}


def write_environment(path: Path) -> None:
    """Write the description of the environment as JSON."""
    write_json(path, describe_environment())


def git_commit(root: Path) -> str | None:
    """Return the commit of the source in `root`, with "-changed" where files differ from it.

    None where `root` is not itself the top of a repository, or git is not there.
    """
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top) != root.resolve():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-changed" if commit and changes else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None


def _package_versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def cpu_name() -> str:
    """Return what the processor is called, as well as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
