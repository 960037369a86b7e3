"""MMoE: experts that all tasks share, and a gate for each task."""

from collections.abc import Sequence

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.expert_sharing import ExpertSharing


class MMoE(ExpertSharing):
    r"""Each task reads a mixture of the same experts, with weights of its own for each example.

    Task t reads :math:`\sum_e g_{te}(x) f_e(x)` with :math:`g_t(x) = \mathrm{softmax}(W_t x)`, where x are the
    encoder's features.

    Cost: E experts, computed together, and K gates of :math:`E \times D` parameters. Perceptrons add E times their
    parameters and FLOPs; copies of stages add E - 1 times those. All experts are computed for every task.

    Reference: Ma et al., "Modeling Task Relationships in Multi-task Learning with Multi-gate Mixture-of-Experts" (KDD
    2018), equations 6 and 7. Difference: experts and gates read the features of an encoder, where the paper has none
    but its input. Token features are gated position by position by perceptrons, and example by example by copies of
    stages.

    Helps: where some tasks are related and others are not: gates find out which. Fails: with few labels, when more
    experts overfit. Nothing keeps an expert in use: a gate may settle on one, which the log of expert use shows.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_experts: E.
        expert_widths: Experts are perceptrons with layers of these widths, with ReLU after each; the heads read the
            last one's. Null: one layer as wide as the encoder's features.
        expert_stages: Experts are the encoder's last n stages and copies of them, and gates read what the stages before
            make, pooled; leave at least one stage before them where the input is raw, such as pixels. Null: they are
            perceptrons.

    Raises:
        UserError: If there is no expert, or the widths or stages are out of their range.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_experts: int = 4,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
    ) -> None:
        at_least(1, "num_experts", num_experts)
        super().__init__(tasks, encoder, num_experts, 0, expert_widths, expert_stages)
