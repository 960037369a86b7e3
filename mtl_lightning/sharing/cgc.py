"""CGC: experts that all tasks share, and some for each task alone."""

from collections.abc import Sequence

from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.ple import PLE


class CGC(PLE):
    r"""Each task reads a mixture of the shared experts and its own, with weights of its own for each example.

    Task t reads :math:`g_t(x)^\top [f_s(x), f_t(x)]` with :math:`g_t(x) = \mathrm{softmax}(W_t x)`, where x are the
    encoder's features.

    Cost: :math:`E_s + K E_t` experts and K gates of :math:`(E_s + E_t) \times D` parameters. Perceptrons add all those,
    in parameters and FLOPs; copies of stages add all but one. Experts of tasks that are not asked for are not computed.

    Reference: Tang et al., "Progressive Layered Extraction (PLE): A Novel Multi-Task Learning (MTL) Model for
    Personalized Recommendations" (RecSys 2020), equations 2 to 4. Difference: experts and gates read the features of an
    encoder, where the paper has none but its input. Token features are gated position by position by perceptrons, and
    example by example by copies of stages.

    Helps: where tasks help and disturb each other at once: what disturbs goes to experts that one task alone trains.
    Fails: with many tasks, as experts grow with their number. A gate may use its own experts alone, and nothing is
    shared behind the encoder; the log of expert use shows it.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_shared_experts: :math:`E_s`; 0: each task has its own experts alone.
        num_task_experts: :math:`E_t`, of each task.
        expert_widths: Experts are perceptrons with layers of these widths, with ReLU after each; the heads read the
            last one's. Null: one layer as wide as the encoder's features.
        expert_stages: Experts are the encoder's last n stages and copies of them, and gates read what the stages before
            make, pooled; leave at least one stage before them where the input is raw, such as pixels. Null: they are
            perceptrons.

    Raises:
        UserError: If there are too few experts, or the widths or stages are out of their range.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_shared_experts: int = 1,
        num_task_experts: int = 1,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
    ) -> None:
        super().__init__(tasks, encoder, num_shared_experts, num_task_experts, 1, expert_widths, expert_stages)
