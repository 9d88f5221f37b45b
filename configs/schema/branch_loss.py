"""Losses of objectness and classification: elementwise loss, mining, and normalisation.

Settings of boxes and of the whole section are in `loss.py`.
"""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from configs.schema.settings import ObjectName, Settings

TargetKind = Literal["iou", "aligned", "hard"]
Target = Annotated[
    TargetKind,
    BeforeValidator(lambda value: "iou" if value == "overlap" else value),
]
Alpha = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Ohem(Settings):
    """Only the elements with the highest loss learn; give one of the two keys."""

    share: float | None = Field(default=None, gt=0, le=1)
    """Share of all elements that is kept, 0 to 1."""

    negatives_per_positive: float | None = Field(default=None, gt=0)
    """All positives are kept, and this many negatives for each, the hardest first; 3 is usual."""

    @model_validator(mode="after")
    def _exactly_one(self) -> "Ohem":
        if (self.share is None) == (self.negatives_per_positive is None):
            raise ValueError("set exactly one of share and negatives_per_positive")
        return self


class BranchLossSettings(Settings):
    """Common settings of all losses of objectness and classification."""

    carried: ClassVar[frozenset[str]] = frozenset(
        {
            "gain",
            "target",
            "label_smoothing",
            "normalizer",
            "scale",
            "ohem",
            "class_weights",
            "class_balance",
        }
    )

    over_classes: ClassVar[bool] = False
    """Whether the classes share a softmax."""

    beyond_soft_targets: ClassVar[str] = "whose minimum on soft targets is not at the target"
    undoes_smoothing: ClassVar[str] = ""
    """Why label smoothing has no use with this loss; empty where it has."""

    gain: float = Field(default=1.0, ge=0)
    """Weight of the term. Objectness is scaled by (image_size / 640)^2 * 3 / levels, classification
    by classes / 80 * 3 / levels, as published for this recipe."""

    target: Target | None = None
    """Target of an assigned cell: iou (or overlap), that of its predicted box and the ground truth;
    aligned, the quality that the assigner gives it; hard, 1. null takes, as published, iou for
    objectness and hard for classification; with an assigner of qualities hard and aligned."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Moves class targets from 0 and 1 to e/2 and 1 - e/2 (with a softmax to e/C and 1 - e + e/C);
    classification only."""

    normalizer: Literal["mean", "positives", "ema_positives", "targets"] = "mean"
    """What the sum of losses is divided by: mean, the number of elements of a level (YOLO);
    positives, the number of matches in the batch (RetinaNet); ema_positives, its running
    average; targets, the sum of the targets in the batch (task-aligned heads)."""

    scale: Literal["as_is", "matched"] = "as_is"
    """matched: multiply so that the gradient on the logits is as large as that of plain mean
    cross-entropy (with normalizer targets divided by these, too); measured before training after
    a short warm-up with cross-entropy, printed and saved."""

    ohem: Ohem | None = None
    """Online hard example mining: train only on the elements of highest loss; null: on all."""

    class_weights: tuple[Positive, ...] | None = None
    """Factor on assigned cells by class, one number per class; classification only."""

    class_balance: float | None = Field(default=None, gt=0, lt=1)
    """Weight classes by the inverse of their effective number of objects (1 - b^n) / (1 - b); b,
    0.9 to 0.9999, is set here; classification only, not with class_weights."""

    @model_validator(mode="after")
    def _one_weighting_of_classes(self) -> "BranchLossSettings":
        if self.class_weights is not None and self.class_balance is not None:
            raise ValueError("class_weights and class_balance both weight the classes; set one")
        return self


class BceLossSettings(BranchLossSettings):
    """Binary cross-entropy on logits."""

    name: Literal["bce"] = "bce"

    pos_weight: Positive = 1.0
    """Factor on the positive part of the loss; below 1 reduces their weight, above 1 raises
    it."""


class AlphaBceLossSettings(BranchLossSettings):
    """Binary cross-entropy with a weight for positives and one for negatives."""

    name: Literal["bce_alpha"]

    alpha: Alpha
    """Weight of positives, negatives get 1 - alpha; 0.5 halves both. Must be set."""


class FocalLossSettings(BranchLossSettings):
    """Binary cross-entropy times a factor that is small where the prediction is already right."""

    name: Literal["focal"]

    gamma: float = Field(ge=0, le=10)
    """Focusing exponent, 0 to 10; 0 is plain BCE, 1.5 to 2 is usual. Must be set."""

    alpha: Alpha | tuple[Alpha, ...] | None
    """Weight of positives, negatives get 1 - alpha; null weights neither; a list sets one number
    per class. Must be set: 0.25, the usual value, weights positives a third of negatives."""

    form: Literal["linear", "exp", "quality"] = "quality"
    """How far a prediction p is from a soft target t: linear 1 - (t p + (1-t)(1-p)), as in YOLOv5,
    whose minimum is not at p = t; exp 1 - exp(-BCE); quality |t - p|. All equal on hard targets."""

    pos_weight: Positive = 1.0
    """Factor on the positive part of the cross-entropy inside; not together with alpha."""

    @model_validator(mode="after")
    def _one_weight_of_positives(self) -> "FocalLossSettings":
        if self.alpha is not None and self.pos_weight != 1.0:
            raise ValueError(
                "alpha and pos_weight both weight the positives; "
                "set alpha: null or leave pos_weight out"
            )
        return self


class FocalStarLossSettings(BranchLossSettings):
    """-log sigmoid(gamma x_t + beta) / gamma, the focal paper's second form, for hard targets."""

    undoes_smoothing = BranchLossSettings.beyond_soft_targets
    name: Literal["focal_star"]

    gamma: float = Field(default=2.0, gt=0, le=10)
    """Steepness; the paper tries 2 with beta 1 and 4 with beta 0."""

    beta: float = 1.0
    """Shift of the logit."""


class QualityLossSettings(BranchLossSettings):
    """|t - p|^beta times cross-entropy, for soft targets (quality focal loss)."""

    name: Literal["quality"]

    beta: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent."""

    alpha: Alpha | tuple[Alpha, ...] | None = None
    """Weight of positives, negatives get 1 - alpha; null as in the paper; 0.25 with beta 1.5 is
    what YOLOv5 calls QFocalLoss."""


class VarifocalLossSettings(BranchLossSettings):
    """Positives weigh their target q, negatives alpha p^gamma."""

    undoes_smoothing = "which takes every target above 0 for a positive"
    name: Literal["varifocal"]

    alpha: float = Field(default=0.75, ge=0)
    """Weight of negatives."""

    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent of negatives."""


class GhmLossSettings(BranchLossSettings):
    """Cross-entropy divided by how many elements have a gradient of that size."""

    name: Literal["ghm"]

    bins: int = Field(default=30, ge=1)
    """Number of bins over the range [0, 1] of gradient norms."""

    momentum: float = Field(default=0.75, ge=0, lt=1)
    """Momentum of the running counts per bin."""

    divide_by: Literal["bins", "occupied"] = "bins"
    """The number of all bins, as in the paper, or of those with an element, as in its public
    code."""


class AsymmetricLossSettings(BranchLossSettings):
    """Focusing exponents of their own for positives and negatives; easy negatives cost nothing."""

    undoes_smoothing = BranchLossSettings.beyond_soft_targets
    name: Literal["asymmetric"]

    gamma_positive: float = Field(default=0.0, ge=0, le=10)
    """Focusing exponent of positives."""

    gamma_negative: float = Field(default=4.0, ge=1, le=10)
    """Focusing exponent of negatives."""

    margin: float = Field(default=0.05, ge=0, lt=1)
    """Negatives with a score below this have no loss."""


class PolyLossSettings(BranchLossSettings):
    """Cross-entropy plus epsilon (1 - p_t)."""

    undoes_smoothing = BranchLossSettings.beyond_soft_targets
    name: Literal["poly"]

    epsilon: float = Field(default=1.0, ge=-1)
    """Change of the first coefficient of the series of cross-entropy in 1 - p_t; -1 removes it."""


class PolyFocalLossSettings(BranchLossSettings):
    """Focal loss plus epsilon (1 - p_t)^(gamma + 1)."""

    undoes_smoothing = BranchLossSettings.beyond_soft_targets
    name: Literal["poly_focal"]

    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent."""

    alpha: Alpha | None = 0.25
    """Weight of positives, negatives get 1 - alpha; null weights neither."""

    epsilon: float = Field(default=1.0, ge=-1)
    """Change of the first coefficient of the series."""


class ReducedFocalLossSettings(BranchLossSettings):
    """Focal loss that leaves hard elements their whole cross-entropy."""

    undoes_smoothing = BranchLossSettings.beyond_soft_targets
    name: Literal["reduced_focal"]

    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent of elements above the threshold."""

    alpha: Alpha | None = 0.25
    """Weight of positives, negatives get 1 - alpha; null weights neither."""

    threshold: float = Field(default=0.5, gt=0, lt=1)
    """Probability of the target class below which an element keeps its whole cross-entropy."""


class EqualizedFocalLossSettings(BranchLossSettings):
    """Focal loss whose exponent grows for classes that get more gradient as negatives."""

    undoes_smoothing = "which takes every target above 0 for a positive"
    name: Literal["equalized_focal"]

    gamma: float = Field(default=2.0, gt=0, le=10)
    """Focusing exponent of a balanced class."""

    alpha: Alpha | None = 0.25
    """Weight of positives, negatives get 1 - alpha; null weights neither."""

    scale_factor: float = Field(default=8.0, ge=0)
    """Largest increase of the exponent."""


class BlurLossSettings(BranchLossSettings):
    """Cross-entropy that forgives confident positives without a label."""

    name: Literal["bce_blur"]

    temperature: float = Field(default=0.05, gt=0)
    """Width of the transition, in units of probability; larger affects less confident ones too."""


class CustomLossSettings(BranchLossSettings):
    """A loss of your own, imported from the working directory or what is installed."""

    name: Literal["custom"]

    object: ObjectName
    """Its class, as in my_losses.MyLoss: a torch module that takes logits and targets (n,) or
    (n, C) and returns the loss of each, not reduced."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the class is built with."""


ElementwiseLoss = (
    BceLossSettings
    | AlphaBceLossSettings
    | FocalLossSettings
    | FocalStarLossSettings
    | QualityLossSettings
    | VarifocalLossSettings
    | GhmLossSettings
    | AsymmetricLossSettings
    | PolyLossSettings
    | PolyFocalLossSettings
    | ReducedFocalLossSettings
    | EqualizedFocalLossSettings
    | BlurLossSettings
    | CustomLossSettings
)
Objectness = Annotated[ElementwiseLoss | None, Field(discriminator="name")]
