"""Top-k routing: each example goes to the few experts that the task's router chooses for it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.arguments import at_least
from mtl_lightning.sharing.balance import Balance
from mtl_lightning.sharing.base import Sharing
from mtl_lightning.sharing.contracts import Compilable, Encoder, Inputs, Representation
from mtl_lightning.sharing.dispatch import Dispatch, with_zeros
from mtl_lightning.sharing.expert_kinds import kind_of
from mtl_lightning.sharing.gates import mixture
from mtl_lightning.sharing.observing import ExpertUse
from mtl_lightning.sharing.routers import Choice, Router, prefer_own
from mtl_lightning.sharing.rows import Rows


class TopKRouting(Sharing):
    r"""Each example is read by the k experts that its task's router chooses; no other expert computes anything for it.

    Task t reads :math:`\sum_{e \in \mathrm{top}_k} g_e E_e(x)` with :math:`g = \mathrm{softmax}(W_t x + b_t)`. With k =
    all, that is MMoE. The term ``balance`` keeps the use of the experts even: :math:`\alpha E \sum_e f_e P_e`, where
    :math:`f_e` is the share of all tasks' choices that fell on expert e, and :math:`P_e` the mean of its gate in the
    batch. So a task may keep to one expert where others use the rest. The term ``router_z`` keeps logits z small:
    :math:`\beta` times the mean of :math:`(\log \sum_e e^{z_e})^2`.

    Features are routed one by one: ``pooled`` by example, ``tokens`` by position, padding nowhere. Copies of stages are
    routed by example, by the pooled vector of the state that they read. An expert that two tasks choose for the same
    example computes it once.

    Cost: E times the parameters of one expert; the arithmetic of k of them, with several tasks on the same inputs that
    of those that any task chooses. On an accelerator the host waits once a forward pass, for the number of examples of
    each expert.

    Reference: Shazeer et al., "Outrageously Large Neural Networks: The Sparsely-Gated Mixture-of-Experts Layer" (ICLR
    2017), section 2; gates as in Fedus et al., "Switch Transformers" (JMLR 2022), equations 1 and 2, balance as in
    equations 4 to 6; the second term is equation 5 of Zoph et al., "ST-MoE" (2022); a router per task as in Chen et
    al., "Mod-Squad" (CVPR 2023). Difference: experts have no capacity, so that no example is dropped. The balance is
    that of all tasks together. Gates are those of the softmax over all experts, for any k. Noise has a fixed scale, and
    changes the choice alone, so that gates are the same in evaluation.

    Helps: where inputs or tasks fall into groups that nobody has named, and a larger model is wanted at the cost of a
    smaller one. Fails: an example that few others are like trains its expert alone: small data sets are spread thin.
    With k = 1 the choice of the first steps tends to stay: on toy problems, routers found two groups of tasks from
    all of five starts with ``noise: 1``, from four with 0.125.

    Args:
        tasks: Names of the K tasks.
        encoder: The model's.
        num_experts: E; ``tasks`` for a branch per task, to which that task gives three quarters of its weight at the
            start, and which others may choose.
        k: How many experts read an example.
        expert_widths: Widths of the layers of perceptrons on the features; null: one as wide as they are.
        expert_stages: How many of the encoder's last stages are copied instead; null: experts are perceptrons.
        balance: :math:`\alpha`, how much an even use of the experts counts; 0 for not at all.
        z_loss: :math:`\beta`, how much small logits count, which keep routers stable in low precision; 0 for not at
            all.
        noise: Standard deviation of noise on the logits by which experts are chosen in training, so that others are
            tried.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        encoder: Encoder,
        num_experts: int | Literal["tasks"] = 8,
        k: int = 1,
        expert_widths: Sequence[int] | None = None,
        expert_stages: int | None = None,
        balance: float = 0.01,
        z_loss: float = 0.001,
        noise: float = 0.1,
    ) -> None:
        super().__init__(tasks, encoder)
        number = len(self.tasks) if num_experts == "tasks" else num_experts
        _check_numbers(number, k)
        for name, value in {"balance": balance, "z_loss": z_loss, "noise": noise}.items():
            at_least(0, name, value)
        self.kind = kind_of(encoder, expert_widths, expert_stages)
        self.features, self.carries_maps = self.kind.features, self.kind.carries_maps
        self.num_experts, self.k = number, k
        self.experts = self.kind.make(0, number, with_original=True)
        self.routers = nn.ModuleDict({task: Router(self.kind.width(0), number, k, noise) for task in self.tasks})
        if num_experts == "tasks":
            prefer_own(list(self.routers.values()))  # type: ignore[arg-type]
        self.balance = Balance(self.tasks, number, balance, z_loss)
        names = self.tasks if num_experts == "tasks" else [f"shared_{i}" for i in range(number)]
        # all in `own`: an expert that one task alone chooses costs the others nothing
        self.use = ExpertUse(dict.fromkeys(names, self.tasks), own=names, balanced=num_experts != "tasks")
        self._terms: dict[str, Tensor] = {}

    def encode(self, inputs: Inputs) -> Any:
        return self.kind.encode(inputs)

    def share(self, encoded: Any, tasks: Sequence[str]) -> dict[str, Representation]:
        rows = Rows(self.kind, encoded)
        logits = {task: self._router(task)(rows.vectors) for task in tasks}  # each has gradients of its own
        choices = {task: self._router(task).choose(each) for task, each in logits.items()}
        if self.training:
            self._learn(rows, logits, choices)
        if not tasks:
            return {}
        wanted = torch.stack([choice.counts(self.num_experts) for choice in choices.values()]).bool().any(0)
        dispatch = Dispatch(wanted & rows.real.unsqueeze(-1))
        made = with_zeros(self.experts.routed(rows.values, dispatch))
        return {
            task: rows.end(mixture(choice.gates, [dispatch.pick(made, choice.experts)]))
            for task, choice in choices.items()
        }

    def _learn(self, rows: Rows, logits: Mapping[str, Tensor], choices: Mapping[str, Choice]) -> None:
        """Finds the terms of a batch, and notes what experts are used for."""
        reached = [rows.vectors, *self.routers.parameters()]
        zero = torch.cat([tensor.flatten()[:0] for tensor in reached]).sum()  # also by routers that nobody asked
        shares = {task: choice.counts(self.num_experts) / self.k for task, choice in choices.items()}
        for task, share in shares.items():
            self.use.note(task, share, rows.real, of_entropy=logits[task].softmax(-1))
        self._terms = {name: term + zero for name, term in self.balance(logits, shares, rows.real).items()}

    def _router(self, task: str) -> Router:
        return self.routers[task]  # type: ignore[return-value]

    def own_parameters(self, task: str) -> list[nn.Parameter]:
        return list(self.routers[task].parameters())

    def terms(self) -> dict[str, Tensor]:
        return self._terms

    def copies(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        return self.experts.copies()

    def compiled_parts(self) -> Sequence[Compilable]:
        return [*self.kind.compiled_parts(), *(stage for copy, _ in self.copies() for stage in copy.children())]

    def __getstate__(self) -> dict[str, Any]:
        """For copies, which have seen no batch."""
        return {**super().__getstate__(), "_terms": {}}  # type: ignore[no-untyped-call]


def _check_numbers(num_experts: int, k: int) -> None:
    at_least(1, "num_experts", num_experts)
    if not 1 <= k <= num_experts:
        raise UserError(
            f"model.sharing: `k` must be from 1 to the number of experts, {num_experts}, found {k}; lower it, or raise "
            "`num_experts`"
        )
