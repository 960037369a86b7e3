"""Which of the executor's options go together."""

from collections.abc import Mapping

from mtl_lightning.errors import UserError, did_you_mean
from mtl_lightning.weighting import GramianWeighting, JacobianWeighting, Weighting


def check_options(weighting: Weighting, head_gradients: str, gradient_of: object, refresh_every: int | None) -> None:
    """Refuses options that have no meaning for a weighting; see :class:`mtl_lightning.backward.Executor`.

    Raises:
        UserError: Of the first of them.
    """
    name = type(weighting).__name__
    if head_gradients == "weighted" and isinstance(weighting, JacobianWeighting):
        raise UserError(f"`head_gradients: weighted` needs task weights, which {name} has not")
    if gradient_of != "shared" and not isinstance(weighting, GramianWeighting):
        raise UserError(f"`gradient_of` is for methods that see the Gramian of the gradients; {name} does not")
    if refresh_every is not None and refresh_every < 1:
        raise UserError(f"`refresh_every` must be at least 1, found {refresh_every}")
    if refresh_every not in (None, 1) and isinstance(weighting, JacobianWeighting):
        raise UserError(f"`refresh_every` keeps task weights between steps, which {name} has not")


def check_tasks(weighting: Weighting, own: Mapping[str, object]) -> None:
    """Refuses heads that are not those of the weighting's tasks.

    Raises:
        UserError: With the task.
    """
    for task in own:
        if task not in weighting.tasks:
            raise UserError(f"`own`: the weighting has no task {task!r}; {did_you_mean(str(task), weighting.tasks)}")
    for task in weighting.tasks:
        if task not in own:
            raise UserError(f"`own` lacks task '{task}'; give the parameters of its head, or [] if it has none")
