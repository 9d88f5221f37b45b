"""The blocks a graph may name, each with how a row's arguments become its constructor's."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from models.blocks.conv import (
    Add,
    AvgConv,
    AvgMaxConv,
    Concat,
    Conv,
    DWConv,
    Focus,
    SeparableConv,
    batch_norm,
)
from models.blocks.csp import (
    C3,
    C3DW,
    C3SPP,
    C3SPPF,
    Bottleneck,
    BottleneckCSP,
    ChannelAttention,
    CSPNeXt,
    SplitConcat,
)
from models.blocks.elan import ELAN, GELAN
from models.blocks.ghost import C3Ghost, GhostBottleneck, GhostConv
from models.blocks.pooling import SPP, SPPF
from models.blocks.resnet import BasicStage, BottleneckStage, ResNetStem
from models.blocks.transformer import C3TR

__all__ = ["BLOCKS", "Block", "Channels"]

Channels = Literal["scaled", "same", "counted", "sum", "equal"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """How a graph row becomes a module.

    channels: `scaled`: the row's first argument is the number of output channels, scaled by the
    width multiple, and the input channels are put before it; `same`: as many out as in, and the
    arguments are the constructor's own; `counted`: as many out as in, the only argument; `sum`: the
    inputs' channels added up; `equal`: as many out as each of several inputs. has_repeats: the
    constructor takes the row's repeats after the output channels; else the block is repeated in a
    row.
    """

    build: Callable[..., nn.Module]
    channels: Channels = "scaled"
    has_repeats: bool = False

    @property
    def takes_many(self) -> bool:
        """Whether the block reads several rows."""
        return self.channels in ("sum", "equal")

    def arguments(self, in_channels: int, stated: tuple[Any, ...], repeats: int) -> tuple[Any, ...]:
        """Return the constructor's arguments; the channels in `stated` are scaled already."""
        if self.channels == "counted":
            return (in_channels,)
        if self.channels != "scaled":
            return stated
        inner = (repeats,) if self.has_repeats else ()
        return (in_channels, stated[0], *inner, *stated[1:])


BLOCKS: dict[str, Block] = {
    "Conv": Block(build=Conv),
    "DWConv": Block(build=DWConv),
    "Focus": Block(build=Focus),
    "Bottleneck": Block(build=Bottleneck),
    "BottleneckCSP": Block(build=BottleneckCSP, has_repeats=True),
    "C3": Block(build=C3, has_repeats=True),
    "C3Ghost": Block(build=C3Ghost, has_repeats=True),
    "C3TR": Block(build=C3TR, has_repeats=True),
    "C3DW": Block(build=C3DW, has_repeats=True),
    "CSPNeXt": Block(build=CSPNeXt, has_repeats=True),
    "ELAN": Block(build=ELAN, has_repeats=True),
    "GELAN": Block(build=GELAN, has_repeats=True),
    "C3SPP": Block(build=C3SPP),
    "C3SPPF": Block(build=C3SPPF),
    "SplitConcat": Block(build=SplitConcat, has_repeats=True),
    "AvgConv": Block(build=AvgConv),
    "AvgMaxConv": Block(build=AvgMaxConv),
    "SeparableConv": Block(build=SeparableConv),
    "ChannelAttention": Block(build=ChannelAttention, channels="counted"),
    "GhostConv": Block(build=GhostConv),
    "GhostBottleneck": Block(build=GhostBottleneck),
    "SPP": Block(build=SPP),
    "SPPF": Block(build=SPPF),
    "Concat": Block(build=Concat, channels="sum"),
    "Add": Block(build=Add, channels="equal"),
    "ResNetStem": Block(build=ResNetStem),
    "BasicStage": Block(build=BasicStage, has_repeats=True),
    "BottleneckStage": Block(build=BottleneckStage, has_repeats=True),
    "nn.Conv2d": Block(build=nn.Conv2d),
    "nn.ReLU": Block(build=nn.ReLU, channels="same"),
    "nn.Upsample": Block(build=nn.Upsample, channels="same"),
    "nn.MaxPool2d": Block(build=nn.MaxPool2d, channels="same"),
    "nn.ZeroPad2d": Block(build=nn.ZeroPad2d, channels="same"),
    "nn.Identity": Block(build=nn.Identity, channels="same"),
    "nn.ConvTranspose2d": Block(build=nn.ConvTranspose2d),
    "nn.BatchNorm2d": Block(build=batch_norm, channels="counted"),
}
