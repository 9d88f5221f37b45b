"""A sound data set on disk, and faults that can be planted into it at known places."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from configs.schema.data import YoloDataset

NAMES = ("bolt", "cable", "mast", "sign")
WIDTH, HEIGHT = 96, 72
TRAIN, VAL = 60, 54
# (width, height, lowest and highest centre y) in shares of the image: told apart by their boxes
SHAPES = (
    (0.14, 0.19, 0.1, 0.9),
    (0.42, 0.17, 0.6, 0.9),
    (0.12, 0.5, 0.3, 0.6),
    (0.3, 0.4, 0.25, 0.4),
)

_SOUND: dict[int, tuple[dict[str, bytes], Any]] = {}
"""Seed -> files of the sound data set and the state of the generator once they are drawn."""


class Planted:
    """The data set under `root`; every method that plants returns the files it touched."""

    def __init__(self, root: Path, seed: int = 0) -> None:
        self.root = root
        self.rng = np.random.default_rng(seed)
        self.names: tuple[str, ...] = NAMES
        self.val: str | None = "images/val"
        if seed in _SOUND:
            files, state = _SOUND[seed]
            self.rng.bit_generator.state = state
            for name, content in files.items():
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(content)
            return
        for split, number in (("train", TRAIN), ("val", VAL)):
            for index in range(number):
                self.write_image(split, index, self.scene())
                self.write_rows(split, index, self.objects())
        written = [path for path in root.rglob("*") if path.suffix in (".jpg", ".txt")]
        files = {str(path.relative_to(root)): path.read_bytes() for path in written}
        _SOUND[seed] = files, self.rng.bit_generator.state

    def settings(self) -> YoloDataset:
        return YoloDataset(
            path=str(self.root),
            class_names=self.names,
            train="images/train",
            val=self.val,
            cache=False,
        )

    def scene(self, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
        coarse = self.rng.integers(0, 255, (5, 6, 3), np.uint8)
        image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        noise = self.rng.normal(0, 6, image.shape)
        return np.clip(image + noise, 0, 255).astype(np.uint8)

    def objects(self) -> list[str]:
        rows = []
        for label, (width, height, low, high) in enumerate(SHAPES):
            for _ in range(2 if label == 0 else 1):
                w, h = width * self.rng.uniform(0.85, 1.15), height * self.rng.uniform(0.85, 1.15)
                x = self.rng.uniform(w / 2, 1 - w / 2)
                y = self.rng.uniform(max(low, h / 2), min(high, 1 - h / 2))
                rows.append(f"{label} {x:.6f} {y:.6f} {w:.6f} {h:.6f}")
        return rows

    def image(self, split: str, index: int | str, suffix: str = ".jpg") -> Path:
        return self.root / "images" / split / f"{index}{suffix}"

    def label(self, split: str, index: int | str) -> Path:
        return self.root / "labels" / split / f"{index}.txt"

    def write_image(self, split: str, index: int | str, pixels: np.ndarray) -> Path:
        path = self.image(split, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), pixels, [cv2.IMWRITE_JPEG_QUALITY, 92])
        return path

    def rows(self, split: str, index: int | str) -> list[str]:
        return self.label(split, index).read_text().splitlines()

    def write_rows(self, split: str, index: int | str, rows: list[str]) -> Path:
        path = self.label(split, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{row}\n" for row in rows))
        return path

    def add_row(self, index: int, row: str, split: str = "train") -> Path:
        return self.write_rows(split, index, [*self.rows(split, index), row])

    def relabel(self, change: Callable[[int], int], *splits: str) -> None:
        for split in splits:
            for path in (self.root / "labels" / split).glob("*.txt"):
                rows = [row.split(maxsplit=1) for row in path.read_text().splitlines()]
                path.write_text("".join(f"{change(int(label))} {rest}\n" for label, rest in rows))

    def rewrite(self, change: Callable[[float, float, float, float], tuple[float, ...]]) -> None:
        for path in (self.root / "labels").rglob("*.txt"):
            rows = []
            for row in path.read_text().splitlines():
                label, *numbers = row.split()
                new = change(*map(float, numbers))
                rows.append(f"{label} " + " ".join(f"{number:.6f}" for number in new))
            path.write_text("".join(f"{row}\n" for row in rows))


def plant_local(data: Planted) -> dict[str, set[str]]:  # noqa: PLR0915
    """Plant one fault after the other, each on images of its own; return code -> file names."""
    box = "0 0.5 0.5 0.2 0.25"
    planted: dict[str, set[str]] = {}

    def expect(code: str, *paths: Path) -> None:
        planted.setdefault(code, set()).update(path.name for path in paths)

    expect("class-out-of-range", data.add_row(0, "7 0.5 0.5 0.2 0.25"))
    expect("box-outside", data.add_row(1, "0 -0.09 0.5 0.3 0.25"))
    expect("box-without-area", data.add_row(2, "0 0.5 0.5 0 0.25"))
    expect("box-twice", data.add_row(3, data.rows("train", 3)[0]))
    expect("row-rejected", data.add_row(4, "0 0.5 0.5 0.2"), data.add_row(4, "x 1 1 1 1"))
    expect("row-repaired", data.add_row(5, "0 0.095 0.5 0.2 0.25"))
    path = data.image("train", 6)
    path.write_bytes(path.read_bytes()[:700])
    expect("image-unreadable", path)
    expect("label-without-image", data.write_rows("train", "lost", [box]))
    Image.fromarray(data.scene()).save(data.image("train", 7, ".png"))
    expect("labels-shared", data.label("train", 7))
    data.label("train", 8).unlink()
    planted["image-without-label-file"] = set()
    readme = data.root / "images" / "train" / "notes.docx"
    readme.write_text("x")
    expect("file-ignored", readme)
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(data.scene()).save(data.image("train", 9), exif=exif)
    expect("exif-rotation", data.image("train", 9))
    Image.fromarray(data.scene()).save(data.image("train", 10), format="PNG")
    expect("suffix-differs", data.image("train", 10))
    Image.fromarray(data.scene()).convert("L").save(data.image("train", 11))
    expect("odd-pixels", data.image("train", 11))
    expect("image-blank", data.write_image("train", 12, np.full((HEIGHT, WIDTH, 3), 90, np.uint8)))
    expect("image-tiny", data.write_image("train", 13, data.scene(30, 40)))
    data.write_rows("train", 13, ["0 0.5 0.5 0.5 0.5"])
    expect("image-elongated", data.write_image("train", 14, data.scene(40, 200)))
    data.image("train", 15).write_bytes(data.image("val", 15).read_bytes())
    data.write_rows("train", 15, data.rows("val", 15))
    expect("same-image-in-splits", data.image("train", 15))
    for split in ("train", "val"):
        name = f"frame_jpg.rf.{'ab' if split == 'train' else 'cd'}{'0' * 30}"
        expect("copies-in-splits", data.write_image(split, name, data.scene()))
        data.write_rows(split, name, [box])
    changed = cv2.imread(str(data.image("val", 17))).astype(np.float32) * 0.8 + 15
    larger = cv2.resize(changed, (WIDTH * 2, HEIGHT * 2))
    expect(
        "similar-image-in-splits",
        data.write_image("train", 17, np.clip(larger, 0, 255).astype(np.uint8)),
    )
    data.image("train", 18).write_bytes(data.image("train", 19).read_bytes())
    data.write_rows("train", 18, data.rows("train", 19))
    expect("same-image-twice", data.image("train", 18))
    mirrored = cv2.imread(str(data.image("train", 21)))[:, ::-1]
    expect("similar-image-twice", data.write_image("train", 20, mirrored))
    data.image("val", 22).write_bytes(data.image("val", 23).read_bytes())
    expect("copies-with-other-labels", data.image("val", 22))
    expect("same-image-twice", data.image("val", 22))
    frames = [Image.fromarray(data.scene()) for _ in range(3)]
    data.image("train", 24).unlink()
    path = data.image("train", 24, ".webp")
    frames[0].save(path, save_all=True, append_images=frames[1:])
    expect("several-frames", path)
    first = data.rows("train", 25)[0]
    data.add_row(25, f"3{first[1:]}")
    expect("box-two-classes", data.image("train", 25))
    label, x, *rest = data.rows("train", 26)[2].split()
    data.add_row(26, f"{label} {float(x) + 0.004:.6f} {' '.join(rest)}")
    expect("box-nearly-twice", data.image("train", 26))
    data.add_row(27, "0 0.5 0.5 0.012 0.02")
    expect("box-sliver", data.image("train", 27))
    expect("box-small", data.image("train", 27))
    data.write_image("train", 28, data.scene(400, 500))
    data.add_row(28, "1 0.5 0.5 0.9 0.02")
    expect("box-elongated", data.image("train", 28))
    data.add_row(29, "2 0.5 0.5 1 1")
    expect("box-whole-image", data.image("train", 29))
    data.write_image("train", 30, data.scene(300, 400))
    grid = [
        f"0 {0.04 + x / 22:.4f} {0.05 + y / 18:.4f} 0.03 0.04" for x in range(21) for y in range(16)
    ]
    data.write_rows("train", 30, grid[:305])
    expect("over-crowded", data.image("train", 30))
    data.write_image("train", 31, data.scene(300, 400))
    data.write_rows("train", 31, grid[:120])
    expect("crowded", data.image("train", 31))
    for index in range(32, 44):
        data.add_row(index, "2 0.812345 0.5 0.11 0.48")
        expect("box-repeated", data.image("train", index))
    return planted
