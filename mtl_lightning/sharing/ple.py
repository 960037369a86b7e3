"""PLE: levels of shared and task experts, which part from level to level."""

from collections.abc import Sequence

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.expert_sharing import ExpertSharing


class PLE(ExpertSharing):
    r"""Levels of :class:`CGC`, between which a gate of no task carries what all experts have in common.

    At each level task t has :math:`x_t \leftarrow g_t(x_t)^\top [f_s(x_s), f_t(x_t)]`, a mixture of the shared experts
    and its own, with :math:`g(x) = \mathrm{softmax}(W x)`. Below the last level, a shared gate mixes all experts:
    :math:`x_s \leftarrow g_s^\top [f_s, f_1, \ldots, f_K]`. At first all x are the encoder's
    features.

    Cost: at each of L levels :math:`E_s + K E_t` experts and K gates, and a shared gate below the last. Perceptrons add
    all that, in parameters and FLOPs; copies of stages add all but one of each level. As the shared gate reads the
    experts of every task, those below the last level are computed whichever tasks are asked for; at the last level,
    only the shared ones and those of the tasks asked for.

    Reference: Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for
    Personalized Recommendations" (RecSys 2020), equations 5 and 6. Difference: experts and gates read the features of
    an encoder, where the paper has none but its input. Token features are gated position by position by perceptrons,
    and example by example by copies of stages.

    Helps: where tasks help and disturb each other at once: own experts are out of the others' reach. Fails: with many
    tasks, as experts grow with their number. Below the last level other tasks train a task's experts too.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_shared_experts: :math:`E_s`, at each level; 0: nothing is exchanged.
        num_task_experts: :math:`E_t`, of each task at each level.
        num_levels: L; with one it is :class:`CGC`.
        expert_widths: Experts are perceptrons with layers of these widths, with ReLU after each; the heads read the
            last one's. Null: one layer as wide as the encoder's features.
        expert_stages: Experts are the encoder's last n stages and copies of them, n / L at each level, and gates read
            what the stages before make, pooled; leave at least one stage before them where the input is raw, such as
            pixels. Null: they are perceptrons.

    Raises:
        UserError: If there are too few experts or levels, or the widths or stages are out of their range.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_shared_experts: int = 1,
        num_task_experts: int = 1,
        num_levels: int = 2,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
    ) -> None:
        at_least(0, "num_shared_experts", num_shared_experts)
        at_least(1, "num_task_experts", num_task_experts)
        super().__init__(tasks, encoder, num_shared_experts, num_task_experts, expert_widths, expert_stages, num_levels)
