"""Counts what a process sends to others, whoever asks for it: this package, or DistributedDataParallel and FSDP2."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mtl_lightning.communication.exchanges import Exchange, Kind

_COLLECTIVES: Mapping[str, tuple[Kind, int]] = {
    "c10d::allreduce_": ("all_reduce", 0),
    "c10d::broadcast_": ("broadcast", 0),
    "c10d::_allgather_base_": ("all_gather", 0),
    "c10d::_reduce_scatter_base_": ("reduce_scatter", 1),
}
"""Operator → what it is, and which of its arguments is all of the data."""
_SENDS, _SENDS_NOTHING = "c10d::send", ("barrier", "wait_tensor", "recv_")


class Sent(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """As a context: looks at every message and collective operation that comes through torch's dispatcher.

    Args:
        num_processes: Of the group.

    Attributes:
        bytes: What a process sends, in the mean over processes; see :meth:`.Exchange.sent`.
    """

    def __init__(self, num_processes: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_processes = num_processes
        self.bytes = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func._schema.name
        if name == _SENDS:
            self.bytes += _size(args[0])
        elif "c10d" in func.namespace and not name.endswith(_SENDS_NOTHING):
            kind, position = _COLLECTIVES[name]
            self.bytes += Exchange(kind, _size(args[position])).sent(self.num_processes)
        return func(*args, **(kwargs or {}))


def _size(data: Tensor | Sequence[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in ([data] if isinstance(data, Tensor) else data))
