"""Which cells answer for which targets; apart from the loss, without gradient."""

from models.assign.anchor_ratio import AnchorRatioAssigner

__all__ = ["AnchorRatioAssigner"]
