"""Masks that prune a model, as :mod:`torch.nn.utils.prune` keeps them: in checkpoints, in a run, and for good."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from lightning.pytorch.callbacks import ModelPruning
from torch import Tensor, nn
from torch.nn.utils import prune


def masks_of(model: nn.Module) -> dict[str, Tensor]:
    """By the name of each pruned parameter, which of its values are kept; all on the CPU."""
    return {name: getattr(module, f"{plain}_mask").bool().cpu() for name, module, plain in _pruned(model)}


def put_masks(state: dict[str, Any], masks: Mapping[str, Tensor]) -> None:
    """Gives a state of plain parameters the form that the state of a pruned model has.

    Args:
        state: Parameters by name; it is changed.
        masks: What :func:`masks_of` returned.
    """
    for name, mask in masks.items():
        if isinstance(value := state.get(name), Tensor):
            state[f"{name}_mask"], state[f"{name}_orig"] = mask.to(value), state.pop(name)


def prune_as(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Prunes parameters that were pruned when a state was saved, and makes pruning permanent where they were not.

    Args:
        model: Its modules are changed as :mod:`torch.nn.utils.prune` does.
        state: Parameters and buffers by name.
    """
    for path, module in list(model.named_modules()):
        for parameter, value in list(module._parameters.items()):
            name = f"{path}.{parameter}" if path else parameter
            plain, mask = parameter.removesuffix("_orig"), state.get(f"{name}_mask")
            if isinstance(mask, Tensor) and name not in state and value is not None and mask.shape == value.shape:
                prune.custom_from_mask(module, parameter, mask.to(value))  # type: ignore[no-untyped-call]
            elif plain != parameter and name not in state and name.removesuffix("_orig") in state:
                prune.remove(module, plain)  # type: ignore[no-untyped-call]


def prune_for_good(model: nn.Module) -> None:
    """Takes the masks away; what they pruned stays zero."""
    for _, module, plain in list(_pruned(model)):
        prune.remove(module, plain)  # type: ignore[no-untyped-call]


def share_of_zeros(model: nn.Module) -> float:
    """Of the values of all matrices of a model, those that are zero; between 0 and 1."""
    matrices = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    zeros = sum(int((matrix == 0).sum()) for matrix in matrices)
    return zeros / max(sum(matrix.numel() for matrix in matrices), 1)


def forget_graphs(model: nn.Module) -> None:
    """Detaches what a forward pass has left in pruned modules, which could not be copied."""
    for module in model.modules():
        for parameter in list(module._parameters):
            plain = parameter.removesuffix("_orig")
            if plain != parameter and isinstance(value := getattr(module, plain, None), Tensor):
                setattr(module, plain, value.detach())


@torch.no_grad()
def keep_originals(callback: ModelPruning) -> None:
    """Separates what trains from the values that a lottery ticket is set back to, which Lightning hands out themselves.

    Args:
        callback: On one device with the model they would be trained on, and no reset but the first one do anything.
    """
    for layer in (callback._original_layers or {}).values():
        for number, name in layer["names"]:
            trained = callback._parameters_to_prune[number][0]._parameters.get(f"{name}_orig")
            if trained is not None and trained.data_ptr() == getattr(layer["data"], name).data_ptr():
                trained.data = trained.data.clone()


def _pruned(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """Each pruned parameter: its whole name without masks, its module, and its name there."""
    for path, module in model.named_modules():
        for parameter in list(module._parameters):
            plain = parameter.removesuffix("_orig")
            if plain != parameter and f"{plain}_mask" in module._buffers:
                yield (f"{path}.{plain}" if path else plain), module, plain
