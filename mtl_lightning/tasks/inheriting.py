"""What a task takes over from a trained one."""

from collections.abc import Mapping

from torch import Tensor, nn


def fitting(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state that another one has under the same names, in the same shapes."""
    return {name: value for name, value in state.items() if name in own and own[name].shape == value.shape}


def output_layer(head: nn.Module | None) -> list[str]:
    """Names of the parameters of a head's last linear map, as the state of its task calls them."""
    layers = (
        [name for name, module in head.named_modules() if isinstance(module, nn.Linear)] if head is not None else []
    )
    return [".".join(filter(None, ("head", *layers[-1:], part))) for part in ("weight", "bias")]
