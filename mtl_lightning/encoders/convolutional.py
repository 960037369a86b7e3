"""A small convolutional network over images."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mtl_lightning.encoders.base import Encoder, Representation
from mtl_lightning.encoders.tensors import TensorProcessor


class ConvolutionalEncoder(Encoder):
    """Convolutions with ReLU and 2x2 max pooling, then one linear layer.

    Its input is ``image`` [B, C, H, W]; its representation is pooled [B, features].

    Args:
        in_channels: C.
        channels: Output channels of each convolution; each but the last is followed by 2x2 pooling.
        kernel_size: Width of the convolutions, odd, so that padding keeps H and W.
        grid: What the last feature map is averaged to, height and width; it keeps where things are in the image.
        features: Width of the representation.
        batch_norm: Normalise after each convolution.
        dropout: Probability of zeroing a feature of the representation.
    """

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 3,
        grid: tuple[int, int] = (4, 4),
        features: int = 128,
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {kernel_size}")
        self.features = features
        self.processor = TensorProcessor("image", ndim=3, first=in_channels, setting="in_channels")
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([in_channels, *channels]):
            if layers:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            layers.append(nn.Conv2d(fan_in, fan_out, kernel_size, padding=kernel_size // 2))
            if batch_norm:
                layers.append(nn.BatchNorm2d(fan_out))
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        self.project = nn.Sequential(nn.Linear(channels[-1] * grid[0] * grid[1], features), nn.ReLU())
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        return Representation(pooled=self.dropout(self.project(self.layers(inputs["image"]))))

    def layers_by_depth(self) -> list[list[nn.Parameter]]:
        depths: list[list[nn.Parameter]] = []
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                depths.append([])
            depths[-1].extend(layer.parameters())
        return [*depths, list(self.project.parameters())]
