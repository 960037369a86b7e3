"""LoRA: each task has low-rank matrices of its own inside the shared encoder."""

from collections.abc import Sequence

from torch import nn

from mtl_lightning.sharing.adapting import LowRank, LowRankSharing, OwnLoRA
from mtl_lightning.sharing.adapting.arguments import check_low_rank
from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.contracts import Encoder


class LoRA(LowRankSharing):
    r"""Adds to linear maps of the encoder a product of two thin matrices for each task.

    A map :math:`W x` becomes :math:`W x + \frac{\alpha}{r} B_t A_t x` for task t, and with ``shared_rank``
    :math:`W x + \frac{\alpha}{r} (B_t A_t + B A) x`. All B are zero at the start: training begins at the encoder as it
    is. The matrices train at the learning rate of the heads.

    Cost: r (in + out) parameters for each map and task; the encoder's train only with ``freeze_encoder: false``. A data
    set of one task takes the FLOPs of hard sharing and about 2 r / in more; where an input has K tasks, the stages from
    the first adapted one on run K times, those below once.

    Reference: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (ICLR 2022), equation 3; the matrices
    that all tasks share are those of Agiza et al., "MTLoRA" (CVPR 2024). Difference: none; the layers are not peft's,
    which trains one adapter at a time: to change to another it freezes the first, and it mixes adapters in a batch for
    inference alone. What it reads and writes is peft's format (``model.save_adapters``).

    Helps: with several data sets on a pre-trained encoder: no task can hurt another, and one more task costs less than
    1 % of the encoder. Fails: tasks learn nothing from each other (but for ``shared_rank``), and where an input has
    many tasks, it costs as many passes; then ``MTLoRA`` is cheaper.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        rank: r, the width of each task's matrices.
        alpha: What they add is multiplied by alpha / r, so that r may change without another learning rate.
        dropout: Probability of zeroing what they read.
        shared_rank: Width of matrices that all tasks share beside their own; 0: none. ``gradient_of: '*lora*'``
            compares the tasks by these alone.
        targets: The linear maps, as peft's ``target_modules``: names or ends of names, such as ``query``; a regular
            expression for the whole name; or ``all-linear``. Null: those of attention, or all where there is none.
        freeze_encoder: Whether the encoder's own parameters stay as they are.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        rank: int = 8,
        alpha: float = 16.0,
        dropout: float = 0.0,
        shared_rank: int = 0,
        targets: str | Sequence[str] | None = None,
        freeze_encoder: bool = True,
    ) -> None:
        check_low_rank(alpha, dropout, rank=rank)
        at_least(0, "shared_rank", shared_rank)

        def adapter(linear: nn.Linear) -> LowRank:
            return OwnLoRA(linear, tasks, rank, alpha / rank, dropout, shared_rank)

        super().__init__(tasks, encoder, adapter, targets, freeze_encoder)
