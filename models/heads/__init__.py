"""The heads a graph may name in its last row."""

from models.heads.detect import Detect
from models.heads.detection_head import AnchorHead, DetectionHead
from models.heads.joint import Joint
from models.heads.retina import Retina
from models.heads.shared_joint import SharedJoint
from models.heads.yolox import YOLOX

__all__ = [
    "HEADS",
    "YOLOX",
    "AnchorHead",
    "Detect",
    "DetectionHead",
    "Joint",
    "Retina",
    "SharedJoint",
]

HEADS: dict[str, type[DetectionHead]] = {
    "Detect": Detect,
    "Retina": Retina,
    "Joint": Joint,
    "YOLOX": YOLOX,
    "SharedJoint": SharedJoint,
}
"""As many lines as `configs.heads.HEAD_TRAITS`, which is read where torch is not loaded."""
