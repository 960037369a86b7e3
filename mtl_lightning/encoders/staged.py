"""An encoder that can be cut between its layers."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from mtl_lightning.encoders.base import Encoder, Representation, State


class StagedEncoder(Encoder):
    """An encoder that is the composition of its stages, so that a sharing may stand between any two of them."""

    @abstractmethod
    def begin(self, inputs: dict[str, Tensor]) -> State: ...

    @property
    @abstractmethod
    def stages(self) -> Sequence[nn.Module]: ...

    @abstractmethod
    def end(self, state: State) -> Representation: ...

    def end_all(self, states: Sequence[State]) -> Representation:
        """What the heads read of the states behind all stages [n], some of which a sharing has made something else of:
        by default, of the last one.
        """
        return self.end(states[-1])

    @property
    @abstractmethod
    def widths(self) -> Sequence[int]: ...

    def forward(self, inputs: dict[str, Tensor]) -> Representation:
        state = self.begin(inputs)
        for stage in self.stages:
            state = stage(state)
        return self.end(state)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        _ = self.stages  # made before a graph is traced, since a traced module cannot make modules
        super().compile(*args, **kwargs)

    def layers_by_depth(self) -> Sequence[Sequence[nn.Parameter]]:
        return [list(stage.parameters()) for stage in self.stages]


class Stage(nn.Module):
    """Layers that a state's ``hidden`` goes through; they stay registered where they are.

    Args:
        layers: One after the other.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, state: State) -> State:
        hidden = state.hidden
        for layer in self.layers:
            hidden = layer(hidden)
        return state._replace(hidden=hidden)
