"""The grid of tried gamma, alpha and scale, with the validation mAP of each."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from configs.schema.loss import BRANCHES
from utils.comparison.summary.controls import Runs

Point = dict[str, Any]


def focal_grid(runs: Runs) -> list[Point]:
    """Return the arms that are focal losses, or cross-entropy, and mAP50-95 of each on val."""
    grid = []
    for arm, by_seed in runs.items():
        point = focal_point(next(iter(by_seed.values())).config) if by_seed else None
        if point is not None:
            reached = [100.0 * run.val.result["map50_95"] for run in by_seed.values()]
            grid.append({"name": arm, **point, "map50_95": float(np.mean(reached))})
    return grid


def focal_point(config: Mapping[str, Any]) -> Point | None:
    """Return the position of a configuration in the grid of focal losses; None if it is outside.

    Cross-entropy is focal loss with gamma 0. Where only one branch is another loss than plain
    cross-entropy, `where` names it.
    """
    settings = {name: one for name in BRANCHES if (one := config["loss"].get(name))}
    points = {name: point for name, one in settings.items() if (point := _of_branch(one))}
    if not points or len(points) < len(settings):
        return None
    changed = {name: point for name, point in points.items() if point["loss"] != "bce"}
    if not changed:
        return {"where": "both", "gamma": 0.0, "alpha": None, "scale": "any", "form": "any"}
    first, *others = changed.values()
    if any(other != first for other in others):
        return None
    where = "both" if len(changed) == len(points) else next(iter(changed))
    return {"where": where, **{key: value for key, value in first.items() if key != "loss"}}


def _of_branch(settings: Mapping[str, Any]) -> Point | None:
    name, alpha = settings.get("name"), settings.get("alpha")
    if name not in ("bce", "bce_alpha", "focal") or isinstance(alpha, list):
        return None
    is_focal = name == "focal"
    return {
        "loss": name,
        "gamma": float(settings["gamma"]) if is_focal else 0.0,
        "alpha": alpha,
        "scale": str(settings.get("scale", "as_is")),
        "form": str(settings.get("form", "any")) if is_focal else "any",
    }


def tried_gammas(points: Iterable[Mapping[str, Any]]) -> list[float]:
    """Return the different gammas above 0, rising."""
    return sorted({point["gamma"] for point in points if point["gamma"] > 0})
