import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import data.anchors.fit
from data.anchors import AnchorFit, best_possible_recall, fit_anchors
from data.anchors.fit import AnchorQuality, kmeans, refined
from data.anchors.matching import anchor_fitness
from tests.data.anchors.records import PUBLISHED, record
from utils.structures.images import Record


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FOCALDET_CACHE", str(tmp_path))
    return tmp_path / "anchors"


def fit(records: list[Record], **changes: object) -> AnchorFit:
    arguments = {"anchors": PUBLISHED, "image_size": 640, "max_ratio": 4.0, "seed": 0, **changes}
    return fit_anchors(records, **arguments)  # type: ignore[arg-type]


def long_boxes(count: int = 60, seed: int = 0) -> list[Record]:
    """Boxes many times as wide as high: the published anchors match few of them."""
    rng = np.random.default_rng(seed)
    heights = rng.uniform(5, 30, count)
    widths = heights * rng.uniform(14, 20, count)
    return [record(list(zip(widths.tolist(), heights.tolist(), strict=True)))]


def test_fitted_anchors_find_more_boxes() -> None:
    result = fit(long_boxes())
    sizes_wh = result.anchors.reshape(-1, 2)
    assert result.is_fitted
    assert result.before.best_possible_recall < 0.7
    assert result.after.best_possible_recall == 1
    assert result.after.fitness > result.before.fitness + 0.3
    assert (np.diff(sizes_wh.prod(axis=1)) >= 0).all(), "small anchors belong to fine levels"
    assert result.anchors.shape == PUBLISHED.shape
    assert (sizes_wh[:, 0] > 4 * sizes_wh[:, 1]).all()


def test_before_and_after_are_those_of_the_anchors() -> None:
    records = long_boxes()
    result = fit(records)
    sizes_wh = (records[0].boxes[:, 2:] - records[0].boxes[:, :2]).astype(np.float64)
    for quality, anchors in ((result.before, PUBLISHED), (result.after, result.anchors)):
        assert quality.best_possible_recall == best_possible_recall(sizes_wh, anchors, 4.0)
        assert quality.fitness == anchor_fitness(sizes_wh, anchors, 4.0)


def test_what_is_printed_is_what_is_stored() -> None:
    result = fit(long_boxes())
    np.testing.assert_array_equal(result.anchors, result.anchors.round(2))
    printed = result.text.rsplit("; ", 1)[1]
    levels = [
        [tuple(float(side) for side in pair.split("x")) for pair in level.split(", ")]
        for level in printed.split(" | ")
    ]
    np.testing.assert_array_equal(np.array(levels), result.anchors)
    np.testing.assert_array_equal(np.array(result.per_level).reshape(3, 3, 2), result.anchors)
    assert "fitted to 60 boxes: best possible recall 0." in result.text
    assert "-> 1.0000, fitness" in result.text


def test_given_anchors_stay_when_none_are_better() -> None:
    sizes = [(float(w), float(h)) for w, h in PUBLISHED.reshape(-1, 2)]
    result = fit([record(sizes)])
    assert not result.is_fitted
    np.testing.assert_array_equal(result.anchors, PUBLISHED)
    assert result.after == result.before == AnchorQuality(best_possible_recall=1, fitness=1)
    assert result.text.startswith("anchors kept as given: none fitted to 9 boxes are better than")


@pytest.mark.parametrize(
    ("recall", "fitness", "is_better"),
    [
        (0.91, 0.1, True),
        (0.9 + 1e-12, 0.51, True),
        (0.9 - 1e-12, 0.51, True),
        (0.9, 0.5, False),
        (0.89, 0.9, False),
        (0.9 + 1e-12, 0.49, False),
    ],
)
def test_recall_decides_before_fitness(recall: float, fitness: float, is_better: bool) -> None:
    given_quality = AnchorQuality(best_possible_recall=0.9, fitness=0.5)
    other = AnchorQuality(best_possible_recall=recall, fitness=fitness)
    assert other.is_better_than(given_quality) is is_better


def test_fit_is_deterministic_and_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.anchors.fit.cache, "read", lambda *_: None)
    first, second, other = fit(long_boxes()), fit(long_boxes()), fit(long_boxes(), seed=1)
    np.testing.assert_array_equal(first.anchors, second.anchors)
    assert (first.anchors != other.anchors).any()


def test_refinement_raises_fitness_over_kmeans() -> None:
    sizes_wh = np.random.default_rng(0).uniform(4, 300, (80, 2))
    start = kmeans(np.random.default_rng(1), sizes_wh, 9)
    better = refined(np.random.default_rng(2), sizes_wh, start, 4.0)
    assert anchor_fitness(sizes_wh, better, 4.0) > anchor_fitness(sizes_wh, start, 4.0)


def test_kmeans_finds_clear_clusters() -> None:
    rng = np.random.default_rng(0)
    means = np.array([(10.0, 10.0), (100.0, 20.0), (50.0, 200.0)])
    sizes_wh = np.concatenate([mean + rng.uniform(-1, 1, (30, 2)) for mean in means])
    found = kmeans(np.random.default_rng(3), sizes_wh, 3)
    expected = [sizes_wh[start : start + 30].mean(axis=0) for start in (0, 30, 60)]
    np.testing.assert_allclose(found[np.argsort(found[:, 1])], expected)


@pytest.mark.parametrize(
    "sizes", [[(300.0, 12.0)], [(300.0, 12.0)] * 40, [(9.0, 9.0), (600.0, 90.0)]]
)
def test_fewer_different_sizes_than_anchors(sizes: list[tuple[float, float]]) -> None:
    result = fit([record(sizes)])
    assert result.is_fitted
    assert result.after.best_possible_recall == 1
    assert result.after.fitness == pytest.approx(1, abs=0.01)
    assert np.isfinite(result.anchors).all()


@pytest.mark.parametrize("records", [[], [record([])], [record([(50, 5)], ignore=[True])]])
def test_no_boxes_keep_the_given_anchors(records: list[Record]) -> None:
    result = fit(records)
    assert not result.is_fitted
    assert result.text == "anchors kept as given: no boxes to fit them to"


def test_degenerate_boxes_are_counted_and_left_out() -> None:
    sizes = [(0.0, 0.0), (1.9, 300.0), (300.0, 1.9), (2.0, 2.0)]
    result = fit([record(sizes), *long_boxes()])
    assert (result.num_boxes, result.num_left_out) == (61, 3)
    assert ", 3 with a side below 2 px left out" in result.text
    assert result.anchors.min() >= 2
    nothing = fit([record(sizes[:3])])
    assert nothing.text.endswith("no boxes to fit them to, 3 with a side below 2 px left out")


def test_boxes_count_at_network_scale() -> None:
    # The same scene at twice the resolution asks for the same anchors.
    boxes = long_boxes()[0]
    sizes = (boxes.boxes[:, 2:] - boxes.boxes[:, :2]).astype(np.float64)
    doubled = record([tuple(size) for size in (sizes * 2).tolist()], size=(1280, 1280))
    np.testing.assert_allclose(fit([doubled]).anchors, fit([boxes]).anchors, atol=0.02)


def test_given_anchors_are_not_changed() -> None:
    anchors = PUBLISHED.copy()
    fit(long_boxes(), anchors=anchors)
    np.testing.assert_array_equal(anchors, PUBLISHED)


@pytest.mark.parametrize("shape", [(2, 3), (4, 3), (1, 1), (3, 5)])
def test_any_number_of_levels_and_anchors(shape: tuple[int, int]) -> None:
    result = fit(long_boxes(), anchors=np.full((*shape, 2), 50.0))
    assert result.anchors.shape == (*shape, 2)
    assert len(result.per_level) == shape[0]


def test_large_data_sets_are_sampled_but_judged_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data.anchors.fit, "MAX_FITTED_BOXES", 25)
    result = fit(long_boxes(count=200))
    assert result.num_boxes == 200
    assert result.after.best_possible_recall > 0.95


def test_second_fit_comes_from_the_cache(
    monkeypatch: pytest.MonkeyPatch, cache_folder: Path
) -> None:
    first = fit(long_boxes())
    assert len(list(cache_folder.iterdir())) == 1
    monkeypatch.setattr(data.anchors.fit, "kmeans", None)
    second = fit(long_boxes())
    np.testing.assert_array_equal(first.anchors, second.anchors)
    assert second.text == first.text


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"max_ratio": 3.0}, {"image_size": 320}, {"anchors": PUBLISHED * 1.01}],
)
def test_cache_knows_every_setting(change: dict[str, object], cache_folder: Path) -> None:
    fit(long_boxes())
    fit(long_boxes(), **change)
    assert len(list(cache_folder.iterdir())) == 2


def test_cache_knows_the_boxes(cache_folder: Path) -> None:
    fit(long_boxes())
    fit(long_boxes(seed=1))
    assert len(list(cache_folder.iterdir())) == 2


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", '{"anchors": [[1, 2]]}', '{"anchors": null}', '{"anchors": "x"}']
)
def test_a_damaged_cache_is_fitted_again(text: str, cache_folder: Path) -> None:
    first = fit(long_boxes())
    (entry,) = cache_folder.iterdir()
    whole = entry.read_text()
    entry.write_text(text)
    np.testing.assert_array_equal(fit(long_boxes()).anchors, first.anchors)
    assert entry.read_text() == whole


def test_cached_anchors_that_cannot_be_used_are_fitted_again(cache_folder: Path) -> None:
    first = fit(long_boxes())
    (entry,) = cache_folder.iterdir()
    for bad in (float("nan"), -1.0):
        entry.write_text(json.dumps({"anchors": np.full((3, 3, 2), bad).tolist()}))
        np.testing.assert_array_equal(fit(long_boxes()).anchors, first.anchors)


def test_an_unwritable_cache_is_no_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = fit(long_boxes()).anchors
    (tmp_path / "file").write_text("")
    monkeypatch.setitem(os.environ, "FOCALDET_CACHE", str(tmp_path / "file"))
    np.testing.assert_array_equal(fit(long_boxes()).anchors, expected)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 1000), count=st.integers(1, 40), num_centers=st.integers(1, 12))
def test_kmeans_stays_among_the_boxes(seed: int, count: int, num_centers: int) -> None:
    sizes_wh = np.random.default_rng(seed).uniform(2, 300, (count, 2))
    found = kmeans(np.random.default_rng(seed), sizes_wh, num_centers)
    assert found.shape == (num_centers, 2)
    assert (found >= sizes_wh.min(axis=0) - 1e-9).all()
    assert (found <= sizes_wh.max(axis=0) + 1e-9).all()
    assert best_possible_recall(sizes_wh, found, 1e6) == 1
