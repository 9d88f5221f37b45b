"""The FocalLoss wrapper, the table of CE against FL, the four samples, the snippet."""

import math
from collections.abc import Iterator

import torch
from torch import nn

from examples.article.row import (
    Row,
    bce,
    claim,
    figure,
    focal,
    missing_figure,
    refuses,
    slope,
    vector,
    wrong_figure,
)
from models.losses import FocalLoss


def wrapper() -> Iterator[Row]:
    """Yield F1 to F12."""
    wrapped = nn.BCEWithLogitsLoss(reduction="mean")
    shapes = [
        tuple(FocalLoss(nn.BCEWithLogitsLoss(reduction=r))(torch.zeros(3), torch.ones(3)).shape)
        for r in ("mean", "sum", "none")
    ]
    FocalLoss(wrapped)(torch.zeros(3), torch.ones(3))
    yield claim(
        "F1 reduces as the wrapped loss",
        "and sets it to 'none'",
        f"shapes {shapes}, wrapped keeps {wrapped.reduction!r}",
        holds=shapes == [(), (), (3,)] and wrapped.reduction == "mean",
        verdict="the article's wrapper changes its argument, ours does not",
    )
    x, t = vector(0.3, -1.2, 2.5), vector(1, 0, 0)
    p_t = torch.where(t == 1, x.sigmoid(), (-x).sigmoid())
    closed = (0.25 * t + 0.75 * (1 - t)) * (1 - p_t) ** 1.5 * -p_t.log()
    gap = (focal(1.5, 0.25)(x, t) - closed).abs().max().item()
    yield figure("F2 difference to the closed form", 0, gap, within=1e-15)
    p = vector(0.88)
    constant_alpha = 0.25 * (1.000001 - p) ** 2 * -(1 - p).log()
    ours = focal(2, 0.25)((1 - p).logit(), vector(0))
    yield claim(
        "F3 commented variant: alpha * (1.000001 - p_t)^g",
        "the same loss",
        f"a negative: {constant_alpha.item():.6f} against {ours.item():.6f}",
        holds=abs(constant_alpha - ours).item() > 1e-3,
        verdict="WRONG: alpha is a constant there, not alpha_t; plus 1e-6 inside the power",
    )
    yield from _forms()
    defaults = FocalLoss(nn.BCEWithLogitsLoss())
    yield figure("F5 default gamma (S3's comment)", 1.5, defaults.gamma, within=0)
    yield from _range()
    ratio = focal(2, None)(vector(0.9).logit(), vector(1)) / bce(vector(0.9).logit(), vector(1))
    yield figure("F7 factor of p_t = 0.9, gamma 2", 0.01, ratio.item(), within=1e-12)
    rising = [focal(2, alpha)(vector(0.3), vector(1)).item() for alpha in (0.1, 0.5, 0.9)]
    yield claim(
        "F8 alpha to 1 stresses positives",
        "yes",
        " < ".join(f"{value:.4f}" for value in rising),
        holds=rising == sorted(rising),
    )
    yield figure("F9 gamma 2, alpha 0.75 is valid", 0.75, float(_alpha_of(2, 0.75)), within=0)
    mirrored = focal(2, 0.25)(vector(0.4, 0.6).logit(), vector(1, 0))
    share = (mirrored[0] / mirrored[1]).item()
    yield claim(
        "F10 alpha 0.25 raises positives",
        "raises",
        f"a positive weighs {share:.4f} of a negative",
        holds=abs(share - 1 / 3) < 1e-12,
        verdict="WRONG: it lowers positives to a third",
    )
    yield claim(
        "F11 takes BCEWithLogitsLoss only",
        "must",
        "BCELoss is refused",
        holds=refuses(lambda: FocalLoss(nn.BCELoss()), TypeError),  # type: ignore[arg-type]
    )
    yield claim(
        "F12 the pasted class does not run",
        "runs",
        "SyntaxError",
        holds=refuses(
            lambda: compile('class FocalLoss(nn.Module): """Wraps."""\n  x = 1', "s", "exec"),
            SyntaxError,
        ),
        verdict="WRONG: its docstring is glued to the class line",
    )


def _alpha_of(gamma: float, alpha: float) -> float:
    stored = focal(gamma, alpha).alpha
    return stored if isinstance(stored, float) else math.nan


def _forms() -> Iterator[Row]:
    x, hard, soft = vector(-2, 0.5, 3), vector(1, 0, 1), vector(0.4, 0.7, 0.2)
    by_bce = FocalLoss(nn.BCEWithLogitsLoss(reduction="none"), 2, 0.25, form="exp")
    same = (by_bce(x, hard) - focal(2, 0.25)(x, hard)).abs().max().item()
    other = (by_bce(x, soft) - focal(2, 0.25)(x, soft)).abs().min().item()
    yield claim(
        "F4 p_t = exp(-BCE) is the same as p_t = tp + (1-t)(1-p)",
        "the same",
        f"hard labels differ by {same:.0e}, soft ones by {other:.3f} or more",
        holds=same < 1e-15 and other > 1e-3,
        verdict="right for hard labels only",
    )


def _range() -> Iterator[Row]:
    x = torch.tensor([32.1], requires_grad=True)
    p = x.sigmoid()
    (0.25 * (1 - p) ** 0.5 * bce(x, torch.ones(1))).sum().backward()
    ours = slope(focal(0.5, 0.25), x, torch.ones(1))
    naive_is_nan = x.grad is not None and bool(x.grad.isnan().all())
    yield claim(
        "F6 gamma from 0.5 to 5, at x = 32.1, t = 1",
        "works",
        f"slope: the article's formula nan, ours {ours.item():g}",
        holds=naive_is_nan and bool(ours.isfinite().all()),
        verdict="WRONG below 1: 0 times infinity in the article's formula",
    )


# p, y and what S2 prints of CE, FL, CE / FL
TABLE = (
    (0.9, 1, 0.105, 0.00026, 400),
    (0.968, 1, 0.033, 0.000008, 3906),
    (0.1, 0, 0.105, 0.00079, 133),
    (0.032, 0, 0.033, 0.000025, 1302),
    (0.1, 1, 2.3, 0.466, 4.9),
    (0.9, 0, 2.3, 1.4, 1.6),
)


def table() -> Iterator[Row]:
    """Yield S2's table at the alpha it used and at the alpha it states."""
    for p, y, said_ce, said_fl, said_ratio in TABLE:
        x, t = vector(p).logit(), vector(y)
        ce = bce(x, t).item()
        quarter, half = focal(2, 0.25)(x, t).item(), focal(2, 0.5)(x, t).item()
        name = f"p = {p:g}, y = {y}"
        yield figure(f"{name}: CE", said_ce, ce, within=0.016 * said_ce)
        yield figure(
            f"{name}: FL, alpha 0.25", said_fl, quarter, within=0.05 * said_fl, note="used"
        )
        yield wrong_figure(
            f"{name}: FL, alpha 0.5", said_fl, half, within=0.3 * said_fl, why="stated, not used"
        )
        yield figure(
            f"{name}: CE / FL, alpha 0.25", said_ratio, ce / quarter, within=0.03 * said_ratio
        )
        yield wrong_figure(
            f"{name}: CE / FL, alpha 0.5", said_ratio, ce / half, within=0.3, why="stated, not used"
        )
    objects, backgrounds = vector(math.exp(-10)).logit(), vector(1 - math.exp(-0.1)).logit()
    one, none = vector(1), vector(0)
    yield figure("30 objects at loss 10: CE", 300, 30 * bce(objects, one).item(), within=1e-6)
    yield figure(
        "30,000 backgrounds at 0.1: CE", 3000, 30_000 * bce(backgrounds, none).item(), within=1e-6
    )
    strong = 30 * focal(2, 0.25)(objects, one).item()
    weak = 30_000 * focal(2, 0.25)(backgrounds, none).item()
    yield claim(
        "the same with FL: objects against backgrounds",
        "objects win",
        f"{strong:.2f} against {weak:.2f}: {strong / weak:.1f} to 1 instead of 1 to 10",
        holds=3.6 < strong / weak < 3.8,
    )


def four_samples() -> Iterator[Row]:
    """Yield S4's example."""
    x, t = vector(2, -1, 3, -2), vector(1, 0, 1, 0)
    plain, losses = bce(x, t), focal(2, 0.25)(x, t)
    single = focal(2, 0.25, reduction="mean")(x.float(), t.float()).item()
    yield figure("mean of four, float32", 0.004706109408289194, single, within=5e-9)
    yield wrong_figure(
        "sample 1 by hand", 0.000454, losses[0].item(), within=1e-6, why="0.0143 for 0.0142093"
    )
    yield claim(
        "sample 2 is a hard negative, amplified",
        "amplified",
        f"p_t {(-x[1]).sigmoid():.4f}; {plain[1]:.4f} becomes {losses[1]:.4f}",
        holds=bool(losses[1] < plain[1] / 18),
        verdict="WRONG: it is right already, and 18 times weaker; no loss ever grows",
    )
    before, after = plain / plain.sum(), losses / losses.sum()
    yield claim(
        "samples 2 and 4 contribute more",
        "more",
        f"shares {before[1]:.1%} to {after[1]:.1%} and {before[3]:.1%} to {after[3]:.1%}",
        holds=bool(after[1] > before[1]) and bool(after[3] < before[3]),
        verdict="WRONG of 4: only the share of 2 grows",
    )
    for number, said, logit in ((4, 0.11, -2), (2, 0.26, -1)):
        yield wrong_figure(
            f"p of sample {number}",
            said,
            vector(logit).sigmoid().item(),
            within=0.005,
            why="cut instead of rounded",
        )


def snippet() -> Iterator[Row]:
    """Yield S3's snippet, which prints nothing."""
    x, t = vector(3e-2, 32.1, 6e-4), vector(0, 1, 0)
    p = x.sigmoid()
    by_hand = (0.75 * (1 - t) * p**2 * -(1 - p).clamp(min=1e-300).log()).mean().item()
    loss = focal(2, 0.25, reduction="mean", pos_weight=1.0)
    yield missing_figure("S3 snippet: mean", loss(x, t).item(), by_hand, within=1e-12)
    gradient = slope(loss, x, t)
    yield missing_figure("S3 snippet: slope 1", gradient[0].item(), 0.0775974, within=1e-7)
    yield missing_figure("S3 snippet: slope 3", gradient[2].item(), 0.0746316, within=1e-7)
    plain = bce(x, t)
    by_hand = (-(1 - t) * (1 - p).clamp(min=1e-300).log()).mean().item()
    yield missing_figure("S3 snippet: plain BCE", plain.mean().item(), by_hand, within=1e-12)
