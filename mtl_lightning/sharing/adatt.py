"""AdaTT: each task takes from the experts of all tasks, and adds its own."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.expert_kinds import ExpertKind
from mtl_lightning.sharing.expert_sharing import ExpertSharing
from mtl_lightning.sharing.levels import Group, Level, MakeGate, Plan
from mtl_lightning.sharing.task_parameters import TaskParameters


class FusionLevel(Level):
    """A level whose readers, which read all experts, add their own once more, by weights that no example changes.

    Args:
        kind: What the experts are made of.
        depth: Which level it is, from 0.
        plan: Which experts it has, and who reads them.
        make_gate: Makes the gates.
        name: Of the level, where there are several.
    """

    def __init__(self, kind: ExpertKind, depth: int, plan: Plan, make_gate: MakeGate, name: str = "") -> None:
        super().__init__(kind, depth, plan, make_gate, name)
        native = {reader: _native(size) for reader, size in plan.sizes.items() if size > 1 and reader in plan.reads}
        self.shared_native = native.pop(None, None)
        self.native = TaskParameters({task: weights for task, weights in native.items() if task is not None})

    def native_weights(self, reader: Group) -> nn.Parameter | None:
        """Of a reader's own experts; null: it has one expert, which weighs 1."""
        if reader is None:
            return self.shared_native
        if reader not in self.native:
            return None
        return self.native[reader]

    def weights(self, reader: Group, chosen: Tensor) -> Tensor:
        groups, sizes = list(self.plan.reads[reader]), self.plan.sizes
        before = sum(sizes[group] for group in groups[: groups.index(reader)])
        native = self.native_weights(reader)
        own = chosen.new_ones(1) if native is None else native.to(chosen.dtype)
        return chosen + pad(own, (before, chosen.shape[-1] - before - len(own)))

    def gate_parameters(self, reader: Group) -> list[nn.Parameter]:
        native = self.native_weights(reader)
        return [*super().gate_parameters(reader), *([] if native is None else [native])]


class AdaTT(ExpertSharing):
    r"""Levels at which each task mixes the experts of all tasks, and adds its own.

    At each level :math:`x_t \leftarrow \sum_e g_{te}(x_t) f_e + \sum_{e \in t} v_e f_e` over all experts, of which each
    reads its own task's x, with :math:`g_t(x) = \mathrm{softmax}(W_t x)` and a number :math:`v_e` for each own expert,
    1 where a task has one alone. At first all x are the encoder's features.

    With shared experts it is the paper's general AdaTT: these are one more unit, without a head, which is fused as a
    task is but for the last level. Without, as by default, it is AdaTT-sp.

    Cost: at each of L levels :math:`K E_t + E_s` experts and K gates that read them all, one more below the last level
    where there are shared experts. Perceptrons add all that, in parameters and FLOPs; copies of stages add all but one
    of each level. As each task reads every other's experts, all are computed for any of them.

    Reference: Li et al., "AdaTT: Adaptive Task-to-Task Fusion Network for Multitask Learning in Recommendations" (KDD
    2023), equations 1 to 7; the start of v as in the authors' program. Difference: experts and gates read the features
    of an encoder, where the paper has none but its input. Token features are gated position by position by perceptrons,
    and example by example by copies of stages.

    Helps: where tasks are related in pairs: what a task takes, and from whom, can be read off its gates. Fails: with
    many tasks, as experts grow with their number and are all computed for each. Copies of pretrained stages do not
    start as the encoder was, as the sum is twice as long as its parts.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_task_experts: :math:`E_t`, of each task at each level.
        num_shared_experts: :math:`E_s`, at each level.
        num_levels: L.
        expert_widths: Experts are perceptrons with layers of these widths, with ReLU after each; the heads read the
            last one's. Null: one layer as wide as the encoder's features.
        expert_stages: Experts are the encoder's last n stages and copies of them, n / L at each level, and gates read
            what the stages before make, pooled; leave at least one stage before them where the input is raw, such as
            pixels. Null: they are perceptrons.

    Raises:
        UserError: If there are too few experts or levels, or the widths or stages are out of their range.
    """

    level = FusionLevel

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_task_experts: int = 1,
        num_shared_experts: int = 0,
        num_levels: int = 2,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
    ) -> None:
        at_least(1, "num_task_experts", num_task_experts)
        at_least(0, "num_shared_experts", num_shared_experts)
        super().__init__(
            tasks,
            encoder,
            num_shared_experts,
            num_task_experts,
            expert_widths,
            expert_stages,
            num_levels,
            reads_others=True,
        )


def _native(size: int) -> nn.Parameter:
    bound = size**-0.5
    return nn.Parameter(torch.empty(size).uniform_(-bound, bound))
