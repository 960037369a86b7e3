"""Sparse gradients, as those of ``nn.Embedding(sparse=True)``: compared as dense ones, written as sparse ones."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_lightning.backward.processes import any_process


class SparseGradients:
    """Remembers of which parameters gradients are sparse.

    A parameter that also has dense gradients, as an embedding that is tied to an output layer, is none of them.
    """

    def __init__(self) -> None:
        self._sparse: set[Tensor] = set()
        self._dense: set[Tensor] = set()

    def __contains__(self, parameter: Tensor) -> bool:
        return parameter in self._sparse and parameter not in self._dense

    def densified(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor | None]) -> Sequence[Tensor | None]:
        """Dense gradients; which of them are sparse is kept in mind."""
        if not self._sparse and not any(gradient is not None and gradient.is_sparse for gradient in gradients):
            return gradients
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                (self._sparse if gradient.is_sparse else self._dense).add(parameter)
        return [g.to_dense() if g is not None and g.is_sparse else g for g in gradients]

    def restored(self, parameters: Sequence[Tensor], gradients: Sequence[Tensor]) -> Sequence[Tensor]:
        """Gradients to write: sparse ones of the parameters that have sparse gradients."""
        if not self._sparse:
            return gradients
        return [_rows(g) if p in self else g for p, g in zip(parameters, gradients, strict=True)]

    def agree(self, parameters: Sequence[Tensor], like: Tensor) -> None:
        """Takes over what other processes have seen of these parameters."""
        for kept in (self._sparse, self._dense):
            seen = any_process([parameter in kept for parameter in parameters], like)
            kept.update(parameter for parameter, anywhere in zip(parameters, seen, strict=True) if anywhere)


def values(gradient: Tensor) -> Tensor:
    """The numbers that a gradient holds, without its zeros."""
    return gradient._values() if gradient.is_sparse else gradient


def _rows(gradient: Tensor) -> Tensor:
    """A sparse tensor of the rows that are not zero."""
    rows = gradient.reshape(len(gradient), -1).any(1).nonzero().squeeze(1)
    return torch.sparse_coo_tensor(
        rows.unsqueeze(0), gradient[rows], gradient.shape, check_invariants=False, is_coalesced=True
    )
