"""Batch normalisation folded into the convolution before it, and convolutions side by side made
one: the same function for less work.
"""

import copy

import torch
from torch import nn

from models.blocks.conv import Conv
from models.blocks.elan import RepConv
from models.detector import Detector
from utils.structures.exact import in_float64


@torch.no_grad()
def fuse(detector: Detector) -> Detector:
    """Return an evaluation-mode copy whose `Conv` and `RepConv` blocks have one biased convolution
    each.

    W' = W g / sqrt(var + eps), b' = beta - mean g / sqrt(var + eps), computed in float64. The
    copy's `bn` is the identity and its activations work in place, so it is for inference; the
    original is untouched.
    """
    fused = copy.deepcopy(detector).eval()
    for module in fused.modules():
        if isinstance(module, Conv) and isinstance(module.bn, nn.BatchNorm2d):
            module.conv = _fold(module.conv, module.bn)
            module.bn = nn.Identity()
            if isinstance(module.act, nn.SiLU):
                module.act.inplace = True
    for module in fused.modules():
        if isinstance(module, RepConv) and module.cv2 is not None:
            _merge(module.cv1.conv, module.cv2.conv)
            module.cv2 = None
    return fused


def _merge(wide: nn.Conv2d, narrow: nn.Conv2d) -> None:
    """Add a 1 x 1 convolution to the middle of a 3 x 3 one; both have a bias."""
    wide.weight += nn.functional.pad(narrow.weight, (1, 1, 1, 1))
    if wide.bias is not None and narrow.bias is not None:
        wide.bias += narrow.bias


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("only batch normalisation with running statistics can be folded")
    scale = in_float64(norm.weight) / (in_float64(norm.running_var) + norm.eps).sqrt()
    shift = in_float64(norm.bias) - in_float64(norm.running_mean) * scale
    weight = in_float64(convolution.weight) * scale.view(-1, 1, 1, 1)
    convolution.weight = nn.Parameter(weight.to(convolution.weight))
    convolution.bias = nn.Parameter(shift.to(convolution.weight))
    return convolution
