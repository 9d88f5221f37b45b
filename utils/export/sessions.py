"""Sessions that run exported files: one interface to onnxruntime, OpenVINO and TorchScript.

Legend: B images, H W height and width.
"""

import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from utils.export.description import ENTRY, Description, read_description
from utils.export.formats import SESSIONS, load
from utils.export.packages import require
from utils.export.torchscript_file import quiet_tracing
from utils.runtime.errors import UserError
from utils.runtime.files.json_file import parse_json
from utils.runtime.files.regular_file import UnreadableFileError, open_regular
from utils.runtime.printable import shortened

Arrays = tuple[npt.NDArray[Any], ...]


class Session(Protocol):
    """A loaded exported network; `runtime` names the program that runs it."""

    @property
    def runtime(self) -> str:
        """What runs it, such as "onnxruntime 1.31.1 on the CPU"."""
        ...

    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs, in the file's order, of images (B, 3, H, W) RGB in [0, 1]."""
        ...


class OnnxSession:
    """An .onnx file in onnxruntime, on a GPU if requested and supported by onnxruntime."""

    def __init__(self, path: Path, *, device: torch.device, threads: int) -> None:
        """Load; `threads` compute threads on the CPU.

        Raises:
            UserError: the package is missing, or the file cannot be read.
        """
        ort = _onnxruntime(path)
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        # Spinning idle threads would take the cores from image loading.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        cuda = "CUDAExecutionProvider"
        takes_cuda = device.type == "cuda" and cuda in ort.get_available_providers()
        self._session = _onnx_session(path, options, [cuda] if takes_cuda else [])
        self.runtime = f"onnxruntime {ort.__version__} on the {'GPU' if takes_cuda else 'CPU'}"

    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W)."""
        return tuple(self._session.run(None, {"images": images}))

    @staticmethod
    def properties(path: Path) -> dict[str, str]:
        """Return the metadata of the file; errors as of the constructor."""
        options = _onnxruntime(path).SessionOptions()
        options.graph_optimization_level = _onnxruntime(path).GraphOptimizationLevel.ORT_DISABLE_ALL
        return dict(_onnx_session(path, options, []).get_modelmeta().custom_metadata_map)


class OpenVinoSession:
    """An .xml file, with its .bin beside it, in OpenVINO on the CPU, computed in float32."""

    def __init__(self, path: Path, *, device: torch.device, threads: int) -> None:
        """Load; errors as of `OnnxSession`."""
        # The faster half precisions of some processors would be another function.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
        openvino = _openvino(path)
        self._compiled = openvino.compile_model(_openvino_model(path), "CPU", settings)
        self.runtime = f"OpenVINO {openvino.__version__.partition('-')[0]} on the CPU"

    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W)."""
        found = self._compiled(images)
        return tuple(np.array(found[output]) for output in self._compiled.outputs)

    @staticmethod
    def properties(path: Path) -> dict[str, str]:
        """Return the metadata of the file; errors as of the constructor."""
        model = _openvino_model(path)
        if not model.has_rt_info([ENTRY]):
            return {}
        return _properties(model.get_rt_info([ENTRY]).astype(str), path)


class TorchScriptSession:
    """A .torchscript file in torch, on the CPU or a GPU."""

    def __init__(self, path: Path, *, device: torch.device, threads: int) -> None:
        """Load; errors as of `OnnxSession`. The threads are torch's own."""
        self._device = device
        try:
            with quiet_tracing():
                self._network = torch.jit.load(str(path), device)
        except Exception as error:  # a program may raise anything
            raise _unreadable(path, error) from error
        self.runtime = f"TorchScript of torch {torch.__version__} on {device}"

    @torch.no_grad()
    def __call__(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W)."""
        found = self._network(torch.from_numpy(images).to(self._device))
        return tuple(output.cpu().numpy() for output in found)

    @staticmethod
    def properties(path: Path) -> dict[str, str]:
        """Return the metadata of the file without running its code; errors as above."""
        try:
            with open_regular(path) as file, zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if name.endswith(f"/extra/{ENTRY}")]
                if not names:
                    return {}
                if archive.getinfo(names[0]).file_size > LONGEST_ENTRY:
                    raise ValueError("its description is too long")
                return _properties(archive.read(names[0]), path)
        except (OSError, ValueError, RuntimeError, LookupError, *_ZIP_FAULTS) as error:
            raise _unreadable(path, error) from error


_ZIP_FAULTS = (zipfile.BadZipFile, NotImplementedError, EOFError, struct.error, zlib.error)
LONGEST_ENTRY = 16 * 2**20
"""Maximum size of the metadata, in bytes."""


def _properties(text: str | bytes, path: Path) -> dict[str, str]:
    content = parse_json(text, source=path)
    if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
        raise UserError(f"{path}: its metadata are damaged; export the weights again")
    return content


def open_session(path: Path, *, device: torch.device, threads: int) -> Session:
    """Return the session of an exported file, by the ending of its name.

    Raises:
        UserError: there is no such file, or it cannot be run here.
    """
    session: Session = _session_of(path)(path, device=device, threads=threads)
    return session


def read_file_description(path: Path) -> Description:
    """Return the metadata of an exported file.

    Raises: UserError: there is no such file, or it has none, or it cannot be read here.
    """
    return read_description(_session_of(path).properties(path), source=str(path))


def _session_of(path: Path) -> Any:
    """Return the session class for a file of this name, which has to exist."""
    try:
        open_regular(path).close()
    except UnreadableFileError as error:
        raise UserError(f"{shortened(path)}: {error.reason}") from error
    return load(SESSIONS[path.suffix])


def _onnxruntime(path: Path) -> Any:
    return require("onnxruntime", purpose=f"running {path.name}")


def _onnx_session(path: Path, options: Any, providers: list[str]) -> Any:
    ort = _onnxruntime(path)
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(
            str(path), options, providers=[*providers, "CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime has an exception class for every kind of fault
        raise _unreadable(path, error) from error


def _openvino(path: Path) -> Any:
    return require("openvino", purpose=f"running {path.name}")


def _openvino_model(path: Path) -> Any:
    try:
        return _openvino(path).Core().read_model(str(path))
    except RuntimeError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UserError:
    lines = str(error).strip().splitlines()
    return UserError(
        f"{path} cannot be run: {shortened(lines[-1].strip()) if lines else 'damaged'}"
    )
