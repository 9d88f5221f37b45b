"""The charts of a comparison, from the arrays in comparison.json."""

from collections.abc import Mapping, Sequence
from typing import Any

from utils.report.plot_area import PlotArea, css, padded

Arms = Mapping[str, Mapping[str, Any]]
_ROW = 26


def difference_chart(arms: Arms, *, margin: float, baseline: str) -> str:
    """Return intervals of all arms' differences, with the margin of equivalence shaded."""
    rows = [(name, arm) for name, arm in arms.items() if arm["verdict"] != "baseline"]
    ends = [end for _, arm in rows for end in arm["interval"]]
    area = PlotArea(
        title=f"Difference to {baseline} in mAP50-95",
        description="; ".join(
            f"{name} {arm['delta']:+.2f}, from {arm['interval'][0]:+.2f} to "
            f"{arm['interval'][1]:+.2f}"
            for name, arm in rows
        ),
        x_range=padded(min(*ends, -margin), max(*ends, margin)),
        y_range=(len(rows) - 0.5, -0.5),
        x_label=f"points; shaded: equivalent within {margin:g}",
        height=_ROW * 2 + _ROW * len(rows) + 40,
        left=118,
        is_y_numeric=False,
    )
    area.zone(-margin, margin, f"differences within {margin:g} points do not matter")
    area.upright(0.0)
    for row, (name, arm) in enumerate(rows):
        low, high = arm["interval"]
        color = _color(arms, name)
        area.y_name(row, name)
        area.across(row, low, high, color, f"{name}: {low:+.2f} to {high:+.2f}")
        area.dot(arm["delta"], row, color, f"{name}: {arm['delta']:+.2f}", radius=5)
    return area.figure()


def seed_chart(arms: Arms) -> str:
    """Return mAP of every run, the runs of one seed joined by a line."""
    values = [v for arm in arms.values() for v in arm["map50_95"]["by_seed"].values()]
    names = list(arms)
    area = PlotArea(
        title="Every run, seeds joined",
        description="; ".join(
            f"{name}: " + ", ".join(f"{v:.1f}" for v in arm["map50_95"]["by_seed"].values())
            for name, arm in arms.items()
        ),
        x_range=(-0.5, len(names) - 0.5),
        y_range=padded(min(values), max(values)),
        y_label="mAP50-95",
        is_x_numeric=False,
    )
    seeds = sorted({s for arm in arms.values() for s in arm["map50_95"]["by_seed"]}, key=int)
    for seed in seeds:
        points = [
            (column, arm["map50_95"]["by_seed"][seed])
            for column, arm in enumerate(arms.values())
            if seed in arm["map50_95"]["by_seed"]
        ]
        area.line([x for x, _ in points], [y for _, y in points], "plain", faint=True)
    for column, (name, arm) in enumerate(arms.items()):
        area.x_name(column, name)
        mean = arm["map50_95"]["mean"]
        area.line([column - 0.22, column + 0.22], [mean, mean], css(column))
        for seed, value in arm["map50_95"]["by_seed"].items():
            area.dot(column, value, css(column), f"{name}, seed {seed}: {value:.2f}")
    return area.figure()


def precision_recall_chart(arms: Arms, threshold: str) -> str:
    """Return mean precision over recall of all arms at an IoU threshold, bands over images."""
    area = PlotArea(
        title=f"Precision and recall at IoU {threshold}",
        description="Mean over classes and seeds; bands hold 95 % of image resamples.",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="recall",
        y_label="precision",
    )
    recalls = [step / 100 for step in range(101)]
    for name, arm in arms.items():
        curve = arm["plots"]["precision_recall"][threshold]
        area.band(recalls, curve["low"], curve["high"], _color(arms, name))
    for name, arm in arms.items():
        curve = arm["plots"]["precision_recall"][threshold]
        area.line(recalls, curve["mean"], _color(arms, name))
    return area.figure(_legend(arms))


def reliability_chart(arms: Arms, scores: str, title: str) -> str:
    """Return precision over score of the arms that have such scores; empty where none has."""
    having = [name for name, arm in arms.items() if arm["plots"]["reliability"].get(scores)]
    if not having:
        return ""
    area = PlotArea(
        title=title,
        description="On the diagonal a score is the share of right detections.",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="mean score of the bin",
        y_label="share that is right",
    )
    area.line([0, 1], [0, 1], "plain", faint=True)
    for name in having:
        bins = arms[name]["plots"]["reliability"][scores]
        area.line([b["score"] for b in bins], [b["precision"] for b in bins], _color(arms, name))
        most = max(b["count"] for b in bins)
        for one in bins:
            hint = f"{name}: {one['count']:.0f} detections, score {one['score']:.2f}, right "
            area.dot(
                one["score"],
                one["precision"],
                _color(arms, name),
                f"{hint}{one['precision']:.2f}",
                radius=1.5 + 4 * (one["count"] / most) ** 0.5,
            )
    return area.figure([(_color(arms, name), name) for name in having])


def score_chart(name: str, arm: Mapping[str, Any], color: str, most: float) -> str:
    """Return how many right and wrong detections an image has, by score; a square-root scale."""
    scores = arm["plots"]["scores"]
    area = PlotArea(
        title=f"Scores of {name}",
        description="Right detections filled, wrong ones as a line, per image.",
        x_range=(0.0, 1.0),
        y_range=(0.0, most**0.5),
        x_label="score",
        y_label="per image, square root",
        height=220,
    )
    count = len(scores["right"])
    for number, value in enumerate(scores["right"]):
        left, right = number / count, (number + 1) / count
        hint = f"{left:.2f} to {right:.2f}: {value:.3f} right ones per image"
        area.bar(left, right, value**0.5, color, hint)
    steps = [(k + side) / count for k in range(count) for side in (0, 1)]
    area.line(steps, [v**0.5 for v in scores["wrong"] for _ in (0, 1)], "plain")
    return area.figure([(color, "right"), ("plain", "wrong")])


def class_chart(name: str, arm: Mapping[str, Any], color: str) -> str:
    """Return the difference of every class with its interval, frequent classes first."""
    classes = sorted(
        arm["per_class"]["classes"], key=lambda one: -(one["train_objects"] or one["test_objects"])
    )
    if not classes:
        return ""
    ends = [end for one in classes for end in (one["low"], one["high"], 0.0)]
    area = PlotArea(
        title=f"{name}: difference by class, frequent ones first",
        description="; ".join(f"{one['name']} {one['delta']:+.1f}" for one in classes[:30]),
        x_range=padded(min(ends), max(ends)),
        y_range=(len(classes) - 0.5, -0.5),
        x_label="points; coloured: different after Benjamini-Hochberg",
        height=_ROW * 2 + 18 * len(classes) + 30,
        left=170,
        is_y_numeric=False,
    )
    area.upright(0.0)
    for row, one in enumerate(classes):
        objects = one["train_objects"] if one["train_objects"] is not None else "?"
        area.y_name(row, f"{one['name']} ({objects})")
        mark = color if one["is_discovery"] else "plain"
        hint = f"{one['name']}: {one['delta']:+.2f}, {one['low']:+.2f} to {one['high']:+.2f}"
        area.across(row, one["low"], one["high"], mark, hint)
        area.dot(one["delta"], row, mark, hint)
    return area.figure()


def budget_charts(arms: Arms) -> list[str]:
    """Return, for every branch and side, cumulative loss and gradient by difficulty of all arms."""
    budgets = {name: arm["plots"].get("budget") or {} for name, arm in arms.items()}
    branches = dict.fromkeys(branch for budget in budgets.values() for branch in budget)
    charts = []
    for branch in branches:
        for side in ("negatives", "positives"):
            having = {n: b[branch][side] for n, b in budgets.items() if branch in b}
            charts += [_cumulative(arms, having, f"{branch}, {side}")]
            charts += [_difficulty(arms, having, f"{branch}, {side}")]
    return charts


def _cumulative(arms: Arms, having: Mapping[str, Mapping[str, Any]], what: str) -> str:
    area = PlotArea(
        title=f"Cumulative loss: {what}",
        description="Share of the loss that the easiest share of elements holds, last epoch.",
        x_range=(0.0, 1.0),
        y_range=(0.0, 1.0),
        x_label="share of elements, easiest first",
        y_label="share of loss",
    )
    known = {name: one["cumulative_loss"] for name, one in having.items()}
    shown = {name: curve for name, curve in known.items() if curve is not None}
    for name, curve in shown.items():
        xs = [index / (len(curve) - 1) for index in range(len(curve))]
        area.line(xs, curve, _color(arms, name))
    return area.figure([(_color(arms, name), name) for name in shown])


def _difficulty(arms: Arms, having: Mapping[str, Mapping[str, Any]], what: str) -> str:
    highest = max(value for one in having.values() for value in one["gradient"])
    area = PlotArea(
        title=f"Gradient by difficulty: {what}",
        description="Share of the branch's gradient by |score - target|, last epoch.",
        x_range=(0.0, 1.0),
        y_range=(0.0, highest * 1.05 or 1.0),
        x_label="|score - target|: easy to hard",
        y_label="share of gradient",
    )
    for name, one in having.items():
        count = len(one["gradient"])
        middles = [(index + 0.5) / count for index in range(count)]
        area.line(middles, one["gradient"], _color(arms, name))
        for x, y in zip(middles, one["gradient"], strict=True):
            area.dot(x, y, _color(arms, name), f"{name}: {y:.3f}", radius=3)
    return area.figure([(_color(arms, name), name) for name in having])


def search_chart(tuning: Mapping[str, Mapping[str, Any]], arms: Arms) -> str:
    """Return the expected best of k trials for every arm; empty without tuning."""
    curves = {name: entry["best_of"] for name, entry in tuning.items() if name in arms}
    if not curves:
        return ""
    values = [v for curve in curves.values() for v in curve]
    area = PlotArea(
        title="What searching is worth: expected best of k trials",
        description="mAP50-95 on the validation split, reduced budget.",
        x_range=(0.8, max(len(c) for c in curves.values()) + 0.2),
        y_range=padded(min(values), max(values)),
        x_label="trials",
        y_label="best mAP50-95 on val",
    )
    for name, curve in curves.items():
        area.line(range(1, len(curve) + 1), curve, _color(arms, name))
    return area.figure([(_color(arms, name), name) for name in curves])


def _color(arms: Arms, name: str) -> str:
    return css(list(arms).index(name))


def _legend(arms: Arms) -> Sequence[tuple[str, str]]:
    return [(_color(arms, name), name) for name in arms]
