"""A map of features that begins as the identity."""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from mtl_lightning.encoders import Encoder, Representation
from mtl_lightning.encoders.tensors import TensorProcessor


class ResidualMap(Encoder):
    """Unit vectors plus what two layers make of them: before training, an encoder's features as they are.

    Args:
        features: D, their width.
        hidden: Width of the layer between; 0: there are no layers, and nothing trains.
        dropout: Probability of zeroing an activation between the layers.
    """

    def __init__(self, features: int, hidden: int = 1024, dropout: float = 0.5) -> None:
        super().__init__()
        self.features = features
        self.processor = TensorProcessor("features", ndim=1, first=features, setting="features")
        self.layers = _layers(features, hidden, dropout) if hidden else None
        self.scale = nn.Parameter(torch.ones(()))  # so that there is something to train without layers, too

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        """Pooled features [B, D]."""
        unit = normalize(inputs["features"], dim=-1)
        return Representation(pooled=self.scale * (unit if self.layers is None else unit + self.layers(unit)))


def _layers(features: int, hidden: int, dropout: float) -> nn.Sequential:
    """What makes zero before it is trained."""
    last = nn.Linear(hidden, features)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), last)
