"""A network as TorchScript: one file that Python and C++ run without its source.

TorchScript rather than a package of torch.export: the trace takes a second where torch.export takes
most of a minute to prove that all sizes work, torch promises to read the file in later versions,
and C++ runs it as it is. torch calls TorchScript deprecated; the format is the one place to change.
"""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import torch

from utils.export.description import ENTRY, ExportSource
from utils.runtime.files.atomic import write_durably


def write_torchscript(path: Path, source: ExportSource) -> None:
    """Write the network of images (B, 3, H, W) as TorchScript."""
    with quiet_tracing(), torch.no_grad():
        traced: Any = torch.jit.trace(source.network, source.example(), check_trace=False)
        buffer = io.BytesIO()
        extra = {ENTRY: json.dumps(source.description.to_properties())}
        torch.jit.save(traced, buffer, _extra_files=extra)
    write_durably(path, buffer.getvalue())


class quiet_tracing(warnings.catch_warnings):  # noqa: N801
    """Silences warnings of tracing about checks of sizes: the export is verified afterwards."""

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("ignore")
