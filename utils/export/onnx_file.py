"""A network as ONNX, batch and size dynamic, boxes and scores of all cells as outputs.

torch's exporter by tracing: it needs no package beside onnx, takes a twentieth of the time of the
newer one by torch.export, and gives the same numbers. Available in every torch from 2.6 on.
Legend: B images, H W height and width, P cells of all levels, C classes.
"""

import io
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.export.description import Description, ExportSource
from utils.export.packages import require
from utils.export.torchscript_file import quiet_tracing
from utils.runtime.files.atomic import write_durably

OPSET = 17
"""The newest that NMS, TensorRT 8 and OpenVINO 2022 read alike."""
PURPOSE = "--format onnx"


def onnx_of(network: nn.Module, example: Tensor, description: Description) -> Any:
    """Return an `onnx.ModelProto` of a network, without suppression.

    Args:
        network: maps images (B, 3, H, W) to boxes (B, P, 4) and scores (B, P, C).
        example: (B, 3, H, W), what is traced.
        description: says how many classes there are.

    Raises:
        UserError: the package onnx is not installed.
    """
    onnx = require("onnx", purpose=PURPOSE)
    buffer: Any = io.BytesIO()
    cells = {0: "batch", 1: "cells"}
    with quiet_tracing(), torch.no_grad():
        torch.onnx.export(
            network,
            (example,),
            buffer,
            dynamo=False,
            opset_version=OPSET,
            input_names=["images"],
            output_names=["boxes", "scores"],
            dynamic_axes={
                "images": {0: "batch", 2: "height", 3: "width"},
                "boxes": cells,
                "scores": cells,
            },
        )
    model = onnx.load_model_from_string(buffer.getvalue())
    for output, channels in zip(model.graph.output, (4, len(description.class_names)), strict=True):
        output.type.tensor_type.shape.dim[2].dim_value = channels
    return model


def describe(model: Any, description: Description) -> None:
    """Put the description into an `onnx.ModelProto`, in place of an earlier one."""
    onnx = require("onnx", purpose=PURPOSE)
    onnx.helper.set_model_props(model, description.to_properties())


def write_onnx(path: Path, source: ExportSource) -> None:
    """Write an .onnx file."""
    save_onnx(path, source.graph())


def save_onnx(path: Path, model: Any) -> None:
    """Check an `onnx.ModelProto` by onnx's own rules, shapes included, and write it."""
    onnx = require("onnx", purpose=PURPOSE)
    onnx.checker.check_model(model, full_check=True)
    write_durably(path, model.SerializeToString())
