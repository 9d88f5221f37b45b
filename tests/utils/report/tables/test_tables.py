"""The table on the screen shows the numbers it is given, aligned, and says what was cut off."""

from dataclasses import replace

from utils.report.tables.tables import format_result
from utils.structures.results import ClassResult, EvalResult

POINT = {"threshold": 0.312, "precision": 0.8, "recall": 0.6, "f1": 0.686}
RESULT = EvalResult(
    map50_95=0.4321,
    map50=0.6543,
    map75=0.5001,
    by_size={
        "small": {"ap": None, "ar": None},
        "medium": {"ap": 0.3, "ar": 0.4},
        "large": {"ap": 0.5, "ar": 0.6},
    },
    average_recall={"1": 0.21, "10": 0.42, "100": 0.63},
    per_class={
        "cat": ClassResult(
            ap=0.4321, ap50=0.6543, num_truths=12, num_detections=345,
            precision=0.81, recall=0.62, f1=0.7023, threshold=0.31,
        ),
        "unicorn": ClassResult(ap=None, ap50=None, num_truths=0, num_detections=3),
    },
    operating_points={"best_f1": POINT, "given": {**POINT, "threshold": 0.25}},
    confusion=((9, 0, 3), (0, 0, 0), (2, 3, 0)),
    counts={
        "images": 40,
        "truths": 12,
        "ignored": 0,
        "detections": 348,
        "images_at_candidate_cap": 0,
        "images_at_detection_cap": 0,
        "images_cut": 0,
    },
)  # fmt: skip


def cells(text: str, first: str) -> list[str]:
    """Return the cells of the line that starts with `first`."""
    (line,) = [line for line in text.splitlines() if line.startswith(first + "  ")]
    return line[len(first) :].split()


def test_every_number_is_in_its_place() -> None:
    text = format_result(RESULT)
    assert text.splitlines()[0] == "40 images, 12 objects, 348 detections"
    assert cells(text, "AP") == ["0.432", "-", "0.300", "0.500"]
    assert cells(text, "AP50") == ["0.654"]
    assert cells(text, "AP75") == ["0.500"]
    assert cells(text, "AR, 1 per class") == ["0.210"]
    assert cells(text, "AR, 10 per class") == ["0.420"]
    assert cells(text, "AR, 100 per class") == ["0.630", "-", "0.400", "0.600"]
    assert cells(text, "all, at the best F1") == ["0.312", "0.800", "0.600", "0.686"]
    assert cells(text, "all, at the chosen score") == ["0.250", "0.800", "0.600", "0.686"]
    assert cells(text, "cat") == ["12", "345", "0.432", "0.654", "0.310", "0.810", "0.620", "0.702"]


def test_what_does_not_exist_is_a_dash() -> None:
    assert cells(format_result(RESULT), "unicorn") == ["0", "3", "-", "-", "-", "-", "-", "-"]


def test_columns_are_aligned_and_lines_short() -> None:
    lines = format_result(RESULT).splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("class"))
    assert len({len(line) for line in lines[start : start + 3]}) == 1
    assert max(map(len, lines)) <= 100


def test_long_names_are_cut_in_the_middle() -> None:
    quality = RESULT.per_class["cat"]
    names = {"a" * 24: quality, "begin" + "x" * 50 + "end": quality}
    text = format_result(replace(RESULT, per_class=names))
    assert cells(text, "a" * 24)[0] == "12"
    (cut,) = [line.split()[0] for line in text.splitlines() if line.startswith("begin")]
    assert len(cut) == 24
    assert "..." in cut
    assert cut.endswith("end")


def test_ignored_objects_are_mentioned() -> None:
    counts = {**RESULT.counts, "ignored": 2}
    assert "12 objects and 2 ignored," in format_result(replace(RESULT, counts=counts))


def test_limits_are_mentioned_only_where_reached() -> None:
    assert "cut off" not in format_result(RESULT)
    counts = {**RESULT.counts, "images_at_detection_cap": 9, "images_cut": 7}
    text = format_result(replace(RESULT, counts=counts))
    assert "7 of 40 images hit the limit of detections; increase eval.max_detections" in text
    assert "max_candidates" not in text


def test_no_classes_and_no_images() -> None:
    empty = replace(RESULT, per_class={}, counts=dict.fromkeys(RESULT.counts, 0))
    assert format_result(empty).startswith("0 images, 0 objects, 0 detections")
