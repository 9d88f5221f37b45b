"""Exported files at work: one interface over onnxruntime, OpenVINO and TorchScript.

Legend: B images, H W height and width.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from utils.export.description import Description, read_description
from utils.export.packages import require
from utils.export.torchscript_file import EXTRA_FILE
from utils.runtime.errors import UserError

Arrays = tuple[npt.NDArray[Any], ...]


class Session(Protocol):
    """A network in a file, ready to run; `runtime` is what runs it, in words."""

    @property
    def description(self) -> Description:
        """What the file says of itself."""
        ...

    @property
    def runtime(self) -> str:
        """What runs it, such as "onnxruntime 1.31.1 on the CPU"."""
        ...

    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs, in the file's order, of images (B, 3, H, W) RGB in [0, 1]."""
        ...


class OnnxSession:
    """An .onnx file in onnxruntime."""

    def __init__(self, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """Load.

        Args:
            path: the file.
            device: auto (CUDA where onnxruntime has it), cpu or cuda.
            threads: compute threads on the CPU; 0 leaves the choice to onnxruntime.

        Raises:
            UserError: the package is missing, the file cannot be read, or there is no such device.
        """
        ort = require("onnxruntime", purpose=f"running {path.name}")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Idle threads that spin take the cores of whoever loads the images.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        provider = _provider(ort.get_available_providers(), device)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=[provider])
        except Exception as error:  # onnxruntime has classes of its own for every kind of fault
            raise _unreadable(path, error) from error
        properties = self._session.get_modelmeta().custom_metadata_map
        self.description = read_description(properties, source=str(path))
        place = "the GPU" if provider.startswith("CUDA") else "the CPU"
        self.runtime = f"onnxruntime {ort.__version__} on {place}"

    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W)."""
        return tuple(self._session.run(None, {"images": images}))


class OpenVinoSession:
    """An .xml file, with its .bin beside it, in OpenVINO on the CPU, computed in float32."""

    def __init__(self, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """Load; arguments and errors as `OnnxSession`, but there is only the CPU."""
        openvino = require("openvino", purpose=f"running {path.name}")
        if device.startswith("cuda"):
            raise UserError(f"{path}: OpenVINO runs on the CPU here; use train.device=cpu")
        # The faster half precisions of some processors would be another function.
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
        if threads:
            settings["INFERENCE_NUM_THREADS"] = threads
        try:
            model = openvino.Core().read_model(str(path))
            self._compiled = openvino.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            raise _unreadable(path, error) from error
        self.description = read_description(_openvino_properties(model), source=str(path))
        self.runtime = f"OpenVINO {openvino.__version__.partition('-')[0]} on the CPU"

    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W)."""
        found = self._compiled(images)
        return tuple(np.array(found[output]) for output in self._compiled.outputs)


class TorchScriptSession:
    """A .torchscript file in torch, on the CPU or a GPU."""

    def __init__(self, path: Path, *, device: str = "auto", threads: int = 0) -> None:
        """Load; arguments and errors as `OnnxSession`. The threads are torch's own."""
        extra = {EXTRA_FILE: ""}
        wants_cuda = device.startswith("cuda") or (device == "auto" and torch.cuda.is_available())
        self._device = torch.device("cuda" if wants_cuda else "cpu")
        try:
            self._network = torch.jit.load(str(path), self._device, _extra_files=extra)
            properties = json.loads(extra[EXTRA_FILE] or "{}")
        except (RuntimeError, ValueError) as error:
            raise _unreadable(path, error) from error
        self.description = read_description(properties, source=str(path))
        self.runtime = f"TorchScript {torch.__version__} on {self._device.type}"

    @torch.no_grad()
    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W)."""
        found = self._network(torch.from_numpy(images).to(self._device))
        return tuple(output.cpu().numpy() for output in found)


SESSIONS: Mapping[str, Callable[..., Session]] = {
    ".onnx": OnnxSession,
    ".xml": OpenVinoSession,
    ".torchscript": TorchScriptSession,
}
"""File name ending -> what runs such a file."""


def open_session(path: Path, *, device: str = "auto", threads: int = 0) -> Session:
    """Return the session of an exported file, by the ending of its name.

    Raises:
        UserError: there is no such file, or it cannot be run here.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    return SESSIONS[path.suffix](path, device=device, threads=threads)


def _provider(available: list[str], device: str) -> str:
    has_cuda = "CUDAExecutionProvider" in available
    if device.startswith("cuda") and not has_cuda:
        raise UserError(
            f"train.device={device}: this onnxruntime has no CUDA; "
            "pip install onnxruntime-gpu, or use train.device=cpu"
        )
    takes_cuda = has_cuda and device != "cpu"
    return "CUDAExecutionProvider" if takes_cuda else "CPUExecutionProvider"


def _openvino_properties(model: Any) -> dict[str, str]:
    if not model.has_rt_info([EXTRA_FILE]):
        return {}
    return dict(json.loads(model.get_rt_info([EXTRA_FILE]).astype(str)))


def _unreadable(path: Path, error: Exception) -> UserError:
    reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "no reason given"
    return UserError(f"{path} cannot be run: {reason}")
