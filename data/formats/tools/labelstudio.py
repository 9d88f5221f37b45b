"""Label Studio's own JSON: a list of tasks with results in percent of the image, or JSON-MIN."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, Box, around, in_order, read_list, read_numbers

NOT_A_REGION = "result is not a region with a label: no box"
LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels")
_NO_REGIONS = ("keypointlabels", "brushlabels", "bitmasklabels", "vectorlabels")


class LabelStudio:
    """Of several annotations of a task the ground truth counts, else the first not cancelled.

    Predictions count where no task of the file has annotations.
    """

    title = "Label Studio"

    def is_label_file(self, path: str) -> bool:
        """Every JSON may be one."""
        return path.lower().endswith(".json")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images of the tasks.

        Raises:
            ValueError: it is not a list of tasks, or a task names no image.
        """
        tasks = read_list(content)
        return [_image(number, task, _results(task, tasks)) for number, task in enumerate(tasks)]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the labels of all results, sorted: the file has no other order."""
        names: set[str] = set()
        for content in files.values():
            try:
                tasks = read_list(content)
            except ValueError:
                continue
            results = (result for task in tasks for result in _results(task, tasks))
            names |= {name for result in results if (name := _label(result))}
        return in_order(names)


def _results(task: Mapping[str, Any], tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the results of a task in the form of JSON: type, value, sizes."""
    if "data" not in task:  # JSON-MIN: results are in keys that the interface names
        for values in task.values():
            for value in values if isinstance(values, list) else ():
                if isinstance(value, dict):
                    yield {**value, "value": value}
        return
    has_annotations = any(other.get("annotations") for other in tasks)
    given = task.get("annotations" if has_annotations else "predictions")
    kept = [
        one
        for one in (given if isinstance(given, list) else ())
        if isinstance(one, dict) and not one.get("was_cancelled")
    ]
    kept.sort(key=lambda one: not one.get("ground_truth"))
    results = kept[0].get("result") if kept else None
    for result in results if isinstance(results, list) else ():
        if isinstance(result, dict) and isinstance(result.get("value"), dict):
            yield result


def _image(number: int, task: Mapping[str, Any], results: Iterator[dict[str, Any]]) -> ToolImage:
    data = task.get("data", task)
    texts = [text for text in data.values() if isinstance(text, str)] if data else []
    stated = data.get("image") or next((t for t in texts if "/" in t or "." in t), "")
    if not stated:
        raise ValueError(f"task {task.get('id', number)} names no image")
    rows = [_row(f"task {task.get('id', number)} result {n}", r) for n, r in enumerate(results, 1)]
    return ToolImage(
        stated=str(stated), rows=[row for row in rows if row is not None], is_normalised=True
    )


def _label(result: Mapping[str, Any]) -> str:
    named = [result["value"].get(key) for key in LABELS]
    return next((str(names[0]) for names in named if isinstance(names, list) and names), "")


def _row(location: str, result: Mapping[str, Any]) -> ToolRow | None:
    """Return the row of a result; None for a choice or text about the whole image."""
    value, name = result["value"], _label(result)
    if not name:
        is_region = any(key in value for key in (*_NO_REGIONS, "x", "points"))
        return ToolRow(location, value, fault=NOT_A_REGION) if is_region else None
    box = _box(value, result)
    if box is None:
        return ToolRow(location, value, fault=NOT_NUMBERS)
    x1, y1, x2, y2 = (corner / 100 for corner in box)
    return ToolRow(location, value, name, (x1, y1, x2, y2))


def _box(value: Mapping[str, Any], result: Mapping[str, Any]) -> Box | None:
    """Return the upright box of a region, percent of the image."""
    if "points" in value:
        return around(value["points"])
    if "radiusX" in value:
        numbers = read_numbers(value.get(key) for key in ("x", "y", "radiusX", "radiusY"))
        if numbers is None:
            return None
        x, y, across, down = numbers
        corners = [(x + a * across, y + d * down) for a in (-1, 1) for d in (-1, 1)]
        centre = (x, y)
    else:
        numbers = read_numbers(value.get(key) for key in ("x", "y", "width", "height"))
        if numbers is None:
            return None
        x, y, width, height = numbers
        corners = [(x + a * width, y + d * height) for a in (0, 1) for d in (0, 1)]
        centre = (x, y)
    angle = read_numbers((value.get("rotation") or 0,))
    if angle is None:
        return None
    if angle[0]:
        size = read_numbers((result.get("original_width"), result.get("original_height")))
        if size is None or min(size) <= 0:
            return None
        corners = _turned(corners, centre, angle[0], size[0] / size[1])
    return around([list(corner) for corner in corners])


def _turned(
    corners: list[tuple[float, float]], centre: tuple[float, float], degrees: float, ratio: float
) -> list[tuple[float, float]]:
    """Return corners in percent turned clockwise; `ratio` is width over height of the image."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned = []
    for x, y in corners:
        across, down = (x - centre[0]) * ratio, y - centre[1]
        along = (across * cosine - down * sine) / ratio
        turned.append((centre[0] + along, centre[1] + across * sine + down * cosine))
    return turned
