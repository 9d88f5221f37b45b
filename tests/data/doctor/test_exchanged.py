"""Swapped and shifted classes: found where they are, and hardly ever where they are not."""

import math

import numpy as np
import pytest

from data.doctor.exchanged import LEAST_DISTANCE, _critical, _Looks, check_exchanged, distance
from data.doctor.subject import SplitTable, Subject, tabulate
from data.formats.label_report import LabelReport
from data.records.split import Split
from utils.structures.images import Record

CLASSES = 6


def table(
    name: str, rng: np.random.Generator, images: int, order: list[int], spread: float = 0.35
) -> SplitTable:
    """Boxes of an image are alike, as in films: a draw of the image moves all of them."""
    records = []
    for number in range(images):
        moved = rng.normal(0, 0.5)
        labels = rng.integers(CLASSES, size=int(rng.integers(1, 9)))
        widths = np.exp(2.5 + 0.6 * labels + moved + rng.normal(0, spread, len(labels)))
        heights = widths * np.exp(0.25 * (labels % 3) + rng.normal(0, spread, len(labels)))
        sides = np.stack([widths, heights], axis=1).clip(2, 900)
        start = rng.uniform(0, 1, (len(labels), 2)) * (1000 - sides)
        boxes = np.concatenate([start, start + sides], axis=1).astype(np.float32)
        records.append(
            Record(
                path=f"{name}/{number}",
                image_id=number,
                size=(1000, 1000),
                boxes=boxes,
                labels=np.array([order[label] for label in labels], np.int64),
                ignore=np.zeros(len(labels), np.bool_),
                area=sides.prod(axis=1).astype(np.float32),
            )
        )
    counts = {key: 0 for key in ("num_rows", "num_rejected", "num_ignored", "num_images")}
    counts |= {key: 0 for key in ("num_background", "num_unlabelled", "num_left_out")}
    report = LabelReport(split=name, decisions=(), **counts)
    names = tuple(f"class{label}" for label in range(CLASSES + 1))
    split = Split(
        name=name,  # type: ignore[arg-type]
        records=tuple(records),
        class_names=names,
        category_ids=tuple(range(CLASSES + 1)),
        report=report,
        fingerprint="",
    )
    return tabulate(split)


def codes(seed: int, order: list[int], images: tuple[int, int] = (300, 120)) -> list[str]:
    rng = np.random.default_rng(seed)
    straight = list(range(CLASSES))
    subject = Subject(
        splits={
            "train": table("train", rng, images[0], straight),
            "val": table("val", rng, images[1], order),
        },
        class_names=tuple(f"class{label}" for label in range(CLASSES + 1)),
        image_size=640,
        scans={},
    )
    return [finding.code for finding in check_exchanged(subject)]


@pytest.mark.parametrize(("train", "val"), [(40, 40), (60, 24), (25, 200)])
def test_chance_exceeds_the_critical_distance_once_in_10_000(train: int, val: int) -> None:
    """By the bound of Massart for two samples, 2 exp(-2 d^2 nm / (n + m)), and three columns."""
    none = np.zeros((5, 3))
    critical = _critical(_Looks(none, train), _Looks(none, val))
    chance = 3 * 2 * math.exp(-2 * critical**2 * train * val / (train + val))
    assert chance == pytest.approx(1e-4)


def test_many_images_need_a_difference_that_matters() -> None:
    none = np.zeros((5, 3))
    assert _critical(_Looks(none, 10**6), _Looks(none, 10**6)) == LEAST_DISTANCE


@pytest.mark.slow
def test_sound_data_give_no_alarm_in_40_draws() -> None:
    sizes = ((300, 120), (60, 30), (900, 40))
    alarms = sum(len(codes(seed, list(range(CLASSES)), sizes[seed % 3])) for seed in range(40))
    assert alarms == 0


@pytest.mark.parametrize("pair", [(0, 3), (1, 5), (0, 5)])
def test_swapped_classes_are_found(pair: tuple[int, int]) -> None:
    order = list(range(CLASSES))
    order[pair[0]], order[pair[1]] = order[pair[1]], order[pair[0]]
    assert [codes(seed, order) for seed in range(3)] == [["classes-swapped"]] * 3


@pytest.mark.slow
@pytest.mark.parametrize("shift", [1])
def test_shifted_classes_are_found(shift: int) -> None:
    order = [label + shift for label in range(CLASSES)]
    found = [codes(seed, order, (900, 400)) for seed in range(3)]
    assert found == [["classes-shifted"]] * 3


def test_distance_is_that_of_kolmogorov_and_smirnov() -> None:
    def slowly(one: np.ndarray, two: np.ndarray) -> float:
        return max(
            abs(float(np.mean(one <= value)) - float(np.mean(two <= value)))
            for value in (*one, *two)
        )

    rng = np.random.default_rng(1)
    for _ in range(20):
        one, two = np.sort(rng.normal(size=rng.integers(1, 50))), np.sort(rng.normal(0.5, size=17))
        assert distance(one, two) == pytest.approx(slowly(one, two))
    assert distance(np.zeros(3), np.zeros(5)) == 0
    assert distance(np.zeros(3), np.ones(5)) == 1
