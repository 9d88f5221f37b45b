"""HEIC photos are read where pillow-heif is installed; else the advice is to install it."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from configs.schema.data import YoloDataset
from data.records.load import load_split
from utils.runtime.errors import UserError

ROOT = Path(__file__).resolve().parents[3]
START = b"\0\0\0\x18ftypheic"
STUB = f"""
import io
from PIL import Image, PngImagePlugin

def _open(file, name):
    file.seek({len(START)})
    return PngImagePlugin.PngImageFile(io.BytesIO(file.read()))

def register_heif_opener():
    Image.register_open("HEIF", _open, lambda start: start.startswith({START!r}))
"""
READ = """
import sys
from importlib.util import find_spec
from pathlib import Path
from data.formats.files import list_images
from data.images.io import read_image, inspect_image
(path,) = list_images(Path(sys.argv[1]))
print(Path(path).name, read_image(path).shape, inspect_image(path).size)
"""


@pytest.mark.slow
def test_with_the_package(tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "pillow_heif.py").write_text(STUB)
    (tmp_path / "photos").mkdir()
    Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "a.png")
    content = START + (tmp_path / "a.png").read_bytes()
    (tmp_path / "photos" / "IMG_1.HEIC").write_bytes(content)
    path = os.pathsep.join((str(tmp_path / "packages"), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path / "photos")],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["IMG_1.HEIC", "(6,", "8,", "3)", "(6,", "8)"], done.stderr


def test_a_real_file(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    from data.images.io import read_image

    heif.register_heif_opener()
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[10:30, 20:60] = 255
    Image.fromarray(pixels).save(tmp_path / "a.heic")
    assert np.abs(read_image(tmp_path / "a.heic").astype(int) - pixels).mean() < 3


@pytest.mark.skipif(find_spec("pillow_heif") is not None, reason="pillow-heif is installed")
def test_the_advice_without_it(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.heic", "b.HEIC"):
        (tmp_path / "images" / name).write_bytes(START)
    dataset = YoloDataset(path=str(tmp_path), train="images", class_names=("a",), cache=False)
    with pytest.raises(UserError, match=r"2 files end in \.heic.*pip install pillow-heif"):
        load_split(dataset, "train")
