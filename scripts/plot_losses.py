"""Plot each loss and its derivative, and list its minimum on soft targets.

    python scripts/plot_losses.py [--out docs/losses]

Writes one SVG a loss and `minimisers.md`. Losses whose value depends on the rest of the batch
(ghm, seesaw and the dice forms) have no curve of their own.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from configs.schema.branch_loss import BranchLossSettings
from configs.schema.class_loss import Classification
from examples.minimiser import soft_target_minimiser
from models.losses.criterion.catalogue import BRANCH_LOSSES
from utils.report.charts.series_charts import line_area
from utils.report.charts.svg_file import svg_file

TARGETS = (1.0, 0.0, 0.7)
HIGHEST_LOSS = 3.0
POINTS = 121

CURVES: dict[str, dict[str, object]] = {
    "bce": {"name": "bce"},
    "bce_alpha": {"name": "bce_alpha", "alpha": 0.25},
    "focal_linear": {"name": "focal", "gamma": 1.5, "alpha": None, "form": "linear"},
    "focal_exp": {"name": "focal", "gamma": 1.5, "alpha": None, "form": "exp"},
    "focal_quality": {"name": "focal", "gamma": 1.5, "alpha": None, "form": "quality"},
    "focal_alpha": {"name": "focal", "gamma": 2.0, "alpha": 0.25, "form": "linear"},
    "focal_star": {"name": "focal_star"},
    "quality": {"name": "quality"},
    "varifocal": {"name": "varifocal"},
    "asymmetric": {"name": "asymmetric"},
    "poly": {"name": "poly"},
    "poly_focal": {"name": "poly_focal"},
    "equalized_focal": {"name": "equalized_focal"},
    "bce_blur": {"name": "bce_blur"},
    "softmax": {"name": "softmax"},
    "softmax_focal": {"name": "softmax_focal"},
}
"""File name and settings of each curve; what is not set has its default."""

SOFT_TARGETS = (0.1, 0.3, 0.5, 0.7, 0.9)
ROWS: dict[str, dict[str, object]] = {
    "bce": {"name": "bce"},
    **{
        f"focal linear, gamma {gamma:g}": {
            "name": "focal",
            "gamma": gamma,
            "alpha": None,
            "form": "linear",
        }
        for gamma in (1.0, 1.5, 2.0, 3.0)
    },
    "focal exp, gamma 2": {"name": "focal", "gamma": 2.0, "alpha": None, "form": "exp"},
    "focal quality, gamma 2": {"name": "focal", "gamma": 2.0, "alpha": None},
    "focal linear, gamma 1.5, alpha .25": {
        "name": "focal",
        "gamma": 1.5,
        "alpha": 0.25,
        "form": "linear",
    },
    **{
        name: CURVES[name]
        for name in CURVES
        if not name.startswith(("focal", "softmax")) and name != "bce"
    },
}

_SETTINGS: TypeAdapter[BranchLossSettings] = TypeAdapter(Classification)


def build(stated: dict[str, object]) -> nn.Module:
    """Return the loss of the settings `stated` for one class, or for two that share a softmax."""
    settings = _SETTINGS.validate_python(stated)
    return BRANCH_LOSSES[type(settings)](settings, 2 if settings.over_classes else 1)


def curve(
    loss: nn.Module, p: Tensor, target: float, *, over_classes: bool
) -> tuple[Tensor, Tensor]:
    """Return loss and d loss / d logit (n,) at probabilities p (n,) for one target."""
    x = p.logit().requires_grad_()
    if over_classes:
        logits = torch.stack((x, torch.zeros_like(x)), dim=1)
        targets = torch.tensor([target, 1 - target], dtype=p.dtype).expand_as(logits)
    else:
        logits, targets = x, torch.full_like(x, target)
    # Over classes there is one loss a row, or one a class: both sum to that of the row.
    losses = loss(logits, targets).reshape(len(p), -1).sum(dim=1)
    (slope,) = torch.autograd.grad(losses.sum(), x)
    return losses.detach(), slope


def draw(title: str, stated: dict[str, object]) -> str:
    """Return an SVG with the loss on the left and its slope on the right."""
    loss = build(stated).double()
    over_classes = _SETTINGS.validate_python(stated).over_classes
    p = torch.linspace(0.005, 0.995, POINTS, dtype=torch.float64)
    values: dict[str, Sequence[float | None]] = {}
    slopes: dict[str, Sequence[float | None]] = {}
    for target in TARGETS:
        value, slope = curve(loss, p, target, over_classes=over_classes)
        name = f"t = {target:g}"
        values[name] = [v if v <= HIGHEST_LOSS else None for v in value.tolist()]
        slopes[name] = slope.tolist()
    panels = [
        line_area(caption, p.tolist(), curves, x_label="p")
        for caption, curves in (("loss", values), ("d loss / d logit", slopes))
    ]
    return svg_file(title, [panel for panel in panels if panel is not None])


def minimisers() -> str:
    """Return a Markdown table: the p at which each loss of a soft target is least."""
    head = " | ".join(f"t = {target:g}" for target in SOFT_TARGETS)
    lines = [f"| loss | {head} |", "|---" * (len(SOFT_TARGETS) + 1) + "|"]
    for name, stated in ROWS.items():
        loss = build(stated).double().eval()
        cells = (_shown(soft_target_minimiser(loss, target)) for target in SOFT_TARGETS)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _shown(p: float) -> str:
    if p < 1e-6:
        return "0"
    return "1" if p > 1 - 1e-6 else f"{p:.3f}"


def main() -> None:
    """Read the command line, write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "losses", help="folder")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, stated in CURVES.items():
        title = ", ".join(
            str(value) if key == "name" else f"{key} {'null' if value is None else value}"
            for key, value in stated.items()
        )
        (out / f"{name}.svg").write_text(draw(title, stated), encoding="utf-8")
    (out / "minimisers.md").write_text(minimisers(), encoding="utf-8")


if __name__ == "__main__":
    main()
