"""How a vector scales and shifts what the stages of an encoder find."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.contracts import Encoder, State


class Modulation(nn.Module):
    """Scales and shifts channels by linear functions of a vector, which leave all as it is where the vector is zero.

    Args:
        width: E, of the vector.
        channels: C.
        axis: Where they are.
        shift: Whether to shift them too.
    """

    def __init__(self, width: int, channels: int, axis: int = -1, shift: bool = True) -> None:
        super().__init__()
        self._axis = axis
        self.scale = nn.Linear(width, channels, bias=False)
        self.shift = nn.Linear(width, channels, bias=False) if shift else None

    def forward(self, hidden: Tensor, vector: Tensor, shift: bool = True) -> Tensor:
        """The modulated channels, of the shape of ``hidden``.

        Args:
            hidden: Any tensor with C channels.
            vector: [E].
            shift: False: they are scaled alone.
        """
        with torch.autocast(hidden.device.type, enabled=False):  # half precision has no numbers next to 1
            found: Tensor = hidden.movedim(self._axis, -1) * (1 + self.scale(vector))
            if shift and self.shift is not None:
                found = found + self.shift(vector)
        return found.movedim(-1, self._axis).to(hidden.dtype)


class ModulatedState(nn.Module):
    """Modulates the state that a stage reads, and runs the stage.

    Args:
        width: E, of the vector.
        channels: C, of the state.
        axis: Where they are.
    """

    def __init__(self, width: int, channels: int, axis: int) -> None:
        super().__init__()
        self.modulate = Modulation(width, channels, axis)

    def forward(self, state: State, vector: Tensor, stage: nn.Module) -> Any:
        """What the stage makes of the modulated state."""
        return stage(state._replace(hidden=self.modulate(state.hidden, vector)))


def modulated_states(width: int, encoder: Encoder, numbers: Sequence[int]) -> dict[int, nn.Module]:
    """What modulates the states behind stages, by the number of stages before it.

    Args:
        width: E, of the vector.
        encoder: The model's.
        numbers: Of the stages, from 1.
    """
    return {number: ModulatedState(width, encoder.widths[number], encoder.channel_axis) for number in numbers}


class ConditionalNorms(nn.Module):
    """Runs a stage with scales and shifts of its normalisations that depend on a vector.

    Args:
        width: E, of the vector.
        stage: The stage.
    """

    def __init__(self, width: int, stage: nn.Module) -> None:
        super().__init__()
        self._norms = list(norms(stage))
        shifts = [getattr(norm, "bias", None) is not None for norm in norms(stage).values()]
        sizes = [norm.weight.numel() for norm in norms(stage).values()]
        self.modulate = nn.ModuleList(
            Modulation(width, size, shift=shift) for size, shift in zip(sizes, shifts, strict=True)
        )

    def forward(self, state: State, vector: Tensor, stage: nn.Module) -> Any:
        """What the stage makes of the state, with other parameters for this one call."""
        replaced: dict[str, Tensor] = {}
        for name, modulate in zip(self._norms, self.modulate, strict=True):
            norm: Any = stage.get_submodule(name)
            replaced[f"{name}.weight"] = modulate(norm.weight.flatten(), vector, shift=False).view_as(norm.weight)
            if getattr(norm, "bias", None) is not None:
                replaced[f"{name}.bias"] = modulate(norm.bias.flatten(), vector).view_as(norm.bias)
        return functional_call(stage, replaced, (state,))


def norms(stage: nn.Module) -> dict[str, Any]:
    """The normalisations in a stage, by name: whatever has a vector of scales, perhaps one of shifts, and nothing else.

    So those are found that transformers writes for one architecture alone.
    """
    return {name: module for name, module in stage.named_modules() if _scales(module)}


def _scales(module: nn.Module) -> bool:
    parameters = dict(module.named_parameters())
    vectors = all(parameter.dim() == 1 and parameter.numel() > 1 for parameter in parameters.values())
    return "weight" in parameters and parameters.keys() <= {"weight", "bias"} and vectors


def conditional_norms(width: int, encoder: Encoder, numbers: Sequence[int]) -> dict[int, nn.Module]:
    """What runs stages with normalisations that depend on a vector, by the number of stages before each.

    Args:
        width: E, of the vector.
        encoder: The model's.
        numbers: Of the stages, from 1; those that do not normalise are left out.

    Raises:
        UserError: If none of them does, or the encoder runs its layers again in the backward pass.
    """
    stages = {number - 1: encoder.stages[number - 1] for number in numbers}
    found: dict[int, nn.Module] = {i: ConditionalNorms(width, stage) for i, stage in stages.items() if norms(stage)}
    name = type(encoder).__name__
    if not found:
        raise UserError(f"model.sharing: {name} has no normalisation to modulate; choose `behind: stages`")
    if any(getattr(module, "gradient_checkpointing", False) for module in encoder.modules()):
        raise UserError(
            f"model.sharing: {name} recomputes its layers in the backward pass, where `behind: norms` cannot change "
            "their normalisations; set `gradient_checkpointing: false`, or `behind: stages`"
        )
    return found
