"""STEM: each task reads the experts of all tasks, and trains none but its own and the shared ones."""

from collections.abc import Sequence

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.expert_sharing import ExpertSharing


class STEM(ExpertSharing):
    r"""Each task mixes the experts of all tasks; its gradient stops on the way to those of others.

    Task t reads :math:`g_t(x)^\top [f_s(x), f_t(x), \mathrm{sg}(f_u(x)) \text{ for } u \ne t]` with :math:`g_t(x) =
    \mathrm{softmax}(W_t x)`, where x are the encoder's features and sg is the identity, through which no gradient
    passes: neither to an expert of task u nor, by that way, to the encoder.

    Cost: :math:`E_s + K E_t` experts and K gates that read them all. Perceptrons add all those, in parameters and
    FLOPs; copies of stages add all but one. As each task reads every other's experts, all are computed for any of them;
    those of tasks that a batch has no labels for, without a graph.

    Reference: Su et al., "STEM: Unleashing the Power of Embeddings for Multi-Task Recommendation" (AAAI 2024), its
    all-forward task-specific-backward gating. Difference: there each task has embedding tables of its own, which its
    experts and its gate read, and the layers may be stacked. Here a task has experts of its own alone, on features of
    an encoder that all tasks train through their own and the shared experts; with ``expert_stages`` near the number of
    stages, next to all of an encoder is a task's own.

    Helps: where an example means something else for each task: what a task has learned for itself is kept from the
    others, who may still read it. Fails: with many tasks, as experts grow with their number and are all computed for
    each; and where others should train a task's experts, as it has few labels.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_shared_experts: :math:`E_s`.
        num_task_experts: :math:`E_t`, of each task.
        stop_gradient: Whether gradients stop on the way to the experts of others; False for comparison.
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
        stop_gradient: bool = True,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
    ) -> None:
        at_least(0, "num_shared_experts", num_shared_experts)
        at_least(1, "num_task_experts", num_task_experts)
        super().__init__(
            tasks,
            encoder,
            num_shared_experts,
            num_task_experts,
            expert_widths,
            expert_stages,
            reads_others=True,
            stop_gradient=stop_gradient,
        )
