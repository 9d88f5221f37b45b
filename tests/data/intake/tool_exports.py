"""Exports in the native formats of labelling tools, and tables; same boxes as `exports.py`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from tests.data.intake.exports import ALL, HEIGHT, NAMES, SPLITS, WIDTH, Box, save_image, text


def cvat_images(root: Path) -> None:
    """Boxes, and a polygon, an ellipse and a turned box with the same box around them."""
    elements = []
    for number, (stem, rows) in enumerate(ALL.items()):
        save_image(root / "images" / f"{stem}.png")
        shapes = "".join(_cvat_shape(name, box, number) for name, box in rows)
        name = quoteattr(f"{stem}.png")
        elements.append(
            f'<image id="{number}" name={name} width="{WIDTH}" height="{HEIGHT}">{shapes}'
            '<tag label="outdoor" source="manual"/></image>'
        )
    labels = "".join(f"<label><name>{name}</name></label>" for name in NAMES)
    text(
        root / "annotations.xml",
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations><version>1.1</version><meta><task>'
        f"<labels>{labels}</labels></task></meta>{''.join(elements)}</annotations>",
    )


def _cvat_shape(name: str, box: Box, number: int) -> str:
    x1, y1, x2, y2 = box
    x, y, width, height = (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1
    shapes = [
        f'<box label="{name}" xtl="{x1}" ytl="{y1}" xbr="{x2}" ybr="{y2}" z_order="0"/>',
        f'<polygon label="{name}" points="{x1},{y};{x},{y1};{x2},{y};{x},{y2}"/>',
        f'<ellipse label="{name}" cx="{x}" cy="{y}" rx="{width / 2}" ry="{height / 2}"/>',
        f'<box label="{name}" rotation="90" xtl="{x - height / 2}" ytl="{y - width / 2}" '
        f'xbr="{x + height / 2}" ybr="{y + width / 2}"/>',
        f'<mask label="{name}" rle="1" left="{x1}" top="{y1}" width="{width}" height="{height}"/>',
    ]
    return shapes[number % len(shapes)]


def label_studio_tasks(root: Path) -> None:
    """Uploaded images; the annotation that counts is neither the first nor a prediction."""
    tasks = []
    for number, (stem, results) in enumerate(_results()):
        save_image(root / "images" / f"{stem}.png")
        wrong = {"result": [_result("dog", (1, 1, 9, 9), 0)]}
        tasks.append(
            {
                "id": number,
                "data": {"image": f"/data/upload/1/0a1b2c3d-{quote(stem)}.png"},
                "annotations": [{**wrong, "was_cancelled": True}, {"result": results}],
                "predictions": [wrong],
            }
        )
    text(root / "project-1.json", json.dumps(tasks, ensure_ascii=False))


def label_studio_min(root: Path) -> None:
    """JSON-MIN: results without a frame."""
    tasks = []
    for number, (stem, results) in enumerate(_results()):
        save_image(root / "images" / f"{stem}.png")
        sizes = {"original_width": WIDTH, "original_height": HEIGHT}
        regions = [result["value"] | sizes for result in results]
        tasks.append({"image": f"s3://bucket/{stem}.png", "id": number, "label": regions})
    text(root / "min.json", json.dumps(tasks))


def _results() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for number, (stem, rows) in enumerate(ALL.items()):
        yield stem, [_result(name, box, number) for name, box in rows]


def _result(name: str, box: Box, number: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (
        100 * value / side for value, side in zip(box, (WIDTH, HEIGHT) * 2, strict=True)
    )
    rectangle = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1, "rotation": 0}
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    # Turned clockwise by a right angle about its top left corner, which becomes the top right one.
    across = (x2 - x1) * WIDTH / HEIGHT
    turned = {"x": x2, "y": y1, "width": (y2 - y1) * HEIGHT / WIDTH, "height": across}
    values: list[dict[str, Any]] = [
        {**rectangle, "rectanglelabels": [name]},
        {"points": [[x1, y], [x, y1], [x2, y], [x, y2]], "polygonlabels": [name]},
        {"x": x, "y": y, "radiusX": x2 - x, "radiusY": y2 - y, "ellipselabels": [name]},
        {**turned, "rotation": 90, "rectanglelabels": [name]},
    ]
    value = values[number % 3] if number != 4 else values[3]
    return {"original_width": WIDTH, "original_height": HEIGHT, "value": value}


def createml(root: Path) -> None:
    for folder, labels in (("train", SPLITS["train"]), ("valid", SPLITS["val"])):
        entries = []
        for stem, rows in labels.items():
            save_image(root / folder / f"{stem}.png")
            annotations = [
                {
                    "label": name,
                    "coordinates": {
                        "x": (x1 + x2) / 2,
                        "y": (y1 + y2) / 2,
                        "width": x2 - x1,
                        "height": y2 - y1,
                    },
                }
                for name, (x1, y1, x2, y2) in rows
            ]
            entries.append({"image": f"{stem}.png", "annotations": annotations})
        text(root / folder / "_annotations.createml.json", json.dumps(entries))


def csv_table(root: Path) -> None:
    """As Roboflow names the columns; an image without objects has a row without corners."""
    for folder, labels in (("train", SPLITS["train"]), ("valid", SPLITS["val"])):
        lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
        for stem, rows in labels.items():
            save_image(root / folder / f"{stem}.png")
            for name, box in rows:
                lines.append(f"{stem}.png,{WIDTH},{HEIGHT},{name},{','.join(map(str, box))}")
            if not rows:
                lines.append(f"{stem}.png,{WIDTH},{HEIGHT},,,,,")
        text(root / folder / "_annotations.csv", "\n".join(lines) + "\n", newline="\r\n")


def kaggle_csv(root: Path) -> None:
    """Other names of the columns, shares instead of pixels."""
    lines = ["image_id,x1,y1,x2,y2,label"]
    for stem, rows in ALL.items():
        save_image(root / "images" / f"{stem}.png")
        lines += [
            f"{stem},{x1 / WIDTH},{y1 / HEIGHT},{x2 / WIDTH},{y2 / HEIGHT},{name}"
            for name, (x1, y1, x2, y2) in rows
        ]
        lines += [] if rows else [f"{stem},,,,,"]
    text(root / "train.csv", "\n".join(lines))


TOOL_EXPORTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "CVAT for images": (cvat_images, "cvat"),
    "Label Studio tasks": (label_studio_tasks, "labelstudio"),
    "Label Studio JSON-MIN": (label_studio_min, "labelstudio"),
    "CreateML": (createml, "createml"),
    "CSV table": (csv_table, "table"),
    "CSV of shares": (kaggle_csv, "table"),
}
