"""MLDG: steps on some domains that have to help in another one."""

from torch import Tensor

from mtl_lightning.errors import UserError
from mtl_lightning.inner_loops.base import Episode, Parameters
from mtl_lightning.inner_loops.maml import MAML


class MLDG(MAML):
    r"""Meta-learning for domain generalisation: what lowers the loss in some domains must lower it in another one.

    The loss of a task is that of the support set, and that of the query set where a step on the first leads:

    .. math:: L^{support}(\theta) + \beta L^{query}(\theta - \alpha \nabla L^{support}(\theta))

    Support sets are of other domains than the query set, which ``support`` of :class:`.Episodes` names. The model is
    used as it is, without adaptation: ``evaluated: 0`` says so to evaluations.

    Cost: that of MAML, and one pass of the support set more.

    Reference: Li, Yang, Song and Hospedales, "Learning to Generalize: Meta-Learning for Domain Generalization"
    (AAAI 2018), algorithm 1. Difference: which domain queries come from is drawn by the schedule; ``steps`` may be more
    than 1.

    Args:
        lr: :math:`\alpha`, above 0.
        beta: :math:`\beta`, above 0.
        steps: Number of inner steps, at least 1.
        eval_steps: The same in an evaluation that has episodes; null: as many.
        parameters: Pattern of the names of the parameters that adapt.
        first_order: Whether inner gradients count as constants.
        vectorized: Whether the episodes of a batch adapt at once; see :class:`.InnerLoop`.
        head_lr: Inner learning rate of the heads, above 0; null: ``lr``.
    """

    def __init__(
        self,
        lr: float = 0.01,
        beta: float = 1.0,
        steps: int = 1,
        eval_steps: int | None = None,
        parameters: str = "*",
        first_order: bool = False,
        vectorized: bool = False,
        head_lr: float | None = None,
    ) -> None:
        super().__init__(lr, steps, eval_steps, parameters, first_order, vectorized, head_lr)
        if not 0 < beta < float("inf"):
            raise UserError(f"model.inner_loop.beta must be above 0, found {beta}")
        self.beta = beta

    def loss(self, parameters: Parameters, episode: Episode) -> Tensor:
        after = episode.query(self.steps_on(parameters, episode.support))
        return episode.support(parameters) + self.beta * after
