"""How a training moved: what its terms weigh, whom it still learns from, what scores become."""

from collections.abc import Mapping, Sequence
from typing import Any

from utils.report.charts.plot_area import PlotArea
from utils.report.comparison.arms import Arms, color_of, legend_of

_STYLES = {"positives": "", "hard_negatives": "dashed", "negatives": "dotted"}


def course_charts(arms: Arms) -> list[str]:
    """Return shares of the terms, of hard negatives, and mean scores over the epochs."""
    courses = {name: arm["plots"].get("course") or {} for name, arm in arms.items()}
    charts = [
        _over_epochs(
            arms,
            {
                name: (one["epochs"], one["terms"][term])
                for name, one in courses.items()
                if term in one.get("terms", ())
            },
            title=f"Share of the {term} term in the loss",
            y_label="share of loss",
        )
        for term in _names_of(courses, "terms")
    ]
    charts += [
        _over_epochs(
            arms,
            {
                name: (one["epochs"], one["hard_negatives"][branch])
                for name, one in courses.items()
                if branch in one.get("hard_negatives", ())
            },
            title=f"Hard negatives' share of the gradient: {branch}",
            y_label="share of gradient",
        )
        for branch in _names_of(courses, "hard_negatives")
    ]
    return charts + _score_charts(arms)


def _names_of(courses: Mapping[str, Mapping[str, Any]], kind: str) -> list[str]:
    """Return the terms (or branches) that any arm has, each once."""
    return list(dict.fromkeys(name for one in courses.values() for name in one.get(kind, ())))


def _over_epochs(
    arms: Arms,
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    title: str,
    y_label: str,
) -> str:
    lines = {name: _equal(*pair) for name, pair in lines.items()}
    epochs = [x for xs, _ in lines.values() for x in xs]
    area = PlotArea(
        title=title,
        description="Mean over seeds. "
        + "; ".join(
            f"{name}: {ys[0]:.2f} at first, {ys[-1]:.2f} at last" for name, (_, ys) in lines.items()
        ),
        x_range=_wide(epochs),
        y_range=(0.0, max(y for _, ys in lines.values() for y in ys) * 1.05 or 1.0),
        x_label="epoch",
        y_label=y_label,
        is_x_whole=True,
    )
    for name, (xs, ys) in lines.items():
        area.line(xs, ys, color_of(arms, name))
        area.dot(xs[-1], ys[-1], color_of(arms, name), f"{name}: {ys[-1]:.3f}", radius=3)
    return area.figure(legend_of(arms, lines))


def _score_charts(arms: Arms) -> list[str]:
    budgets = {n: arm["plots"]["budget"] for n, arm in arms.items() if arm["plots"].get("budget")}
    branches = dict.fromkeys(branch for one in budgets.values() for branch in one["scores"])
    return [_scores(arms, budgets, branch) for branch in branches]


def _scores(arms: Arms, budgets: Mapping[str, Mapping[str, Any]], branch: str) -> str:
    having = {name: one for name, one in budgets.items() if branch in one["scores"]}
    area = PlotArea(
        title=f"Mean training scores: {branch}",
        description="Positives solid, hard negatives (score above 0.1) dashed, all negatives "
        "dotted; from histograms of 20 bins. "
        + "; ".join(
            f"{name}: positives end at {_text(one['scores'][branch]['positives'][-1])}, negatives "
            f"at {_text(one['scores'][branch]['negatives'][-1])}"
            for name, one in having.items()
        ),
        x_range=_wide([epoch for one in having.values() for epoch in one["epochs"]]),
        y_range=(0.0, 1.0),
        x_label="epoch; solid: positives, dashed: hard negatives, dotted: all negatives",
        y_label="mean score",
        is_x_whole=True,
    )
    for name, one in having.items():
        for group, style in _STYLES.items():
            known = [
                (epoch, score)
                for epoch, score in zip(one["epochs"], one["scores"][branch][group], strict=True)
                if score is not None
            ]
            xs, ys = [x for x, _ in known], [y for _, y in known]
            area.line(xs, ys, color_of(arms, name), style=style)
            for x, y in known:
                what = group.replace("_", " ")
                area.dot(x, y, color_of(arms, name), f"{name}, {what}: {y:.3f}", radius=2.5)
    return area.figure(legend_of(arms, having))


def _equal(xs: Sequence[float], ys: Sequence[float]) -> tuple[Sequence[float], Sequence[float]]:
    """Cut both to the shorter one: a training may have ended in one file and not in another."""
    count = min(len(xs), len(ys))
    return xs[:count], ys[:count]


def _wide(epochs: Sequence[float]) -> tuple[float, float]:
    low, high = min(epochs), max(epochs)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _text(score: float | None) -> str:
    return "none" if score is None else f"{score:.2f}"
