"""The network of the papers: a small LeNet, and for each task a head of two layers."""

from functools import cached_property

import torch
from torch import Tensor, nn

from mtl_lightning.encoders import Representation, Stage, StagedEncoder, State
from mtl_lightning.encoders.tensors import TensorProcessor
from mtl_lightning.tasks import SequenceClassification


class LeNet(StagedEncoder):
    """Two convolutions of 5x5 without padding, each with 2x2 max pooling and ReLU, then a linear layer with ReLU.

    Its input is ``image`` [B, 784], row by row; its representation is pooled [B, features].

    Reference: the encoder of Sener & Koltun (NeurIPS 2018) and Kurin et al. (NeurIPS 2022), after LeCun et al. (1998).
    Difference: their dropout between the convolutions is left out; ten epochs on few digits are too few to overfit.

    Args:
        features: Width of the representation.
    """

    channel_axis = 1

    def __init__(self, features: int = 50) -> None:
        super().__init__()
        self.features = features
        self.processor = TensorProcessor("image", ndim=1, first=28 * 28)
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, 28, 28)),
            *(nn.Conv2d(1, 10, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Conv2d(10, 20, 5), nn.MaxPool2d(2), nn.ReLU()),
            *(nn.Flatten(), nn.Linear(20 * 4 * 4, features), nn.ReLU()),
        )
        # On a CPU it halves the time of a step. Its stubs do not know the argument.
        self.layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def begin(self, inputs: dict[str, Tensor]) -> State:
        return State(self.layers[0](inputs["image"]))

    @cached_property
    def stages(self) -> list[nn.Module]:
        """One a convolution, and one for the linear layer."""
        return [Stage(*list(self.layers)[start : start + 3]) for start in (1, 4, 7)]

    @property
    def widths(self) -> list[int]:
        return [1, 10, 20, self.features]

    def end(self, state: State) -> Representation:
        return Representation(pooled=state.hidden)


class Digit(SequenceClassification):
    """Which digit it is; the head has a hidden layer, as wide as the representation."""

    def build(self, features: int) -> None:
        super().build(features)
        assert self.head is not None
        self.head = nn.Sequential(nn.Linear(features, features), nn.ReLU(), self.head)
