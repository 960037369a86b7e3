"""Heads over feature maps: logits of the finest map's size."""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

Architecture = Literal["fcn", "aspp", "unet"]
"""Name of a head."""

Maps = Mapping[int, Tensor]
"""Feature maps by stride, each [B, C, H / stride, W / stride]."""


class FCN(nn.Module):
    """Scores of each map by a 1x1 convolution; coarser ones are interpolated and added to the next finer one.

    Reference: Long et al., "Fully Convolutional Networks for Semantic Segmentation" (CVPR 2015), section 4.2.
    Difference: maps are interpolated, where the paper learns the upsampling.

    Args:
        widths: Channels of the maps, by stride.
        width: It has no channels inside; of no effect.
        outputs: Channels of the logits.
    """

    def __init__(self, widths: Mapping[int, int], width: int, outputs: int) -> None:
        super().__init__()
        self.scores = nn.ModuleDict({str(stride): nn.Conv2d(c, outputs, 1) for stride, c in widths.items()})

    def forward(self, maps: Maps) -> Tensor:
        coarse, *finer = sorted(maps, reverse=True)
        scores: Tensor = self.scores[str(coarse)](maps[coarse])
        for stride in finer:
            own = self.scores[str(stride)](maps[stride])
            scores = own + resized(scores, own)
        return scores


class UNet(nn.Module):
    """From the coarsest map up: what was made so far is interpolated, joined with the next finer map, and convolved.

    Reference: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (MICCAI 2015),
    section 2. Difference: the way up alone, with one convolution a size, each normalised.

    Args:
        widths: Channels of the maps, by stride.
        width: Channels of what is made at each size.
        outputs: Channels of the logits.
    """

    def __init__(self, widths: Mapping[int, int], width: int, outputs: int) -> None:
        super().__init__()
        coarse, *finer = sorted(widths, reverse=True)
        inputs = {coarse: widths[coarse], **{stride: width + widths[stride] for stride in finer}}
        self.steps = nn.ModuleDict({str(stride): _convolution(c, width) for stride, c in inputs.items()})
        self.scores = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: Maps) -> Tensor:
        coarse, *finer = sorted(maps, reverse=True)
        made: Tensor = self.steps[str(coarse)](maps[coarse])
        for stride in finer:
            made = self.steps[str(stride)](torch.cat([maps[stride], resized(made, maps[stride])], 1))
        scores: Tensor = self.scores(made)
        return scores


class ASPP(nn.Module):
    """Convolutions of several dilations over the coarsest map, and its mean, side by side.

    Reference: Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation" (2017), section 3.3: a 1x1
    convolution, 3x3 ones dilated by 6, 12 and 18, and the mean of the map. Difference: the mean is not normalised, so
    that a batch may be one image; logits are interpolated to the size of the finest map.

    Args:
        widths: Channels of the maps, by stride.
        width: Channels of each of the branches.
        outputs: Channels of the logits.
    """

    def __init__(self, widths: Mapping[int, int], width: int, outputs: int) -> None:
        super().__init__()
        channels = widths[max(widths)]
        dilated = [_convolution(channels, width, dilation=dilation) for dilation in (6, 12, 18)]
        self.branches = nn.ModuleList([_convolution(channels, width, size=1), *dilated])
        self.mean = nn.Conv2d(channels, width, 1)
        self.project = _convolution(5 * width, width, size=1)
        self.scores = nn.Conv2d(width, outputs, 1)

    def forward(self, maps: Maps) -> Tensor:
        read = maps[max(maps)]
        mean = torch.relu(self.mean(read.mean((2, 3), keepdim=True))).expand(-1, -1, *read.shape[-2:])
        made = torch.cat([*(branch(read) for branch in self.branches), mean], 1)
        scores: Tensor = self.scores(self.project(made))
        return resized(scores, maps[min(maps)])


DECODERS: dict[str, Callable[[Mapping[int, int], int, int], nn.Module]] = {"fcn": FCN, "aspp": ASPP, "unet": UNet}
"""What makes each head of the widths of the maps by stride, its own width, and the channels of the logits."""


def resized(found: Tensor, like: Tensor) -> Tensor:
    """Maps [B, C, ...], interpolated to the height and width of others."""
    if found.shape[-2:] == like.shape[-2:]:
        return found
    return interpolate(found, like.shape[-2:], mode="bilinear", align_corners=False)


def _convolution(fan_in: int, fan_out: int, size: int = 3, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (size // 2)
    convolution = nn.Conv2d(fan_in, fan_out, size, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(fan_out), nn.ReLU())
