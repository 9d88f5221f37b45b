"""A site with weights of its own: a catalogue in $FOCALDET_WEIGHTS that names files of a server."""

import hashlib
from pathlib import Path

import yaml

NAME = "helmets-n"
"""What the weights are called."""


def write_catalogue(
    folder: Path, address: str, content: bytes, *, name: str = NAME, **changes: object
) -> Path:
    """Write the catalogue of a site, of one file `content` at `address`; None leaves a key out."""
    entry: dict[str, object] = {
        "title": "Helmets",
        "graph": "models/yolov5n.yaml",
        "parameters": 0.1,
        "ap": 12.5,
        "ap_on": "our images",
        "image_size": 64,
        "licence": "MIT",
        "source": "https://example.org/helmets",
        "trained_on": "photographs of our own",
        "input": "RGB 0..1",
        "urls": [f"{address}/helmets_n.safetensors"],
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "catalogue.yaml"
    stated = {key: value for key, value in entry.items() if value is not None}
    path.write_text(yaml.safe_dump({name: stated}))
    return path
