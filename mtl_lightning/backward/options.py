"""Which of the executor's options go together."""

from mtl_lightning.errors import UserError
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
