"""Reading .npz files: named arrays without pickle, or one error."""

import io
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import LARGEST_FILE, read_regular
from utils.runtime.printable import shortened

# Exceptions of reading a corrupted file, found by trial.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    EOFError,
    MemoryError,
    NotImplementedError,
    RecursionError,
    SyntaxError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_npz(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a file of `numpy.savez`.

    Raises:
        UnreadableFileError: it cannot be read.
        UserError: it is damaged.
    """
    data = read_regular(path, limit=LARGEST_FILE)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except _DAMAGE as error:
        reason = shortened(error) or type(error).__name__
        raise UserError(f"{shortened(path)} is damaged: {reason}") from error
