"""Loss terms that keep routers from choosing the same experts for everything."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

_RATE = 0.1
"""Of the running means."""


class Balance(nn.Module):
    r"""A term that is smallest where all experts are chosen equally often, and one that keeps logits small.

    .. math::
        \mathcal{L}_{balance} = \alpha E \sum_e f_e P_e \qquad
        \mathcal{L}_z = \frac{\beta}{T N} \sum_{t, n} \Bigl(\log \sum_e e^{z_{tne}}\Bigr)^2

    Here :math:`f_e` is the share of the choices that fell on expert e, the mean over all tasks, and :math:`P_e` the
    mean of its gate. Of a task that is not in the batch, :math:`f` has a running mean: a task may keep to one expert
    where others use the rest.

    Args:
        tasks: Names of the K tasks.
        num_experts: E.
        balance: :math:`\alpha`.
        z_loss: :math:`\beta`.

    Attributes:
        shares: Running means of the shares of each task's choices that fell on each expert [K, E].
    """

    shares: Tensor

    def __init__(self, tasks: Sequence[str], num_experts: int, balance: float, z_loss: float) -> None:
        super().__init__()
        self._tasks, self._balance, self._z_loss = tuple(tasks), balance, z_loss
        self.register_buffer("shares", torch.full((len(tasks), num_experts), 1 / num_experts))

    def forward(self, logits: Mapping[str, Tensor], chosen: Mapping[str, Tensor], real: Tensor) -> dict[str, Tensor]:
        """The terms, scalars, by name.

        Args:
            logits: Of the tasks in the batch, each [N, E].
            chosen: The share of each expert in what was chosen for a row, each [N, E], 1 in sum.
            real: False for padding [N].
        """
        if not logits:
            return dict.fromkeys(("balance", "router_z"), self.shares.new_zeros(()))
        every = torch.stack(list(logits.values()))
        weights = (real.to(every) / real.sum().clamp(min=1)).unsqueeze(-1)  # products that no autocast rounds
        gates = (weights * every.softmax(-1)).sum(1).mean(0)
        squares = (weights.squeeze(-1) * every.logsumexp(-1).square()).sum(-1).mean()
        used = self._over_all_tasks({task: (weights * each).sum(0) for task, each in chosen.items()})
        return {
            "balance": self._balance * every.shape[-1] * (used.to(gates) * gates).sum(),
            "router_z": self._z_loss * squares,
        }

    @torch.no_grad()
    def _over_all_tasks(self, shares: Mapping[str, Tensor]) -> Tensor:
        """The mean share of each expert [E]; where it counts, it takes note of what is new, each [E]."""
        if not self._balance:
            return torch.zeros_like(self.shares[0])
        now = list(self.shares.unbind())
        for task, share in shares.items():
            number = self._tasks.index(task)
            now[number] = share.to(self.shares)
            self.shares[number].lerp_(now[number], _RATE)
        return torch.stack(now).mean(0)
