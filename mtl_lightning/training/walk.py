"""What a module holds, for what is asked in every step: torch's own generators are slow with many heads."""

from torch import Tensor, nn


def parameters_and_buffers(root: nn.Module, apart: nn.Module | None = None) -> tuple[list[nn.Parameter], list[Tensor]]:
    """The parameters and the buffers of a module and all below it, each once.

    Args:
        root: Where to start.
        apart: A module below whose parameters count and whose buffers do not.

    >>> parameters, buffers = parameters_and_buffers(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    >>> len(parameters), len(buffers)
    (4, 3)
    """
    below, seen = [root], {root}
    parameters: dict[int, nn.Parameter] = {}
    buffers: dict[int, Tensor] = {}
    for module in below:
        for child in module._modules.values():
            if child is not None and child not in seen:
                seen.add(child)
                below.append(child)
        for parameter in module._parameters.values():
            if parameter is not None:
                parameters[id(parameter)] = parameter
        for buffer in module._buffers.values() if module is not apart else ():
            if buffer is not None:
                buffers[id(buffer)] = buffer
    return list(parameters.values()), list(buffers.values())
