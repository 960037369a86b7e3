"""What the processes of a training step send, for each way of balancing tasks.

K tasks, P shared parameters, N processes, b bytes a number. Formulas are bytes that a process sends in a step.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mtl_lightning.communication.exchanges import Exchange

_DOUBLE = 8
"""Bytes of a number of the Gramian."""


@dataclass(frozen=True)
class Size:
    """What is trained.

    Attributes:
        tasks: K.
        shared: P, parameters that several tasks train.
        heads: Parameters of all tasks' own parts together.
        bytes: b, of a number of a gradient.
    """

    tasks: int
    shared: int
    heads: int = 0
    bytes: int = 4

    @property
    def row(self) -> int:
        """Bytes of one task's gradient of the shared parameters."""
        return self.shared * self.bytes

    @property
    def of_heads(self) -> int:
        """Bytes of the gradients of the heads."""
        return self.heads * self.bytes


@dataclass(frozen=True)
class Volume:
    """The exchanges of a step.

    Attributes:
        by_task: Those that begin as soon as one task's gradients are there, for each task.
        at_end: Those that begin when all of them are there, and that the step waits for.
    """

    by_task: Sequence[Sequence[Exchange]]
    at_end: Sequence[Exchange]

    @property
    def exchanges(self) -> list[Exchange]:
        """All of them."""
        return [exchange for task in self.by_task for exchange in task] + list(self.at_end)

    def sent(self, num_processes: int) -> float:
        """Bytes that a process sends."""
        return sum(exchange.sent(num_processes) for exchange in self.exchanges)


def losses(size: Size) -> list[Exchange]:
    """The mean losses of the tasks, which every weighting sees."""
    return [_sum(size.tasks * size.bytes)]


def plain(size: Size) -> Volume:
    """A weighted sum of the losses, as of a loss weighting: 2Pb(N-1)/N, what DistributedDataParallel sends, too."""
    return Volume([], [*losses(size), _sum(size.row + size.of_heads)])


def rows(size: Size) -> Volume:
    """A Gramian or Jacobian method whose rows every process holds whole: 2KPb(N-1)/N."""
    return Volume([[_sum(size.row)]] * size.tasks, [*losses(size), *_length(size), *_heads(size)])


def scattered_rows(size: Size) -> Volume:
    """A Gramian method with a part of each row on each process: (K+1)Pb(N-1)/N, and 16K²(N-1)/N of the Gramian."""
    scattered = [[Exchange("reduce_scatter", size.row)]] * size.tasks
    combined = Exchange("all_gather", size.row)
    return Volume(scattered, [*losses(size), *_length(size), _gramian(size), combined, *_heads(size)])


def features(size: Size) -> Volume:
    """A Gramian method that compares the gradients of features: 2Pb(N-1)/N, and 16K²(N-1)/N of the Gramian."""
    return Volume([], [*losses(size), *_length(size), _gramian(size), *_gradient(size)])


def known_weights(size: Size) -> Volume:
    """A step between two times that a Gramian method is asked: 2Pb(N-1)/N."""
    return Volume([], [*losses(size), *_gradient(size)])


def sharded_plain(size: Size, parameter_bytes: int = 4) -> Volume:
    """A loss weighting on parameters that are sharded (FSDP2), gathered in forward and backward pass: 3Pb(N-1)/N."""
    gathered = Exchange("all_gather", size.shared * parameter_bytes)
    return Volume([[gathered, gathered, Exchange("reduce_scatter", size.row)]], [*losses(size), *_heads(size)])


def sharded_rows(size: Size, parameter_bytes: int = 4) -> Volume:
    """A Gramian method on sharded parameters: one forward pass, K backward passes: (2K+1)Pb(N-1)/N, and the Gramian."""
    gathered = Exchange("all_gather", size.shared * parameter_bytes)
    backward = [gathered, Exchange("reduce_scatter", size.row)]
    by_task = [[gathered, *backward], *([backward] * (size.tasks - 1))]
    return Volume(by_task, [*losses(size), *_length(size), _gramian(size), *_heads(size)])


def _sum(size: float) -> Exchange:
    return Exchange("all_reduce", size)


def _gramian(size: Size) -> Exchange:
    return _sum(_DOUBLE * size.tasks**2)


def _length(size: Size) -> list[Exchange]:
    """What tells whether the gradients of the heads are finite."""
    return [_sum(size.bytes)]


def _gradient(size: Size) -> list[Exchange]:
    return [_sum(size.row), *_heads(size)]


def _heads(size: Size) -> list[Exchange]:
    return [_sum(size.of_heads)] if size.heads else []
