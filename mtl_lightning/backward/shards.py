"""Parameters of which each process holds a part, as FSDP2 shards them.

The gradient of such a parameter is computed as this process's part of the sum over all processes: FSDP2 adds it up in
its backward pass. That of any other parameter is what this process alone has found.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor


def is_sharded(tensor: Tensor) -> bool:
    """Whether this process holds a part of it alone."""
    return isinstance(tensor, DTensor)


def local(tensor: Tensor) -> Tensor:
    """What this process holds of it: a view, whose first dimension may be 0."""
    if not isinstance(tensor, DTensor):
        return tensor
    with torch.no_grad():
        return tensor.to_local()


def whole(tensor: Tensor) -> Tensor:
    """All of it, on each process; all take part."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def placed(part: Tensor, like: Tensor) -> Tensor:
    """What all processes hold together, if this one holds a part of it.

    Args:
        part: Of this process.
        like: What it is a gradient of.
    """
    if not isinstance(like, DTensor):
        return part
    mesh, placements = like.device_mesh, like.placements
    return DTensor.from_local(part, mesh, placements, run_check=False, shape=like.shape, stride=like.stride())


def part(value: Any, like: Any) -> Any:
    """What this process holds of a tensor, as a sharded one, if ``like`` is such a one of its shape; or all of it.

    Args:
        value: The same on each process.
        like: Where it belongs.
    """
    if not (isinstance(like, DTensor) and isinstance(value, Tensor) and value.shape == like.shape):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def parts(values: Mapping[str, Any], like: Mapping[str, Any]) -> Mapping[str, Any]:
    """The same for values by name; if nothing is sharded, the very same."""
    if not any(isinstance(value, DTensor) for value in like.values()):
        return values
    return {name: part(value, like.get(name)) for name, value in values.items()}


def apart(tensors: Sequence[Tensor]) -> tuple[list[int], list[int]]:
    """The places of those that are whole on each process, and of those that are sharded."""
    places: tuple[list[int], list[int]] = ([], [])
    for place, tensor in enumerate(tensors):
        places[is_sharded(tensor)].append(place)
    return places
