"""An ONNX model as a TensorRT engine, which runs only on the kind of GPU that built it.

Computed in float32 without TF32, so that it is the same function. Engines contain no place for a
description: it is in a JSON file beside.
"""

import json
from pathlib import Path

import torch

from utils.export.description import ExportSource
from utils.export.packages import require
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_durably

PURPOSE = "--format tensorrt"
LARGEST_BATCH = 16


def write_tensorrt(path: Path, source: ExportSource) -> None:
    """Build an engine for batches up to 16 of images up to the square of `image_size`.

    Args:
        path: the engine; the description is written beside it, as .json.
        source: its graph is built, stride and image size of its description are read.

    Raises:
        UserError: there is no CUDA device or no package tensorrt, or it cannot build the network.
    """
    if not torch.cuda.is_available():
        raise UserError(f"{PURPOSE} needs a CUDA device, and torch finds none here; use onnx")
    tensorrt = require("tensorrt", purpose=PURPOSE)
    log = tensorrt.Logger(tensorrt.Logger.ERROR)
    builder = tensorrt.Builder(log)
    network = builder.create_network(0)
    parser = tensorrt.OnnxParser(network, log)
    if not parser.parse(source.graph().SerializeToString()):
        raise UserError(f"{PURPOSE}: TensorRT cannot read the graph: {parser.get_error(0)}")
    settings = builder.create_builder_config()
    settings.clear_flag(tensorrt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    description = source.description
    side, least = description.image_size, description.stride
    shapes = (1, 3, least, least), (1, 3, side, side), (LARGEST_BATCH, 3, side, side)
    profile.set_shape("images", *shapes)
    settings.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, settings)
    if engine is None:
        raise UserError(f"{PURPOSE}: TensorRT could not build an engine; its log says why")
    write_durably(path, bytes(engine))
    text = json.dumps(description.to_properties(), indent=2) + "\n"
    write_durably(path.with_suffix(".json"), text.encode())
