"""Bottleneck adapters: small residual networks between the stages of the encoder, of each task its own."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation, State
from mtl_lightning.sharing.stages import start_of_last, through


class BottleneckAdapters(Sharing):
    r"""Puts behind stages of the encoder a narrow residual perceptron for each task.

    A stage's output :math:`h` becomes :math:`h + U_t \, \mathrm{GELU}(D_t h + d_t) + u_t` for task t, at each position
    of a sequence or an image; :math:`U_t` and :math:`u_t` are zero at the start, so that training begins at the encoder
    as it is.

    Cost: about 2 m C parameters for each task and stage of width C; the encoder's train only with ``freeze_encoder:
    false``. Up to the first adapter the encoder runs once, from there on once a task.

    Reference: Houlsby et al., "Parameter-Efficient Transfer Learning for NLP" (ICML 2019), section 2.1. Difference: one
    adapter behind each stage, not two within each layer of a transformer, so that it works on every encoder that is cut
    into stages; the parameters of normalisation are not trained per task.

    Helps: as ``LoRA``, and on encoders without linear maps to adapt, such as convolutions. Fails: it cannot be merged
    into the encoder, since it is not linear, so that it costs time at inference too.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages.
        size: m, the width of the bottleneck.
        own_stages: Behind how many of the last stages there are adapters; null: behind each.
        freeze_encoder: Whether the encoder's own parameters stay as they are.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        size: int = 32,
        own_stages: int | None = None,
        freeze_encoder: bool = True,
    ) -> None:
        super().__init__(tasks, encoder)
        at_least(1, "size", size)
        number = len(encoder.stages) if own_stages is None else own_stages
        self._first = start_of_last("own_stages", number, encoder)
        widths, axis = encoder.widths[self._first + 1 :], encoder.channel_axis
        device = next(encoder.parameters()).device
        self.adapters = nn.ModuleDict(
            {task: nn.ModuleList(Bottleneck(width, size, axis) for width in widths) for task in tasks}
        ).to(device)
        if freeze_encoder:
            for parameter in encoder.parameters():
                parameter.requires_grad_(False)

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.adapters[task].parameters())

    def encode(self, inputs: Inputs) -> State:
        """The state before the first adapter."""
        state: State = through(self.encoder.stages[: self._first + 1], self.encoder.begin(inputs))
        return state

    def share(self, encoded: State, tasks: Sequence[str]) -> dict[str, Representation]:
        return {task: self.encoder.end(self._run(encoded, self.adapters[task])) for task in tasks}

    def compiled_parts(self) -> Sequence[Compilable]:
        return [*self.encoder.stages, *(each for each in self.adapters.modules() if isinstance(each, Bottleneck))]

    def _run(self, state: State, adapters: Any) -> State:
        first, *others = adapters
        state = first(state)
        for stage, adapter in zip(self.encoder.stages[self._first + 1 :], others, strict=True):
            state = adapter(stage(state))
        return state


class Bottleneck(nn.Module):
    """A residual perceptron with one narrow layer, over the channels of a state.

    Args:
        channels: C.
        size: Width of the layer.
        axis: Where the channels are.
    """

    def __init__(self, channels: int, size: int, axis: int) -> None:
        super().__init__()
        self.axis = axis
        self.down, self.up = nn.Linear(channels, size), nn.Linear(size, channels)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, state: State) -> State:
        hidden = state.hidden
        x: Tensor = hidden.movedim(self.axis, -1)
        if not torch.is_autocast_enabled(x.device.type):  # which casts by itself
            x = x.to(self.down.weight.dtype)
        added = self.up(nn.functional.gelu(self.down(x)))
        return state._replace(hidden=hidden + added.movedim(-1, self.axis).to(hidden.dtype))
