"""Separate encoders: every task is learned alone."""

from collections.abc import Sequence

from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.hybrid import HybridSharing


class SeparateEncoders(HybridSharing):
    r"""Each task has an encoder of its own: the single-task model, trained in one run.

    Task t reads :math:`f(x; \theta_t)`. All encoders start from the model's, which serves the first task.

    Cost: K times the parameters and FLOPs of hard sharing; with a data set for each task, its FLOPs.

    Reference: the single-task baseline of Caruana, "Multitask Learning" (Machine Learning 28, 1997), figure 1.
    Difference: one optimizer, schedule and clipping serve all tasks; weightings that compare gradients have none to
    compare, and leave the losses as they are.

    Helps: as the baseline that sharing has to beat, and where tasks have nothing in common and labels in plenty. Fails:
    where labels are few: no task learns from another's.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it need not be cut into stages.
    """

    def __init__(self, tasks: Sequence[str], encoder: Encoder) -> None:
        super().__init__(tasks, encoder, shared_stages=0)
