"""Soft targets, several classes (M1 to M5), hard examples and RetinaNet (O1 to O4).

The rows are those of docs/articles.md.
"""

from collections.abc import Iterator

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from examples.article.basics import B11_LABELS, B11_LOGITS
from examples.article.row import Row, bce, claim, figure, focal, missing_figure, refuses, vector
from examples.minimiser import soft_target_minimiser
from models.losses import Branch, FocalLoss
from models.losses.criterion.branch import BranchInput
from models.losses.criterion.selection import Selection
from models.losses.dice import FocalDiceLoss, SoftmaxFocalDiceLoss
from models.losses.focal_formula import FocalForm
from models.losses.softmax import SoftmaxLoss

TRUE_FORMS: tuple[FocalForm, ...] = ("exp", "quality")
# Target t, and where the linear form of gamma 1, 1.5, 2 and 3 is least
MINIMA = {
    0.1: (0.030, 0.019, 0.014, 0.008),
    0.3: (0.194, 0.154, 0.122, 0.081),
    0.5: (0.5, 0.5, 0.5, 0.5),
    0.7: (0.806, 0.846, 0.878, 0.919),
    0.9: (0.970, 0.981, 0.986, 0.992),
}


def soft_labels() -> Iterator[Row]:
    """Yield where each form drives a soft target to."""
    for t, expected in MINIMA.items():
        for gamma, least in zip((1.0, 1.5, 2.0, 3.0), expected, strict=True):
            found = soft_target_minimiser(focal(gamma, None), t)
            yield missing_figure(
                f"t = {t:g}: linear, gamma {gamma:g} is least at p =",
                found,
                least,
                within=5.1e-4,
                note="but nothing is focused" if t == 0.5 else "not at t: pushed to an end",
            )
        for form in TRUE_FORMS:
            loss = FocalLoss(nn.BCEWithLogitsLoss(reduction="none"), 2, None, form=form)
            found = soft_target_minimiser(loss, t)
            yield missing_figure(
                f"t = {t:g}: {form}, gamma 2 is least at p =", found, t, within=1e-6, note="at t"
            )


def several_classes() -> Iterator[Row]:
    """Yield M1 to M5."""
    targets = F.one_hot(B11_LABELS, 3).double()
    plain = SoftmaxLoss()(B11_LOGITS, targets)
    for gamma in (0.0, 1.0, 2.0, 5.0):
        p = B11_LOGITS.softmax(1).gather(1, B11_LABELS[:, None])[:, 0]
        by_hand = ((1 - p) ** gamma * -p.log()).mean().item()
        got = SoftmaxLoss(gamma=gamma)(B11_LOGITS, targets)
        yield missing_figure(
            f"M1 softmax focal, gamma {gamma:g}", got.mean().item(), by_hand, within=1e-12
        )
        if gamma == 5:
            yield claim(
                "M2 gamma weighs classes, punishes mistakes more",
                "classes",
                f"largest ratio to plain CE {(got / plain).max():.4f}",
                holds=bool((got <= plain).all()),
                verdict="WRONG: it weighs samples by difficulty and raises nothing",
            )
    flat, labels = B11_LOGITS.softmax(1).flatten(), B11_LABELS.flatten().double()
    yield claim(
        "M3 MultiLabelFocalDiceLoss of the article",
        "runs",
        f"sizes {len(flat)} and {len(labels)} do not multiply",
        holds=refuses(lambda: flat * labels, RuntimeError),
        verdict="WRONG: it multiplies N C scores by N class numbers, of a softmax",
    )
    mixed = SoftmaxFocalDiceLoss(gamma=2, dice=1)
    whole = mixed(B11_LOGITS, targets).mean() + mixed.set_term(B11_LOGITS, targets, None)
    yield missing_figure("M4 softmax focal + dice", whole.item(), 0.22848383, within=4e-8)
    each = FocalDiceLoss(gamma=2, alpha=None, dice=1)
    scores = B11_LOGITS.sigmoid()
    dice = 1 - (2 * (scores * targets).sum(0) + 1) / (
        scores.square().sum(0) + targets.square().sum(0) + 1
    )
    yield missing_figure(
        "M5 multi-label: mean dice of three classes",
        each.set_term(B11_LOGITS, targets, None).item(),
        dice.mean().item(),
        within=1e-12,
    )


def hard_examples() -> Iterator[Row]:
    """Yield O1 to O4."""
    x, t = vector(2, -1, 3, 1, -4, 0.5), vector(1, 0, 1, 0, 0, 0)
    losses = bce(x, t)
    kept = Selection(share=0.5)(losses, t > 0, None)
    yield claim(
        "O1 OHEM adds hard examples to the training set",
        "adds",
        f"of {len(x)} elements {int(kept.sum())} learn, the hardest",
        holds=set(losses[kept].tolist()) == set(losses.sort().values[3:].tolist()),
        verdict="WRONG: it drops the others of each batch; a mask over any loss",
    )
    crowd = torch.full((100_000,), -4.6, dtype=torch.float64)
    swamped = bce(crowd, torch.zeros_like(crowd)).sum() / bce(vector(0), vector(1)).sum()
    calmed = (
        focal(2, 0.25)(crowd, torch.zeros_like(crowd)).sum()
        / focal(2, 0.25)(vector(0), vector(1)).sum()
    )
    yield claim(
        "O2 one-stage detectors need it: 100,000 easy cells to one object",
        "yes",
        f"their loss against its: {swamped:.0f} with CE, {calmed:.2f} with FL",
        holds=bool(swamped > 1000) and bool(calmed < 10),
    )
    yield from _retina(x, t)
    for said, p in ((0.1, 0.9), (2.3, 0.1)):
        got = bce(vector(p).logit(), vector(1)).item()
        yield figure(f"O4 CE of {p:.0%} right", said, got, within=0.01)


def _retina(x: Tensor, t: Tensor) -> Iterator[Row]:
    branch = Branch(focal(2, 0.25), gain=1.0, normalizer="positives")
    given = BranchInput(logits=(x,), targets=(t,), counted=None, level_weights=(1.0,))
    expected = sigmoid_focal_loss(x, t, alpha=0.25, gamma=2, reduction="sum") / 2
    mean = focal(2, 0.25, reduction="mean")(x, t).item()
    yield missing_figure(
        "O3 RetinaNet: sum / positives",
        branch(given, torch.tensor(2)).item(),
        expected.item(),
        within=1e-8,
    )
    yield claim(
        "O3 the wrapper's mean is that of the paper",
        "mean",
        f"{mean:.6f} against {expected.item():.6f}",
        holds=abs(mean - expected.item()) > 1e-3,
        verdict="WRONG: the paper divides by the number of matches; normalizer: positives",
    )
