"""The pixel operations, in the order in which they are made: the one table.

A new one is a class in a file of its own, its line here and its setting in
`configs/schema/augment.py`. Each has a stream of random numbers of its own, so a new one changes
nothing of what the others do.
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
