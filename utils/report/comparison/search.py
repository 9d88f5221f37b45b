"""What a search tried: gamma, alpha and scale, what each reached, and what the search is worth."""

from collections.abc import Mapping, Sequence
from typing import Any

from utils.report.charts.axes import padded
from utils.report.charts.plot_area import PlotArea
from utils.report.comparison.arms import Arms, color_of, legend_of


def search_chart(tuning: Mapping[str, Mapping[str, Any]], arms: Arms) -> str:
    """Return the expected best of k trials for every arm; empty without tuning."""
    curves = {name: entry["best_of"] for name, entry in tuning.items() if name in arms}
    if not curves:
        return ""
    values = [v for curve in curves.values() for v in curve]
    area = PlotArea(
        title="What searching is worth: expected best of k trials",
        description="mAP50-95 on the validation split, reduced budget. "
        + "; ".join(f"{name}: {own[0]:.2f} to {own[-1]:.2f}" for name, own in curves.items()),
        x_range=(0.8, max(len(c) for c in curves.values()) + 0.2),
        y_range=padded(min(values), max(values)),
        x_label="trials",
        y_label="best mAP50-95 on val",
        is_x_whole=True,
    )
    for name, curve in curves.items():
        area.line(range(1, len(curve) + 1), curve, color_of(arms, name))
        for count, value in enumerate(curve, start=1):
            hint = f"{name}: best of {count} is expected at {value:.2f}"
            area.dot(count, value, color_of(arms, name), hint, radius=3)
    return area.figure(legend_of(arms, curves))


Point = Mapping[str, Any]
CELL_WIDTH, CELL_HEIGHT, LEFT = 84, 40, 98


def heat_maps(points: Sequence[Point], *, what: str) -> list[str]:
    """Return one map for every branch, form and scale with at least two focal losses.

    Args:
        points: gamma, alpha, scale, form, where and map50_95 of each; cross-entropy is gamma 0.
        what: the number that is shown, for the title.
    """
    maps = []
    for (where, form, scale), own in _groups(points).items():
        if len(own) < 2:
            continue
        anywhere = [p for p in points if p["gamma"] == 0 and _fits(p, where, scale)]
        title = f"{what}: {where}, {form} form, scale {scale.replace('_', ' ')}"
        maps.append(_map(_best_of_each_cell([*anywhere, *own]), title))
    return maps


def _groups(points: Sequence[Point]) -> dict[tuple[str, str, str], list[Point]]:
    groups: dict[tuple[str, str, str], list[Point]] = {}
    for point in points:
        if point["gamma"] > 0:
            key = (point["where"], point["form"], point["scale"])
            groups.setdefault(key, []).append(point)
    return groups


def _fits(point: Point, where: str, scale: str) -> bool:
    is_plain = point["alpha"] is None
    return is_plain or (point["where"] == where and point["scale"] == scale)


def _best_of_each_cell(points: Sequence[Point]) -> list[Point]:
    """Trials that differ in other settings share a cell."""
    best: dict[tuple[float, float | None], Point] = {}
    for point in sorted(points, key=lambda one: float(one["map50_95"])):
        best[point["gamma"], point["alpha"]] = point
    return list(best.values())


def _map(points: Sequence[Point], title: str) -> str:
    gammas = sorted({point["gamma"] for point in points})
    alphas = sorted({point["alpha"] for point in points}, key=lambda a: -1.0 if a is None else a)
    values = [point["map50_95"] for point in points]
    low, high = min(values), max(values)
    area = PlotArea(
        title=title,
        description="; ".join(
            f"gamma {p['gamma']:g}, alpha {_alpha(p['alpha'])}: {p['map50_95']:.2f}" for p in points
        ),
        x_range=(-0.5, len(gammas) - 0.5),
        y_range=(len(alphas) - 0.5, -0.5),
        x_label="gamma (0: cross-entropy)",
        width=max(LEFT + CELL_WIDTH * len(gammas) + 14, 400),
        height=CELL_HEIGHT * len(alphas) + 60,
        left=LEFT,
        is_x_numeric=False,
        is_y_numeric=False,
    )
    for point in points:
        share = (point["map50_95"] - low) / (high - low) if high > low else 0.5
        area.cell(
            gammas.index(point["gamma"]),
            alphas.index(point["alpha"]),
            0.06 + 0.5 * share,
            f"{point['name']}: {point['map50_95']:.2f}",
            text=f"{point['map50_95']:.2f}",
            gap=1,
        )
    for column, gamma in enumerate(gammas):
        area.x_name(column, f"{gamma:g}")
    for row, alpha in enumerate(alphas):
        area.y_name(row, f"alpha {_alpha(alpha)}")
    return area.figure()


def _alpha(alpha: float | None) -> str:
    return "none" if alpha is None else f"{alpha:g}"
