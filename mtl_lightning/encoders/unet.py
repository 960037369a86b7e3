"""A small U-Net over images, for tasks that label pixels."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, max_pool2d

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.images import ImageProcessor, Images
from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.encoders.staged import Stage, StagedEncoder
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.errors import UserError
from mtl_lightning.inputs.augmentation import Augmentation, RandomHorizontalFlip


class UNetEncoder(StagedEncoder):
    """Convolutions down to small maps and up again, with a connection between those of one size.

    Its input is ``image`` [B, C, H, W], of any size. Its representation is a feature map of stride 1 [B, channels[0],
    H, W], and pooled, that map's mean [B, channels[0]]. Its stages are the first convolutions, all that happens at
    smaller sizes, and the last ones: each reads and makes maps of the image's size, so that any sharing may stand
    between them.

    Each size has two 3x3 convolutions with ReLU on the way down, and two on the way up; sizes are halved by max pooling
    and doubled by bilinear interpolation. With the defaults, it has 0.39 million parameters.

    Reference: Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation" (MICCAI 2015),
    section 2. Difference: convolutions are padded, so that maps keep the size of the image, and normalised; maps are
    interpolated, where the paper has transposed convolutions.

    Args:
        in_channels: C.
        channels: Of the maps, from the largest to the smallest.
        batch_norm: Normalise after each convolution.
        flip: Short for a ``RandomHorizontalFlip`` before the other changes: how often an image is mirrored, 0 to 1.
        images: How image files are read; null: ``image`` is an array of numbers [C, H, W], which are taken as they are.
        augment: Random changes of training images that are arrays, and of the labels of their pixels, in this order;
            those of image files are a part of ``images``.

    Raises:
        UserError: If there are fewer than two sizes, or changes of images stand in two places.
    """

    channel_axis = 1
    pretrained = False

    def __init__(
        self,
        in_channels: int = 3,
        channels: Sequence[int] = (16, 32, 64, 96),
        batch_norm: bool = True,
        flip: float = 0.0,
        images: Images | None = None,
        augment: list[Augmentation] | None = None,
    ) -> None:
        super().__init__()
        if len(channels) < 2 or min(channels) < 1:
            raise UserError(f"`channels` must be two widths or more, each of at least 1, found {list(channels)}")
        if not 0 <= flip <= 1:
            raise UserError(f"`flip` must be from 0 to 1, found {flip}")
        flips = [RandomHorizontalFlip(flip)] if flip else []
        if images is None:
            changes = [*flips, *(augment or ())]
            self.processor: PlainProcessor = TensorProcessor("image", 3, in_channels, "in_channels", changes)
        elif augment:
            raise UserError("`augment` is for images that are arrays; of image files, name changes as `images.augment`")
        else:
            images = replace(images, augment=[*flips, *(images.augment or ())])
            self.processor = ImageProcessor(images, in_channels)
        self.in_channels, self.features = in_channels, channels[0]
        self.first = _convolutions(in_channels, channels[0], batch_norm)
        self.smaller = _Smaller(channels, batch_norm)
        self.last = _convolutions(channels[0] + channels[1], channels[0], batch_norm)

    @property
    def map_widths(self) -> dict[int, int]:
        return {1: self.features}

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(inputs["image"])

    @cached_property
    def stages(self) -> list[nn.Module]:
        """The first convolutions, all smaller sizes, and the last convolutions."""
        return [Stage(self.first), Stage(self.smaller), Stage(self.last)]

    @property
    def widths(self) -> list[int]:
        return [self.in_channels, self.features, self.smaller.width, self.features]

    def end(self, state: State) -> Representation:
        return Representation(pooled=self.pool(state), maps={1: state.hidden})


class _Smaller(nn.Module):
    """A map, with what is made of it at half its size beside it.

    Args:
        channels: Of the map, and of the smaller ones.
        batch_norm: Normalise after each convolution.

    Attributes:
        width: Channels of both.
    """

    def __init__(self, channels: Sequence[int], batch_norm: bool) -> None:
        super().__init__()
        own, below, *_ = channels
        self.width = own + below
        layers: list[nn.Module] = [_convolutions(own, below, batch_norm)]
        if len(channels) > 2:
            deeper = _Smaller(channels[1:], batch_norm)
            layers += [deeper, _convolutions(deeper.width, below, batch_norm)]
        self.inner = nn.Sequential(*layers)

    def forward(self, hidden: Tensor) -> Tensor:
        """[B, width, H, W] of a map [B, C, H, W]."""
        made = self.inner(max_pool2d(hidden, 2, ceil_mode=True))
        return torch.cat([hidden, interpolate(made, hidden.shape[-2:], mode="bilinear", align_corners=False)], 1)


def _convolutions(fan_in: int, fan_out: int, batch_norm: bool) -> nn.Sequential:
    """Two convolutions, each with ReLU."""
    layers: list[nn.Module] = []
    for width in (fan_in, fan_out):
        layers.append(nn.Conv2d(width, fan_out, 3, padding=1, bias=not batch_norm))
        layers += [nn.BatchNorm2d(fan_out)] if batch_norm else []
        layers.append(nn.ReLU())
    return nn.Sequential(*layers)
