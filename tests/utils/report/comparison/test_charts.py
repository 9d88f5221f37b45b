"""The charts of a comparison: every number that a picture shows is where it belongs."""

import re
from html import unescape
from typing import Any

import pytest

from utils.report.comparison.budget import cumulative_charts, difficulty_charts, measured_epochs
from utils.report.comparison.course import course_charts
from utils.report.comparison.curves import f1_chart, overlap_chart, reliability_chart, score_charts
from utils.report.comparison.differences import class_charts, seed_chart
from utils.report.comparison.search import heat_maps, search_chart


def arm(**plots: Any) -> dict[str, Any]:
    return {"verdict": "baseline", "plots": plots}


def dots(svg: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)]


def test_the_best_threshold_is_marked_and_said() -> None:
    curve = [0.0] * 101
    curve[50] = 0.8
    text = f1_chart({"a": arm(f1=curve)})
    assert "a: best 0.800 at 0.50" in text
    ((x, _),) = dots(text)
    assert x == pytest.approx((62 + 506) / 2)


def test_scores_share_a_logarithmic_scale() -> None:
    one = {"right": [0.0, 0.1], "wrong": [100.0, 0.0]}
    other = {"right": [0.0, 0.1], "wrong": [0.01, 0.0]}
    charts = score_charts({"a": arm(scores=one), "b": arm(scores=other)})
    heights = [re.findall(r'height="([\d.]+)"><title>0.50 to 1.00', chart) for chart in charts]
    assert heights[0] == heights[1] != []
    assert ">0.01<" in charts[1]
    assert "0.10 right" in charts[0]


def test_scores_without_any_detection_are_drawn() -> None:
    (chart,) = score_charts({"a": arm(scores={"right": [0.0], "wrong": [0.0]})})
    assert "<svg" in chart


def test_median_scores_lie_at_their_overlap() -> None:
    bins = [
        {"overlap": 0.5, "count": 3, "low": 0.1, "median": 0.25, "high": 0.5},
        {"overlap": 1.0, "count": 1, "low": 0.9, "median": 1.0, "high": 1.0},
    ]
    text = overlap_chart({"a": arm(score_by_overlap=bins), "b": arm(score_by_overlap=[])})
    assert dots(text) == [(62.0, pytest.approx(236 - 222 / 4)), (506.0, 14.0)]
    assert "a from 0.25 to 1.00" in text
    assert ">b<" not in text


def budget(shares: list[list[float]]) -> dict[str, Any]:
    side = {"gradient": shares, "cumulative_loss": [0.0, 0.2, 1.0]}
    none = {"gradient": shares, "cumulative_loss": None}
    scores = {"positives": [0.5, None], "negatives": [0.1, 0.1], "hard_negatives": [None, None]}
    return {
        "epochs": [1, 9],
        "branches": {"objectness": {"positives": side, "negatives": none}},
        "scores": {"objectness": scores},
    }


def test_budgets_are_drawn_stage_by_stage_on_one_scale() -> None:
    arms = {"a": arm(budget=budget([[0.1] * 10, [0.05] * 10])), "b": arm(budget={})}
    assert measured_epochs(arms) == [1, 9]
    first, last = (difficulty_charts(arms, stage) for stage in (0, -1))
    assert len(first) == len(last) == 2
    assert "epoch 1<" in first[0]
    assert "epoch 9<" in last[0]
    assert all(y > dots(first[0])[0][1] for _, y in dots(last[0]))
    assert "100% of the gradient, 50% from the harder half" in first[0]
    cumulative = cumulative_charts(arms)
    assert "the easiest half holds 20.0%" in cumulative[1]


def test_courses_end_where_their_numbers_end() -> None:
    course = {
        "epochs": [1, 2],
        "terms": {"box": [0.2, 0.4], "objectness": [0.8, 0.6]},
        "hard_negatives": {"objectness": [0.5, 0.1]},
    }
    one = arm(course=course, budget=budget([[0.1] * 10, [0.1] * 10]))
    charts = course_charts({"a": one, "b": arm(course=course)})
    titles = [unescape(re.findall(r"<figcaption>([^<]*)", chart)[0]) for chart in charts]
    assert titles == [
        "Share of the box term in the loss",
        "Share of the objectness term in the loss",
        "Hard negatives' share of the gradient: objectness",
        "Mean training scores: objectness",
    ]
    assert "a: 0.20 at first, 0.40 at last" in charts[0]
    assert "positives end at none, negatives at 0.10" in charts[3]
    assert course_charts({"a": arm()}) == []


def point(gamma: float, value: float, **changes: Any) -> dict[str, Any]:
    kind = {"where": "both", "form": "linear", "scale": "matched", "alpha": None}
    return {"name": f"g{gamma}", "gamma": gamma, "map50_95": value, **kind, **changes}


def test_a_heat_map_needs_two_focal_losses_of_a_kind() -> None:
    bce = point(0.0, 40.0, form="any", scale="any")
    one, other = point(1.0, 41.5), point(2.0, 42.5, alpha=0.25)
    assert heat_maps([bce, one, point(2.0, 1.0, scale="as_is")], what="AP") == []
    (text,) = heat_maps([bce, one, other], what="AP")
    assert text.count('class="heat"') == 3
    for said in ("40.00", "41.50", "42.50", "alpha none", "alpha 0.25", "gamma 0, alpha none"):
        assert said in text
    shades = [float(v) for v in re.findall(r'fill-opacity="([\d.]+)"', text)]
    assert shades == sorted(shades)


def test_a_cell_shows_the_best_of_the_trials_that_share_it() -> None:
    points = [point(0.0, 1.0), point(1.0, 42.0), point(2.0, 3.0), point(1.0, 41.0)]
    (text,) = heat_maps(points, what="AP")
    assert text.count('class="heat"') == 3
    assert ">42.00<" in text
    assert "41.00" not in text


def test_a_search_is_marked_at_whole_trials() -> None:
    tuning = {"a": {"best_of": [40.0, 41.0]}, "gone": {"best_of": [1.0]}}
    text = search_chart(tuning, {"a": arm()})
    assert len(dots(text)) == 2
    assert "a: 40.00 to 41.00" in text
    assert ">1.5<" not in text
    assert search_chart({}, {"a": arm()}) == ""


def test_weighted_cross_entropy_stands_beside_its_own_kind_alone() -> None:
    weighted = point(0.0, 30.0, alpha=0.25, form="any", scale="matched")
    focal = [point(1.0, 1.0), point(2.0, 2.0)]
    raw = [point(1.0, 1.0, scale="as_is"), point(2.0, 2.0, scale="as_is")]
    matched, as_is = heat_maps([weighted, *focal, *raw], what="AP")
    assert "30.00" in matched
    assert "30.00" not in as_is


def classes(low: float, high: float) -> dict[str, Any]:
    one = {"name": "cat", "delta": 0.0, "low": low, "high": high, "is_discovery": False}
    return {"per_class": {"classes": [{**one, "train_objects": 5, "test_objects": 2}]}}


def test_classes_of_all_arms_share_a_scale() -> None:
    charts = class_charts({"base": {}, "a": classes(-1.0, 1.0), "b": classes(-4.0, 4.0)})
    assert len(charts) == 2
    assert dots(charts[0]) == dots(charts[1])


def test_small_bins_are_dots_and_no_line() -> None:
    bins = [{"score": s, "precision": s, "count": c} for s, c in ((0.1, 50), (0.5, 1), (0.9, 10))]
    text = reliability_chart({"a": arm(reliability={"raw": bins})}, "raw", "t")
    assert len(dots(text)) == 3
    (line,) = re.findall(r'<polyline class="series-0" points="([^"]*)"', text)
    assert len(line.split()) == 2
    assert reliability_chart({"a": arm(reliability={})}, "raw", "t") == ""


def test_many_long_names_are_slanted() -> None:
    def arms(names: list[str]) -> dict[str, Any]:
        value = {"mean": 1.0, "by_seed": {"0": 1.0}}
        return {name: {"map50_95": value, "verdict": "better"} for name in names}

    assert "rotate(-28)" not in seed_chart(arms(["bce", "focal"]))
    assert "rotate(-28)" in seed_chart(arms([f"a_long_name_{k}" for k in range(6)]))
