"""Entropy, cross-entropy, softmax and the training loop: docs/articles.md#cross-entropy."""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor, nn

from examples.article.classifier import small_classifier
from examples.article.row import Row, bce, claim, figure, focal, missing_figure, slope, vector

B11_LOGITS = torch.tensor([[2, 1, 0.1], [1, 0.2, 1.5]], dtype=torch.float64)
B11_LABELS = torch.tensor([0, 2])


def basics() -> Iterator[Row]:
    """Yield B1 to B15."""
    yield from _binary()
    yield from _classes()
    yield from _training()


def _binary() -> Iterator[Row]:
    even, sure = _entropy(0.5, 0.5), _entropy(0.9, 0.1)
    yield claim(
        "B1 larger entropy is more uncertain",
        "yes",
        f"{even:.4f} of (.5, .5) against {sure:.4f} of (.9, .1)",
        holds=even > sure,
    )
    p, y = vector(0.2, 0.8, 0.6, 0.3), vector(0, 1, 1, 0)
    by_hand = -(math.log(0.8) * 2 + math.log(0.6) + math.log(0.7)) / 4
    ours = focal(0, None, reduction="mean")(p.logit(), y).item()
    yield missing_figure("B2 mean BCE", ours, by_hand, within=1e-12)
    x = torch.tensor([[1.0, -1, 2], [-0.5, 0.5, -1.5]], dtype=torch.float64)
    t = torch.tensor([[1.0, 0, 1], [0, 1, 0]], dtype=torch.float64)
    manual = -(t * (x.sigmoid() + 1e-9).log() + (1 - t) * (1 - x.sigmoid() + 1e-9).log()).mean()
    built_in = focal(0, None, reduction="mean")(x, t).item()
    yield missing_figure("B3 BCE of logits", built_in, manual.item(), within=5e-9)
    far = bce(vector(-200), vector(1)).item()
    naive = -vector(-200).float().sigmoid().log().item()
    yield claim(
        "B4 BCE on logits is more stable",
        "yes",
        f"x = -200, t = 1: {far:g}, sigmoid and log {naive:g}",
        holds=far == 200 and math.isinf(naive),
    )
    clamped = nn.BCELoss()(torch.zeros(1), torch.ones(1)).item()
    yield claim(
        "B5 p has to lie in [eps, 1 - eps]",
        "expected",
        f"BCELoss(0, 1) is {clamped:g}; on logits -200 it is {far:g}",
        holds=clamped == 100 and far == 200,
        verdict="WRONG: each logarithm is cut at -100; logits need nothing",
    )
    near, wrong_side = bce(vector(40, -40), vector(1, 1)).tolist()
    yield claim(
        "B6 p to 0 and p to 1 both give loss 0",
        "both",
        f"y = 1: {near:.0e} at p = 1, {wrong_side:g} towards p = 0",
        holds=near < 1e-15 and abs(wrong_side - 40) < 1e-12,
        verdict="WRONG: that is entropy",
    )
    yield from _positive_weight()
    parts = bce(vector(0.5, -2), vector(1, 1))
    means = [focal(0, None, reduction=r)(vector(0.5, -2), vector(1, 1)) for r in ("mean", "sum")]
    yield claim(
        "B8 reductions none, mean, sum",
        "yes",
        f"{means[0]:.6f} and {means[1]:.6f}",
        holds=bool(means[0] == parts.mean()) and bool(means[1] == parts.sum()),
    )


def _positive_weight() -> Iterator[Row]:
    x, t = vector(2), vector(1)
    weighted = focal(0, None, pos_weight=3.0)(x, t)
    yield figure(
        "B7 pos_weight 3 multiplies -t log p", 3, (weighted / bce(x, t)).item(), within=1e-9
    )
    through_exp = torch.exp(-weighted).item()
    yield claim(
        "B7 with it, exp(-BCE) is p",
        "p",
        f"{through_exp:.4f}, p is {x.sigmoid().item():.4f}",
        holds=abs(through_exp - x.sigmoid().item() ** 3) < 1e-9,
        verdict="WRONG: it is p^3",
    )


def _classes() -> Iterator[Row]:
    labels, logits = B11_LABELS, B11_LOGITS
    two_steps = F.nll_loss(logits.log_softmax(1), labels)
    gap = (F.cross_entropy(logits, labels) - two_steps).abs().item()
    yield figure("B9 CE less NLL of log-softmax", 0, gap, within=0)
    got = vector(1, 2, 3).softmax(0).tolist()
    for said, value in zip((0.0900, 0.2447, 0.6652), got, strict=True):
        yield figure("B10 softmax of 1, 2, 3", said, value, within=5e-5)
    by_hand = sum(
        math.log(sum(math.exp(z) for z in row)) - row[label]
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    )
    mean = F.cross_entropy(logits, labels).item()
    yield missing_figure("B11 CE of two rows", mean, by_hand / 2, within=1e-12)
    z = torch.linspace(-6, 6, 25, dtype=torch.float64)
    ones = torch.ones_like(z)
    fixed = _two_class(torch.zeros_like(z), z) - bce(z, ones)
    free = _two_class(z / 3, z) - bce(z - z / 3, ones)
    yield claim(
        "B12 BCE and CE are equivalent for two classes",
        "equivalent",
        f"CE([0, z]) - BCE(z) {fixed.abs().max():.0e}; free logits give BCE(z1 - z0)",
        holds=max(fixed.abs().max().item(), free.abs().max().item()) < 1e-12,
        verdict="right with one logit fixed at 0; two leave a direction that does nothing",
    )
    yield claim(
        "B13 log-softmax outputs take NLLLoss",
        "yes",
        f"NLL of log-softmax {two_steps:.6f}, CE of logits {F.cross_entropy(logits, labels):.6f}",
        holds=gap == 0,
    )


def _training() -> Iterator[Row]:
    parameters = sum(p.numel() for p in small_classifier().parameters())
    yield figure("B14 parameters of 784-500-10", 397_510, parameters, within=0)
    steps = math.ceil(60_000 / 64)
    yield figure("B14 steps per epoch of 60,000 images", 938, steps, within=0)
    yield figure("B14 prints in 5 epochs, each 100 steps", 45, 5 * (steps // 100), within=0)
    w = torch.tensor(1.0, requires_grad=True)
    seen = []
    for _ in range(2):
        (3 * w).backward()
        seen.append(math.nan if w.grad is None else w.grad.item())
    yield claim(
        "B15 backward adds up until zero_grad",
        "yes",
        f"gradient of 3w after one and two calls: {seen[0]:g}, {seen[1]:g}",
        holds=seen == [3.0, 6.0],
    )
    frozen = vector(0.3)
    moved = slope(focal(2, 0.25), frozen, vector(1)).item()
    yield claim(
        "B15 all inputs need requires_grad",
        "all",
        f"the target has none and the slope is {moved:.4f}",
        holds=moved < 0,
        verdict="WRONG: some leaf has to",
    )


def _two_class(first: Tensor, second: Tensor) -> Tensor:
    labels = torch.ones(len(first), dtype=torch.int64)
    return F.cross_entropy(torch.stack((first, second), 1), labels, reduction="none")


def _entropy(*probabilities: float) -> float:
    return -sum(p * math.log(p) for p in probabilities)
