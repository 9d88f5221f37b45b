"""The heads a graph may name in its last row."""

from collections.abc import Mapping

from models.heads.anchor_head import AnchorHead
from models.heads.detect import Detect
from models.heads.retina import Retina

__all__ = ["HEADS", "AnchorHead", "Detect", "Retina"]

HEADS: Mapping[str, type[AnchorHead]] = {"Detect": Detect, "Retina": Retina}
