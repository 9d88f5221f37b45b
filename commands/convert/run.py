"""Foreign weights rewritten as ours, with a note of where they come from."""

from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from commands.build.detector import load_detector
from models.weights.checkpoint import checkpoint_metadata
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES
from utils.checkpoint.weights import save_weights
from utils.runtime.errors import UserError
from utils.runtime.files.download import file_sha256
from utils.runtime.machine.environment import describe_program

IMPORTED_SUFFIXES = FOREIGN_SUFFIXES | {".onnx"}


def convert(
    source: Path, target: Path | None = None, notes: Mapping[str, Any] | None = None
) -> Path:
    """Write the detector of a foreign file (.pt, .pth, .ckpt, .onnx) as .safetensors and return
    the new file.

    Args:
        source: the foreign file; it is read without executing anything.
        target: the new file; beside the old one where None.
        notes: what is known of the file beside its content, such as its licence; kept in the new
            file.

    Raises:
        UserError: the file is ours already, cannot be read, or the new one exists or cannot be
            written.
        ConfigError: tensors and network of the file do not fit.
    """
    target = source.with_suffix(".safetensors") if target is None else target
    if source.suffix not in IMPORTED_SUFFIXES:
        raise UserError(
            f"{source} is not a foreign weights file; those end in "
            f"{' or '.join(sorted(IMPORTED_SUFFIXES))}"
        )
    if target.suffix != ".safetensors":
        raise UserError(f"--out {target}: the name must end in .safetensors")
    if target.exists():
        raise UserError(f"{target} exists and is not overwritten; set another file with --out")
    loaded = load_detector(source)
    detector = loaded.own_detector(source)
    metadata = checkpoint_metadata(
        detector,
        loaded.class_names,
        loaded.image_size,
        {
            "converted_from": {
                **loaded.metadata.get("converted_from", {}),
                **provenance(source, loaded.file_format),
                **(notes or {}),
            },
            **{key: loaded.metadata[key] for key in ("config",) if key in loaded.metadata},
            **describe_program(),
        },
    )
    save_weights(target, detector.state_dict(), metadata)
    return target


def provenance(source: Path, file_format: str) -> Mapping[str, Any]:
    """Return name, SHA-256 and format of a file, and today's date (UTC)."""
    return {
        "file": source.name,
        "sha256": file_sha256(source),
        "format": file_format,
        "date": datetime.now(timezone.utc).date().isoformat(),
    }
