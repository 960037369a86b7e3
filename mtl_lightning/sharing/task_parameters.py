"""A parameter for each task."""

from collections.abc import Iterator, Mapping
from typing import cast

from torch import Tensor, nn


class TaskParameters(nn.Module):
    """A parameter for each task, by its name.

    Torch's ``ParameterDict`` refuses names that its methods have, such as ``copy`` and ``get``, which tasks may have.

    Args:
        tensors: What each starts as, by task.
    """

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for task, tensor in tensors.items():
            self.register_parameter(task, nn.Parameter(tensor))

    def __contains__(self, task: str) -> bool:
        return task in self._parameters

    def __getitem__(self, task: str) -> nn.Parameter:
        return cast(nn.Parameter, getattr(self, task))

    def values(self) -> Iterator[nn.Parameter]:
        """All of them, in the order in which they were given."""
        return self.parameters()
