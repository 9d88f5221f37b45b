"""The table of pixel operations, in the order in which they are applied.

A new one is a class in a file of its own, its line here and its setting in
`configs/schema/augment.py`. Each has a random stream of its own, so a new one does not change the
others.
"""

from data.augment.flip import FlipHorizontal, FlipVertical, Transpose
from data.augment.hsv import HueSaturationValue
from data.augment.operation import PixelOp

PIXEL_OPS: tuple[PixelOp, ...] = (
    HueSaturationValue(),
    FlipHorizontal(),
    FlipVertical(),
    Transpose(),
)
