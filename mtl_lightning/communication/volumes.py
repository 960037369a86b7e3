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
        tasks: K; if each has a gradient in each of several batches, their number.
        shared: P, parameters that several tasks train.
        heads: Parameters of all tasks' own parts together.
        bytes: b, of a number of a gradient.
        compared: The shared parameters that tasks are compared by; null: all of them. Otherwise the gradient of all of
            them follows in a second pass.
    """

    tasks: int
    shared: int
    heads: int = 0
    bytes: int = 4
    compared: int | None = None

    @property
    def row(self) -> int:
        """Bytes of one task's gradient of what tasks are compared by."""
        return (self.shared if self.compared is None else self.compared) * self.bytes

    @property
    def gradient(self) -> int:
        """Bytes of a gradient of the shared parameters."""
        return self.shared * self.bytes

    @property
    def of_heads(self) -> int:
        """Bytes of the gradients of the heads."""
        return self.heads * self.bytes


@dataclass(frozen=True)
class Volume:
    """The exchanges of a step.

    Attributes:
        early: Those that begin while the process still computes: groups, each of which follows a part of the computing.
        late: Those that begin when all is computed, and that the step waits for.
    """

    early: Sequence[Sequence[Exchange]]
    late: Sequence[Exchange]

    @property
    def exchanges(self) -> list[Exchange]:
        """All of them."""
        return [exchange for group in self.early for exchange in group] + list(self.late)

    def sent(self, num_processes: int) -> float:
        """Bytes that a process sends."""
        return sum(exchange.sent(num_processes) for exchange in self.exchanges)


def distributed_data_parallel(size: Size, buckets: int = 1) -> Volume:
    """PyTorch's ``DistributedDataParallel`` on the sum of the losses: 2Pb(N-1)/N."""
    bucket = _sum((size.gradient + size.of_heads) / buckets)
    return Volume([[bucket]] * buckets, [])


def plain(size: Size) -> Volume:
    """A loss weighting: 2Pb(N-1)/N."""
    return Volume([], [*_losses(size), _sum(size.gradient + size.of_heads)])


def rows(size: Size) -> Volume:
    """A Gramian or Jacobian method whose rows every process holds whole: 2KPb(N-1)/N."""
    second = [] if size.compared is None else [_sum(size.gradient)]
    return Volume([[_sum(size.row)]] * size.tasks, [*_losses(size), *_length(size), *second, *_heads(size)])


def scattered_rows(size: Size) -> Volume:
    """A Gramian method with a part of each row on each process: (K+1)Pb(N-1)/N, and 16K²(N-1)/N of the Gramian."""
    scattered = [[Exchange("reduce_scatter", size.row)]] * size.tasks
    combined = Exchange("all_gather", size.row) if size.compared is None else _sum(size.gradient)
    return Volume(scattered, [*_losses(size), *_length(size), _gramian(size), combined, *_heads(size)])


def features(size: Size) -> Volume:
    """A Gramian method that compares the gradients of features: 2Pb(N-1)/N, and 16K²(N-1)/N of the Gramian."""
    return Volume([], [*_losses(size), *_length(size), _gramian(size), *_gradient(size)])


def known_weights(size: Size) -> Volume:
    """A step between two times that a Gramian method is asked: 2Pb(N-1)/N."""
    return Volume([], [*_losses(size), *_gradient(size)])


def sharded_plain(size: Size, layers: int = 1) -> Volume:
    """A loss weighting on parameters that are sharded (FSDP2), gathered in forward and backward pass: 3Pb(N-1)/N."""
    return Volume(_sharded(size, layers, 1), [*_losses(size), *_heads(size)])


def sharded_rows(size: Size, layers: int = 1) -> Volume:
    """A Gramian method on sharded parameters: one forward pass, K backward passes: (2K+1)Pb(N-1)/N, and the Gramian."""
    return Volume(_sharded(size, layers, size.tasks), [*_losses(size), *_length(size), _gramian(size), *_heads(size)])


def sharded_rows_gathered_once(size: Size, layers: int = 1) -> Volume:
    """The same where what is gathered is kept until the optimizer steps: (K+1)Pb(N-1)/N, and the Gramian."""
    layer = size.gradient / layers
    gathered, scattered = [[Exchange(kind, layer)] * layers for kind in ("all_gather", "reduce_scatter")]
    early = [[each] for each in gathered + scattered * size.tasks]
    return Volume(early, [*_losses(size), *_length(size), _gramian(size), *_heads(size)])


def _sharded(size: Size, layers: int, passes: int) -> list[list[Exchange]]:
    """Layer by layer, parameters are gathered and, in backward passes, gradients are scattered."""
    layer = size.gradient / layers
    gathered, scattered = Exchange("all_gather", layer), Exchange("reduce_scatter", layer)
    return [[gathered]] * layers + [[gathered, scattered]] * (layers * passes)


def _losses(size: Size) -> list[Exchange]:
    """The mean losses of the tasks, which every weighting sees."""
    return [_sum(size.tasks * size.bytes)]


def _sum(size: float) -> Exchange:
    return Exchange("all_reduce", size)


def _gramian(size: Size) -> Exchange:
    return _sum(_DOUBLE * size.tasks**2)


def _length(size: Size) -> list[Exchange]:
    """What tells whether the gradients of the heads are finite."""
    return [_sum(size.bytes)]


def _gradient(size: Size) -> list[Exchange]:
    return [_sum(size.gradient), *_heads(size)]


def _heads(size: Size) -> list[Exchange]:
    return [_sum(size.of_heads)] if size.heads else []
