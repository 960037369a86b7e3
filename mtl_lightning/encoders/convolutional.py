"""A small convolutional network over images."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from torch import Tensor, nn

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.images import ImageProcessor, Images
from mtl_lightning.encoders.input_processor import PlainProcessor
from mtl_lightning.encoders.staged import Stage, StagedEncoder
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.errors import UserError


class ConvolutionalEncoder(StagedEncoder):
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
        group_norm: Number of groups of channels to normalise after each convolution, each example by itself; null: not.
        images: How image files are read; null: ``image`` is an array of numbers [C, H, W], which are taken as they are.
    """

    channel_axis = 1
    pretrained = False

    def __init__(
        self,
        in_channels: int = 1,
        channels: Sequence[int] = (32, 64),
        kernel_size: int = 3,
        grid: tuple[int, int] = (4, 4),
        features: int = 128,
        batch_norm: bool = False,
        dropout: float = 0.0,
        images: Images | None = None,
        group_norm: int | None = None,
    ) -> None:
        super().__init__()
        if group_norm is not None and (group_norm < 1 or any(width % group_norm for width in channels)):
            raise UserError(f"`group_norm` must divide each of `channels`, {list(channels)}; found {group_norm}")
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, found {kernel_size}")
        self.features = features
        self.processor: PlainProcessor = (
            TensorProcessor("image", ndim=3, first=in_channels, setting="in_channels")
            if images is None
            else ImageProcessor(images, in_channels)
        )
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([in_channels, *channels]):
            if layers:
                layers.append(nn.MaxPool2d(2, ceil_mode=True))
            layers.append(nn.Conv2d(fan_in, fan_out, kernel_size, padding=kernel_size // 2))
            if batch_norm:
                layers.append(nn.BatchNorm2d(fan_out))
            if group_norm is not None:
                layers.append(nn.GroupNorm(group_norm, fan_out))
            layers.append(nn.ReLU())
        self.layers = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(grid), nn.Flatten())
        self.project = nn.Sequential(nn.Linear(channels[-1] * grid[0] * grid[1], features), nn.ReLU())
        self.dropout = nn.Dropout(dropout)

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(inputs["image"])

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a convolution, with the pooling before it, and one for the linear layer."""
        layers = list(self.layers)
        first = [i for i, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
        blocks = [Stage(*layers[start:end]) for start, end in pairwise([0, *first, len(layers) - 2])]
        return [*blocks, Stage(*layers[-2:], self.project)]

    @property
    def widths(self) -> list[int]:
        convolutions = [layer for layer in self.layers if isinstance(layer, nn.Conv2d)]
        return [convolutions[0].in_channels, *(layer.out_channels for layer in convolutions), self.features]

    def end(self, state: State) -> Representation:
        return Representation(pooled=self.dropout(state.hidden))
