"""Which of the executor's options go together."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, SharpnessAware, Weighting


def check_options(weighting: Weighting, head_gradients: str, gradient_of: object, refresh_every: int | None) -> None:
    """Refuses options that have no meaning for a weighting; see :class:`mtl_lightning.backward.Executor`.

    Raises:
        UserError: Of the first of them.
    """
    name = type(weighting).__name__
    if head_gradients == "weighted" and isinstance(weighting, JacobianWeighting):
        raise UserError(f"`head_gradients: weighted` needs task weights, which {name} has not")
    if isinstance(gradient_of, Sequence) and any(not isinstance(part, str | nn.Parameter) for part in gradient_of):
        if not (isinstance(weighting, JacobianWeighting) and weighting.needs_layers):
            raise UserError(f"`gradient_of`: groups of parameters are for `PerLayer`; put it around {name}")
    elif gradient_of != "shared" and not isinstance(weighting, GramianWeighting):
        raise UserError(f"`gradient_of` is for methods that see the Gramian of the gradients; {name} does not")
    if weighting.batches_per_step > 1 and not isinstance(weighting, GramianWeighting):
        raise UserError(f"{name}: `batches_per_step` above 1 is for methods that see the Gramian of the gradients")
    if weighting.needs_validation_batch and not isinstance(weighting, GramianWeighting):
        raise UserError(f"{name}: `needs_validation_batch` is for methods that see the Gramian of the gradients")
    if gradient_of == "features" and weighting.batches_compared > 1:
        raise UserError(
            f"`gradient_of: features`: {name} compares several batches, whose examples have features of their own; use "
            "`shared`, or a pattern of parameter names"
        )
    if weighting.perturbs_parameters:
        _check_perturbing(weighting, name, gradient_of, refresh_every)
    if refresh_every is not None and refresh_every < 1:
        raise UserError(f"`refresh_every` must be at least 1, found {refresh_every}")
    if refresh_every not in (None, 1) and isinstance(weighting, JacobianWeighting):
        raise UserError(f"`refresh_every` keeps task weights between steps, which {name} has not")


def _check_perturbing(weighting: Weighting, name: str, gradient_of: object, refresh_every: int | None) -> None:
    if not isinstance(weighting, SharpnessAware):
        raise UserError(f"{name}: `perturbs_parameters` is for subclasses of SharpnessAware, which say where to")
    if gradient_of != "shared":
        raise UserError(f"`gradient_of`: {name} moves all shared parameters and sees all their gradients; leave it out")
    if refresh_every not in (None, 1):
        raise UserError(f"`refresh_every`: {name} moves parameters in every step; leave it out")


def check_tasks(weighting: Weighting, own: Mapping[str, object]) -> None:
    """Refuses heads that are not those of the weighting's tasks.

    Raises:
        UserError: With the task.
    """
    if not isinstance(weighting, Weighting):
        raise UserError(
            f"the weighting must be made with the names of the tasks, as UPGrad(['a', 'b']), found {weighting}"
        )
    for task in own:
        if task not in weighting.tasks:
            raise UserError(f"`own`: the weighting has no task {task!r}; {did_you_mean(str(task), weighting.tasks)}")
    for task in weighting.tasks:
        if task not in own:
            raise UserError(f"`own` lacks task '{task}'; give the parameters of its head, or [] if it has none")


def parameters_of(name: str, given: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """The parameters that an argument names.

    Raises:
        UserError: If it names something else, or parameters that have no gradients that can be compared.
    """
    found: list[Any] = list(given) if isinstance(given, Iterable) and not isinstance(given, nn.Module) else [given]
    for parameter in found:
        if not isinstance(parameter, Tensor):
            kind = type(parameter).__name__
            raise UserError(f"`{name}` must hold parameters, as `module.parameters()` returns, found {kind}")
        if is_lazy(parameter):
            raise UserError(f"`{name}` holds a parameter without a shape; run a batch through the model first")
        if parameter.is_complex() and parameter.requires_grad:
            raise UserError(
                f"`{name}` holds a complex parameter; only real ones train: view it by `torch.view_as_real`"
            )
    return list(dict.fromkeys(found))


def check_shared(shared: Collection[nn.Parameter], own: Mapping[str, Collection[nn.Parameter]]) -> None:
    """Refuses shared parameters that hold all heads.

    Raises:
        UserError: If so.
    """
    heads = [set(parameters) for parameters in own.values() if parameters]
    if len(heads) > 1 and all(head <= set(shared) for head in heads):
        raise UserError("`shared` holds the parameters of all heads; give it those of the encoder alone")
