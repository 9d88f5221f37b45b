"""A detector with the usual output of an exported file: boxes and scores.

Legend: B images, P cells of all levels, C classes, H W height and width.
"""

from torch import Tensor, nn

from models.detector import Detector
from models.inference.fusion import fuse


class ExportWrapper(nn.Module):
    """Images to the boxes and scores of all cells, in the order of `Predictions.decode`."""

    def __init__(self, detector: Detector, *, fused: bool) -> None:
        """Take `detector`, or a fused copy of it; it is not changed but for evaluation mode."""
        super().__init__()
        self.detector = fuse(detector) if fused else detector
        self.eval()

    @property
    def head_name(self) -> str:
        """What the names of the head's parameters start with."""
        return f"detector.model.{len(self.detector.model) - 1}."

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (B, P, 4) xyxy pixels, not clipped, and scores (B, P, C) in [0, 1].

        Args:
            images: (B, 3, H, W) float in [0, 1], RGB.
        """
        predictions = self.detector(images)
        decoded = predictions.decode()
        if not predictions.has_objectness:
            return decoded.boxes, decoded.class_scores
        return decoded.boxes, decoded.objectness[..., None] * decoded.class_scores
