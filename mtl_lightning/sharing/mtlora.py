"""MTLoRA: one adaptation for all tasks below, and one a task in the last stages."""

from collections.abc import Sequence

from torch import nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.adapting import LowRank, LowRankSharing, OwnLoRA, SharedLoRA
from mtl_lightning.sharing.adapting.arguments import check_low_rank
from mtl_lightning.sharing.adapting.targets import backbone_of, find_targets
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.stages import start_of_last


class MTLoRA(LowRankSharing):
    r"""Adapts the encoder to all tasks together, and its last stages to each.

    Below, a linear map :math:`W x` becomes :math:`W x + \frac{\alpha}{r} B A x` for all tasks; in the last
    ``own_stages`` it becomes :math:`W x + \frac{\alpha}{r} B_t A_t x` for task t.

    Cost: r (in + out) parameters for each linear map below, and for each map and task in the last stages; the encoder's
    train only with ``freeze_encoder: false``. What lies below runs once, whatever the number of tasks; the last stages
    run once a task.

    Reference: Agiza, Neseem and Reda, "MTLoRA: A Low-Rank Adaptation Approach for Efficient Multi-Task Learning" (CVPR
    2024), section 3. Difference: the paper has a task-specific block at the end of each of the four resolutions of a
    vision transformer, whose feature maps the decoders read; here the heads read the last stage alone, so only that one
    is task-specific. It also trains normalisation and position biases; here they are frozen with the rest. It adapts
    the maps of the perceptrons too: ``targets: all-linear``.

    Helps: many tasks on one input: they share nearly all computation and still have layers of their own. Fails: tasks
    that need other features from the first layers on; then ``LoRA``.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it must be cut into stages.
        rank: r, the width of each task's matrices.
        shared_rank: r, the width of the matrices that all tasks share.
        own_stages: How many of the last stages are adapted to each task.
        alpha: What matrices add is multiplied by alpha / r.
        dropout: Probability of zeroing what they read.
        targets: The linear maps, see ``LoRA``.
        freeze_encoder: Whether the encoder's own parameters stay as they are.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        rank: int = 8,
        shared_rank: int = 8,
        own_stages: int = 1,
        alpha: float = 16.0,
        dropout: float = 0.0,
        targets: str | Sequence[str] | None = None,
        freeze_encoder: bool = True,
    ) -> None:
        check_low_rank(alpha, dropout, rank=rank, shared_rank=shared_rank)
        last = encoder.stages[start_of_last("own_stages", own_stages, encoder) :]
        own = {module for stage in last for module in stage.modules()}
        if own.isdisjoint(find_targets(backbone_of(encoder), targets).values()):
            raise UserError(
                f"model.sharing: none of `targets` is in the last stages ({own_stages} of {len(encoder.stages)}), so "
                "that tasks would have nothing of their own; name some there, or raise `own_stages`"
            )

        def adapter(linear: nn.Linear) -> LowRank:
            if linear in own:
                return OwnLoRA(linear, tasks, rank, alpha / rank, dropout)
            return SharedLoRA(linear, shared_rank, alpha / shared_rank, dropout)

        super().__init__(tasks, encoder, adapter, targets, freeze_encoder)
