"""Loss terms that are no task's: they join the objective as they are, whatever the weighting does with the losses."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from mtl_lightning.backward.gradients import Gradients, add, add_terms, detached
from mtl_lightning.backward.step import Setup


class Terms:
    """Adds up the terms of a step, and their gradients where each task's are computed for themselves.

    Args:
        setup: What is trained.
    """

    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._gradients: Gradients = []
        self.values: dict[str, Tensor] = {}
        """Summed over the batches so far, by name, detached."""

    def sum(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Notes the terms of one batch; their sum is differentiable."""
        like, dtype = self._setup.like, self._setup.dtype
        found = {name: term.to(like.device, dtype) for name, term in terms.items()}
        add_terms(self.values, detached(found))
        return torch.stack(list(found.values())).sum()

    def differentiate(self, terms: Mapping[str, Tensor]) -> None:
        """Adds the gradients of the terms of one batch; the graph stays, for the losses that come from it."""
        total = self._setup.scaled({"": self.sum(terms)})[""]
        with self._setup.full_precision():
            found = self._setup.differentiate(total, self._parameters, self._setup.one(), keep_graph=True)
        self._gradients = add(self._gradients, found) if self._gradients else found

    def length(self, like: Tensor) -> Tensor:
        """The sum of lengths of the gradients on this process, a scalar of the type of ``like``."""
        found = [gradient for gradient in self._gradients if gradient is not None]
        return torch.stack(torch._foreach_norm(found)).sum().to(like) if found else like.new_zeros(())

    def write(self, factor: Tensor) -> None:
        """Writes the mean over processes of the gradients, times a factor."""
        if self._gradients:
            self._setup.writer.write_mean(("terms",), self._parameters, self._gradients, factor)

    @property
    def _parameters(self) -> list[nn.Parameter]:
        return [*self._setup.shared, *(parameter for own in self._setup.own.values() for parameter in own)]
