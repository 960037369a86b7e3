"""One object of every exported weighting, for what measures or shows them all."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import torch
from torch import Tensor

from mtl_lightning import weighting
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, LossWeighting, Weighting, gramian
from mtl_lightning.weighting.batches import of_equal_batches

MakeWeighting: TypeAlias = Callable[[Sequence[str]], Weighting]

ADAPTED = {"TorchJDAggregator": "UPGrad", "TorchJDScalarizer": "Mean", "TorchJDWeighting": "UPGradWeighting"}
"""The class of TorchJD that stands for all that an adapter takes."""


def _fixed(tasks: Sequence[str]) -> Weighting:
    return weighting.FixedWeighting(tasks, dict.fromkeys(tasks, 1.0))


def _informed(tasks: Sequence[str]) -> Weighting:
    return weighting.PIVRG(tasks, dict.fromkeys(tasks, 1.0))


_WITH_ARGUMENTS: Mapping[str, MakeWeighting] = {
    "FixedWeighting": _fixed,
    "PIVRG": _informed,
    **{name: partial(getattr(weighting, name), name=theirs) for name, theirs in ADAPTED.items()},
}


def exported() -> dict[str, type[Weighting]]:
    """The weightings that the package exports, by name, in alphabetical order; bases are left out."""
    found = {name: getattr(weighting, name) for name in weighting.__all__}
    families = (LossWeighting, GramianWeighting, JacobianWeighting)
    plugins = {name: cls for name, cls in found.items() if inspect.isclass(cls) and issubclass(cls, families)}
    classes = {name: cls for name, cls in plugins.items() if not inspect.isabstract(cls)}
    return dict(sorted(classes.items(), key=lambda item: item[0].lower()))


def maker(name: str) -> MakeWeighting:
    """What makes an exported weighting from task names, with the least of arguments."""
    make: MakeWeighting = _WITH_ARGUMENTS.get(name) or exported()[name]
    return make


def direction(made: Weighting, jacobian: Tensor, losses: Tensor) -> Tensor:
    """What a weighting makes of the gradients of all its tasks [P]: the combined gradient.

    Args:
        made: The weighting.
        jacobian: Gradients, a row a task [K, P].
        losses: [K].
    """
    tasks = torch.arange(len(losses))
    if isinstance(made, JacobianWeighting):
        made.prepare(jacobian.shape[1])
        return made.to(jacobian.dtype)(jacobian, losses, tasks)  # type: ignore[no-any-return]
    if isinstance(made, GramianWeighting):
        weights = of_equal_batches(made, gramian(jacobian), losses.double(), tasks)
        return weights.to(jacobian) @ jacobian
    assert isinstance(made, LossWeighting)
    leaf = losses.detach().requires_grad_()
    return torch.autograd.grad(made(leaf, tasks), leaf)[0].to(jacobian) @ jacobian
