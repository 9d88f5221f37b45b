"""An ONNX model as OpenVINO's own pair of files, .xml and .bin.

Read by `Core.read_model` and written by `save_model`: the package's converter would do the same
but reports each use over the network.
"""

import json
from pathlib import Path

from utils.export.description import ENTRY, ExportSource
from utils.export.packages import require
from utils.runtime.errors import UserError


def write_openvino(path: Path, source: ExportSource) -> None:
    """Write the graph as .xml at `path` and .bin beside it, weights in float32.

    Raises:
        UserError: the package openvino is missing, or cannot read the model.
    """
    openvino = require("openvino", purpose="--format openvino")
    try:
        converted = openvino.Core().read_model(source.graph().SerializeToString(), b"")
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1][:200]
        raise UserError(f"--format openvino: OpenVINO cannot read the graph: {reason}") from error
    converted.set_rt_info(json.dumps(source.description.to_properties()), [ENTRY])
    openvino.save_model(converted, str(path), compress_to_fp16=False)
