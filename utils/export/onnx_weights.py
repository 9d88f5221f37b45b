"""Convolutions of an ONNX file that another program wrote; nothing of it is run."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from utils.export.description import FORMAT_KEY
from utils.export.packages import require
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import read_regular
from utils.runtime.printable import shortened

LARGEST = 2**31
"""Bytes; more no protobuf can hold."""
MOST_NODES = 100_000

Convolution = tuple[str, Tensor, Tensor]
"""Name of the node, weight (O, I, K, K), bias (O,)."""


def read_convolutions(path: Path) -> list[Convolution]:
    """Return every convolution of the graph in order of execution, weights float.

    Raises:
        UserError: the package onnx is not installed, or the file cannot be read, is damaged, is
            an export of this program, or keeps its weights in other files.
    """
    onnx = require("onnx", purpose=f"reading {path.name}")
    source = shortened(path)
    data = read_regular(path, limit=LARGEST)
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf has classes of its own, and changes them
        raise UserError(f"{source} is not an ONNX file: {shortened(error)}") from error
    if any(entry.key == FORMAT_KEY for entry in model.metadata_props):
        raise UserError(f"{source} was written by export.py; name the weights it was made from")
    graph = model.graph
    if len(graph.node) > MOST_NODES:
        raise UserError(f"{source} has {len(graph.node):,} nodes, more than any network")
    stored = {tensor.name: tensor for tensor in graph.initializer}
    return [_convolution(node, stored, source) for node in graph.node if node.op_type == "Conv"]


def _convolution(node: Any, stored: dict[str, Any], source: str) -> Convolution:
    names = list(node.input)
    if not 2 <= len(names) <= 3 or any(name not in stored for name in names[1:]):
        raise UserError(f"{source}: the convolution {shortened(node.name)} has no stored weights")
    weight = _values(stored[names[1]], source)
    if weight.ndim != 4:
        raise UserError(f"{source}: the convolution {shortened(node.name)} is none of images")
    bias = _values(stored[names[2]], source) if len(names) == 3 else torch.zeros(len(weight))
    if bias.shape != (len(weight),):
        raise UserError(f"{source}: the convolution {shortened(node.name)} has a misfitting bias")
    return node.name, weight, bias


def _values(tensor: Any, source: str) -> Tensor:
    """Return a stored tensor.

    Raises:
        UserError: it lies in another file, or its bytes do not make up its shape.
    """
    onnx = require("onnx", purpose=f"reading {source}")
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise UserError(f"{source} keeps its weights in other files, which are not opened")
    try:
        values: Any = onnx.numpy_helper.to_array(tensor)
        return torch.from_numpy(np.array(values, dtype=np.float32))
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise UserError(f"{source} is damaged: {shortened(error)}") from error
