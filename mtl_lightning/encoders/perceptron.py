"""A multilayer perceptron over feature vectors."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from mtl_lightning.encoders.base import Encoder, Representation
from mtl_lightning.encoders.tensors import TensorProcessor


class PerceptronEncoder(Encoder):
    """Linear layers with ReLU between and after them.

    Its input is ``features`` [B, in_features]; its representation is pooled [B, hidden[-1]].

    Args:
        in_features: Width of the input.
        hidden: Widths of the layers, in order.
        dropout: Probability of zeroing an activation, after each layer.
    """

    def __init__(self, in_features: int, hidden: Sequence[int] = (256, 256), dropout: float = 0.0) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("hidden must name at least one layer width")
        self.features = hidden[-1]
        self.processor = TensorProcessor("features", ndim=1, first=in_features, setting="in_features")
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([in_features, *hidden]):
            layers += [nn.Linear(fan_in, fan_out), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers)

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        return Representation(pooled=self.layers(inputs["features"]))

    def layers_by_depth(self) -> list[list[nn.Parameter]]:
        return [found for layer in self.layers if (found := list(layer.parameters()))]
