"""The heads a graph may name in its last row."""

from models.heads.anchor_head import AnchorHead
from models.heads.detect import Detect
from models.heads.detection_head import DetectionHead
from models.heads.retina import Retina

__all__ = ["HEADS", "AnchorHead", "Detect", "DetectionHead", "Retina"]

HEADS: dict[str, type[DetectionHead]] = {"Detect": Detect, "Retina": Retina}
"""As many lines as `configs.heads.HEAD_TRAITS`, which is read where torch is not loaded."""
