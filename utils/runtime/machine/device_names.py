"""Names of devices, read before torch is imported."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from utils.runtime.errors import UserError


def device_numbers(name: str) -> list[int]:
    """Return the numbers in the name of CUDA devices, as in cuda:0,1; none where it has none."""
    return [int(number) for number in name.partition(":")[2].split(",") if number]


def require_one_process_a_device(
    name: str, *, arguments: Sequence[str] | None = None, processes: int | None = None
) -> None:
    """Say what to type where one process is given several devices.

    Args:
        name: of the device or devices.
        arguments: of the program, its name first; this process's own where None.
        processes: that train together; as torchrun says where None.

    Raises:
        UserError: there are more devices than processes.
    """
    numbers = device_numbers(name)
    started = processes if processes is not None else int(os.environ.get("WORLD_SIZE", "1"))
    if len(numbers) <= max(started, 1):
        return
    program, *rest = sys.argv if arguments is None else arguments
    word = program.rpartition("focaldet ")[2]
    named = f"-m focaldet {word}" if program.startswith("focaldet ") else Path(program).name
    kept = " ".join([named, *(text for text in rest if not text.startswith("train.device="))])
    shown = ",".join(map(str, numbers))
    raise UserError(
        f"train.device={shown}: one process computes on one device; type CUDA_VISIBLE_DEVICES="
        f"{shown} torchrun --nproc-per-node {len(numbers)} {kept}"
    )
