"""Parameters that are moved for a while."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Moved:
    """Moves parameters, and puts back bit by bit what they held.

    Args:
        parameters: Which may be moved; their values now are what they are given back.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self._parameters = {id(parameter): parameter for parameter in parameters}
        self._kept = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @contextmanager
    def by(self, parameters: Sequence[nn.Parameter], changes: Sequence[Tensor]) -> Iterator[None]:
        """In this context, some of them are moved.

        Args:
            parameters: Which.
            changes: By how much, one for each.
        """
        kept = [self._kept[id(parameter)] for parameter in parameters]
        try:
            with torch.no_grad():
                torch._foreach_add_([*parameters], [*changes])
            torch.clear_autocast_cache()  # which has the parameters as they were
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_([*parameters], kept)
            torch.clear_autocast_cache()
