"""Which parameters the tasks share, and by which of them a Gramian method compares the tasks."""

from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any, Literal

from torch import Tensor, nn

from mtl_lightning.encoders import Encoder
from mtl_lightning.errors import UserError
from mtl_lightning.sharing import Sharing
from mtl_lightning.training.losses import Losses

Named = Sequence[tuple[str, nn.Parameter]]


def shared_parameters(encoder: nn.Module, sharing: Sharing) -> list[tuple[str, nn.Parameter]]:
    """Shared parameters of encoder and sharing, with their names."""
    parts = {"encoder": encoder, "sharing": sharing}
    shared = {id(parameter) for parameter in sharing.shared_parameters()}
    named = [(f"{part}.{name}", p) for part, held in parts.items() for name, p in held.named_parameters()]
    return [(name, parameter) for name, parameter in named if id(parameter) in shared]


def own_parameters(
    module: Any, task: str, learnt: Mapping[int, Sequence[nn.Parameter]] = MappingProxyType({})
) -> list[nn.Parameter]:
    """What a task's loss trains that not all tasks' losses do: its head, those of earlier tasks that it reads, and what
    supervision has for it.

    What is in the lists of several tasks is shared by them.

    Args:
        module: The MultiTaskModule.
        task: Name of a task that trains.
        learnt: What an inner loop learns with each parameter, by its id.
    """
    found: list[nn.Parameter] = []
    for name in module.chain.trained_by(task):
        found += [*module.tasks[name].parameters(), *module.chain.link(name).parameters()]
        found += module.sharing.own_parameters(name) if name in module.chain.readers else []
    found += [each for parameter in found for each in learnt.get(id(parameter), ())]
    return [*found, *module.supervision.own_parameters(task)]


def gradient_source(
    gradient_of: str, shared: Named, encoder: Encoder
) -> Literal["shared", "features"] | list[nn.Parameter] | list[Sequence[nn.Parameter]]:
    """What a Gramian method sees the gradients of; of parameters, those that are frozen too.

    Args:
        gradient_of: ``shared``, ``features``, ``layers``, or a pattern of parameter names.
        shared: The shared parameters.
        encoder: Says what its layers are.
    """
    if gradient_of == "layers":
        return list(encoder.layers_by_depth())
    if gradient_of == "shared":
        return "shared"
    if gradient_of == "features":
        return "features"
    return [parameter for name, parameter in shared if fnmatchcase(name, gradient_of)]


def check_gradient_source(gradient_of: str, shared: Named) -> None:
    """Refuses a pattern that matches no shared parameter that trains.

    Raises:
        UserError: Of such a pattern.
    """
    if gradient_of in ("shared", "features", "layers"):
        return
    if not any(fnmatchcase(name, gradient_of) and parameter.requires_grad for name, parameter in shared):
        names = [name for name, parameter in shared if parameter.requires_grad]
        some = f"their names are like '{names[-1]}'" if names else "there are none"
        raise UserError(f"model.gradient_of: '{gradient_of}' matches no shared parameter that trains; {some}")


def common_features(found: Losses, sharing: Sharing) -> list[Tensor]:
    """The differentiable tensors that the tasks have in common, by whose gradients they are compared.

    Args:
        found: What a forward pass found.
        sharing: Made them.

    Raises:
        UserError: If there are none, though shared parameters train.
    """
    features = found.features
    if not features and any(parameter.requires_grad for parameter in sharing.shared_parameters()):
        raise UserError(
            f"model.gradient_of: {type(sharing).__name__} makes no features that all tasks have in common; choose "
            "`shared`, or a pattern of parameter names"
        )
    return features
