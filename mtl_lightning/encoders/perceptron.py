"""A multilayer perceptron over feature vectors."""

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from torch import Tensor, nn

from mtl_lightning.encoders.base import Representation, State
from mtl_lightning.encoders.staged import Stage, StagedEncoder
from mtl_lightning.encoders.tensors import TensorProcessor


class PerceptronEncoder(StagedEncoder):
    """Linear layers with ReLU between and after them.

    Its input is ``features`` [B, in_features]; its representation is pooled [B, hidden[-1]].

    Args:
        in_features: Width of the input.
        hidden: Widths of the layers, in order.
        dropout: Probability of zeroing an activation, after each layer.
    """

    pretrained = False

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

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(inputs["features"])

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a layer."""
        return [Stage(*list(self.layers)[first : first + 3]) for first in range(0, len(self.layers), 3)]

    @property
    def widths(self) -> list[int]:
        linear = [layer for layer in self.layers if isinstance(layer, nn.Linear)]
        return [linear[0].in_features, *(layer.out_features for layer in linear)]

    def end(self, state: State) -> Representation:
        return Representation(pooled=state.hidden)
