"""Soft sharing: an encoder per task, and a loss term that ties them."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from mtl_lightning.errors import UserError
from mtl_lightning.sharing.branches import Branch
from mtl_lightning.sharing.contracts import Encoder
from mtl_lightning.sharing.separate import SeparateEncoders
from mtl_lightning.sharing.trace_norm import trace_norm

Norm = Literal["l2", "trace"]


class SoftSharing(SeparateEncoders):
    r"""Each task has an encoder of its own; a term keeps the encoders near each other.

    With :math:`\theta_t` the parameters of task t's encoder, the term is, times ``coefficient``,

    - ``l2``: :math:`\frac{1}{2} \sum_{s<t} |\theta_s - \theta_t|^2 = \frac{K}{2} \sum_t |\theta_t - \bar\theta|^2`,
      which draws each encoder to the mean :math:`\bar\theta`;
    - ``trace``: :math:`\sum_l |W_l|_*`, where :math:`W_l` [K, D] holds the K encoders' copies of the l-th weight matrix
      (any parameter of at least two dimensions) as rows, and :math:`|\cdot|_*` is the sum of singular values: it makes
      the encoders combinations of few, and short.

    Cost: K times the parameters and FLOPs of hard sharing, as separate encoders; the term takes some arithmetic for
    each parameter and batch, and memory for one more encoder (``l2``) or K (``trace``).

    Reference: Duong et al., "Low Resource Dependency Parsing: Cross-lingual Parameter Sharing in a Neural Network
    Parser" (ACL 2015), for ``l2``; Yang and Hospedales, "Trace Norm Regularised Deep Multi-Task Learning" (ICLR 2017
    workshop), last-axis flattening, for ``trace``. Difference: ``l2`` is summed over all pairs of tasks, where the
    paper has one pair, and ties all parameters, where the paper leaves the embeddings of words free. All encoders start
    from the same parameters, and are trained at once.

    Helps: with few labels for tasks that are alike, of which each still differs everywhere. Fails: the coefficient must
    be tuned; it ties tasks that have nothing in common as much as others (``l2``).

    Args:
        tasks: Names of the K tasks.
        encoder: The model's; it need not be cut into stages.
        coefficient: Of the term, at least 0; 0 is separate encoders.
        norm: ``l2`` or ``trace``.

    Raises:
        UserError: If the coefficient is negative or the norm is none of these.
    """

    reads_parameters = True

    def __init__(self, tasks: Sequence[str], encoder: Encoder, coefficient: float = 0.01, norm: Norm = "l2") -> None:
        super().__init__(tasks, encoder)
        if not 0 <= coefficient < float("inf"):
            raise UserError(f"model.sharing: `coefficient` must be a finite number of at least 0, found {coefficient}")
        if norm not in get_args(Norm):
            raise UserError(f"model.sharing: `norm` must be one of {', '.join(get_args(Norm))}, found '{norm}'")
        self.coefficient = coefficient
        self.norm = norm

    def terms(self) -> dict[str, Tensor]:
        """The term ``soft_sharing``; it depends on the parameters alone."""
        of_matrices = self.norm == "trace"
        tied = [copies for copies in _tied(self.branches) if copies[0].dim() > 1 or not of_matrices]
        if not tied or not self.coefficient:
            return {"soft_sharing": torch.zeros((), device=next(self.encoder.parameters()).device)}
        term = trace_norm([torch.stack(copies).flatten(1) for copies in tied]) if of_matrices else _pairs(tied)
        return {"soft_sharing": self.coefficient * term}


def _tied(branches: nn.ModuleList) -> list[list[Tensor]]:
    """The K tasks' copies of each parameter that one of them trains, in at least single precision."""
    parts = [list(branch.part.parameters()) for branch in branches if isinstance(branch, Branch)]
    trained = [copies for copies in zip(*parts, strict=True) if any(each.requires_grad for each in copies)]
    return [[each.to(torch.promote_types(each.dtype, torch.float32)) for each in copies] for copies in trained]


def _pairs(tied: Sequence[Sequence[Tensor]]) -> Tensor:
    """Half the sum of squared distances over all pairs; by the mean, there is no derivative."""
    terms = []
    for copies in tied:
        with torch.no_grad():
            mean = torch.stack(list(copies)).mean(0)
        terms += [mse_loss(each, mean, reduction="sum") for each in copies]
    return torch.stack(terms).sum() * (len(tied[0]) / 2)
