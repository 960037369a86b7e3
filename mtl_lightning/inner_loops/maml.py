"""MAML, its first-order approximation, and ANIL."""

from torch import Tensor

from mtl_lightning.inner_loops.base import Episode, InnerLoop, Loss, Parameters, gradients_of


class MAML(InnerLoop):
    r"""Model-agnostic meta-learning: gradient steps on the support set, and the loss of the query set after them.

    The loss of a task is :math:`L^{query}(\phi)`, with :math:`\phi = \theta - \alpha \nabla L^{support}(\theta)`
    repeated ``steps`` times, and it is differentiated by :math:`\theta` through these steps.

    Cost: 2 + ``steps`` passes of an episode's examples and second derivatives; memory grows with ``steps``.
    Difference from the paper: what follows from the weighting, for any may stand where the paper adds the tasks up.

    Reference: Finn, Abbeel and Levine, "Model-Agnostic Meta-Learning for Fast Adaptation of Deep Networks" (ICML 2017),
    algorithm 2.

    Args:
        lr: :math:`\alpha`, above 0.
        steps: Number of inner steps, at least 1.
        eval_steps: The same in an evaluation; null: as many.
        parameters: Pattern of the names of the parameters that adapt, such as ``heads.*`` or ``*lora*``.
        first_order: Whether inner gradients count as constants (:class:`FOMAML`): cheaper, and no second derivatives.
        vectorized: Whether the episodes of a batch adapt at once; see :class:`.InnerLoop`.
        head_lr: Inner learning rate of the heads, above 0; null: ``lr``.
    """

    def __init__(
        self,
        lr: float = 0.01,
        steps: int = 1,
        eval_steps: int | None = None,
        parameters: str = "*",
        first_order: bool = False,
        vectorized: bool = False,
        head_lr: float | None = None,
    ) -> None:
        super().__init__(lr, steps, eval_steps, parameters, vectorized, head_lr)
        self.second_order = not first_order

    def loss(self, parameters: Parameters, episode: Episode) -> Tensor:
        return episode.query(self.steps_on(parameters, episode.support))

    def steps_on(self, parameters: Parameters, support: Loss) -> dict[str, Tensor]:
        """Parameters after the inner steps, as functions of those before."""
        current = dict(parameters)
        for _ in range(self.steps):
            gradients = gradients_of(support(current), current, self.second_order)
            current = {name: value - self.rate(name) * gradients[name] for name, value in current.items()}
        return current


class FOMAML(MAML):
    r"""MAML to first order: the gradient of the query set's loss at the adapted parameters.

    Cost: as many passes as MAML has, without second derivatives.

    Reference: Finn, Abbeel and Levine (ICML 2017), section 5.2; named by Nichol, Achiam and Schulman, "On First-Order
    Meta-Learning Algorithms" (2018), section 4. Difference: nothing.

    Args:
        lr: Inner learning rate, above 0.
        steps: Number of inner steps, at least 1.
        eval_steps: The same in an evaluation; null: as many.
        parameters: Pattern of the names of the parameters that adapt.
        vectorized: Whether the episodes of a batch adapt at once; see :class:`.InnerLoop`.
        head_lr: Inner learning rate of the heads, above 0; null: ``lr``.
    """

    def __init__(
        self,
        lr: float = 0.01,
        steps: int = 1,
        eval_steps: int | None = None,
        parameters: str = "*",
        vectorized: bool = False,
        head_lr: float | None = None,
    ) -> None:
        super().__init__(lr, steps, eval_steps, parameters, True, vectorized, head_lr)


class ANIL(MAML):
    """Almost no inner loop: MAML whose heads alone adapt.

    Cost: one pass of an episode's examples through the encoder, whatever ``steps`` is, for inner steps do not reach it.

    Reference: Raghu, Raghu, Bengio and Vinyals, "Rapid Learning or Feature Reuse? Towards Understanding the
    Effectiveness of MAML" (ICLR 2020), section 4. Difference: nothing.

    Args:
        lr: Inner learning rate, above 0.
        steps: Number of inner steps, at least 1.
        eval_steps: The same in an evaluation; null: as many.
        first_order: Whether inner gradients count as constants.
        vectorized: Whether the episodes of a batch adapt at once; see :class:`.InnerLoop`.
    """

    def __init__(
        self,
        lr: float = 0.1,
        steps: int = 1,
        eval_steps: int | None = None,
        first_order: bool = False,
        vectorized: bool = False,
    ) -> None:
        super().__init__(lr, steps, eval_steps, "heads.*", first_order, vectorized)
