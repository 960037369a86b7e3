"""How long a training step takes on N processes, and how long of that it waits for other processes.

Each process computes its own part of a batch. What is known of one task is sent while the next one is computed; what
follows from all tasks is waited for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from mtl_lightning.communication import volumes
from mtl_lightning.communication.exchanges import Exchange
from mtl_lightning.communication.network import Network
from mtl_lightning.communication.volumes import Size, Volume

_BUCKET = 25e6
"""Bytes, as ``DistributedDataParallel`` collects by default."""
_LAYERS = 24


@dataclass(frozen=True)
class Work:
    """What one process computes in a step, in seconds.

    Attributes:
        forward: Of the forward pass of the whole batch.
        backward: Of one backward pass of it.
        data_sets: Among how many data sets batch and tasks are divided, in equal parts. A task's gradient is a backward
            pass of its data set's part of the batch.
    """

    forward: float
    backward: float
    data_sets: int = 1

    @classmethod
    def of(cls, parameters: float, tokens: float, flops: float, data_sets: int = 1) -> "Work":
        """What a transformer takes: two operations a parameter and token forward, four backward.

        Args:
            parameters: Of the encoder.
            tokens: Of all data sets together, in a step of one process.
            flops: Operations a second that are reached.
            data_sets: As above.
        """
        forward = 2 * parameters * tokens / flops
        return cls(forward, 2 * forward, data_sets)

    @property
    def together(self) -> list[float]:
        """Of one backward pass through all losses."""
        return [self.forward + self.backward]

    def by_task(self, num_tasks: int) -> list[float]:
        """Until each task's gradient is there, counted from the one before."""
        parts = min(self.data_sets, num_tasks)
        first = {ceil(part * num_tasks / parts) for part in range(parts)}
        forward, backward = self.forward / parts, self.backward / parts
        return [forward + backward if task in first else backward for task in range(num_tasks)]

    def by_bucket(self, buckets: int) -> list[float]:
        """Until each part of the gradient is there, counted from the one before."""
        part = self.backward / buckets
        return [self.forward + part, *([part] * (buckets - 1))]

    def by_layer(self, layers: int, passes: int) -> list[float]:
        """Of each layer in the forward pass, and in each backward pass."""
        return [self.forward / layers] * layers + [self.backward / layers] * (layers * passes)


@dataclass(frozen=True)
class Step:
    """What is computed, and what is sent.

    Attributes:
        stages: Seconds of computing before each group of ``volume.early`` can be sent; all there are if it has none.
        volume: What is sent.
    """

    stages: Sequence[float]
    volume: Volume


@dataclass(frozen=True)
class StepTime:
    """Seconds of a step.

    Attributes:
        computing: In which the process computes.
        waiting: In which it waits for others.
    """

    computing: float
    waiting: float

    @property
    def total(self) -> float:
        """Of the whole step."""
        return self.computing + self.waiting


def predict(step: Step, network: Network, num_processes: int, overlap: float = 1.0) -> StepTime:
    """How long a step takes.

    Args:
        step: What is computed and sent.
        network: Through which.
        num_processes: N.
        overlap: Share of what is sent early that can be hidden behind computing: 1 where sending needs no processor,
            as between GPUs; 0 where it takes turns with computing, as gloo does where all cores are busy.
    """

    def seconds(exchanges: Sequence[Exchange]) -> float:
        return sum(network.seconds(exchange, num_processes) for exchange in exchanges)

    sent = [seconds(exchanges) for exchanges in step.volume.early]
    computed = free = 0.0
    for stage, sending in zip(step.stages, sent, strict=bool(sent)):
        computed += stage
        free = max(free, computed) + sending
    computing = sum(step.stages)
    waiting = overlap * (max(free, computing) - computing) + (1 - overlap) * sum(sent)
    return StepTime(computing, waiting + seconds(step.volume.late))


def distributed_data_parallel(size: Size, work: Work) -> Step:
    """PyTorch's ``DistributedDataParallel`` on the sum of the losses: gradients are sent in buckets of 25 MB."""
    buckets = max(1, round(size.row / _BUCKET))
    return Step(work.by_bucket(buckets), volumes.distributed_data_parallel(size, buckets))


def plain(size: Size, work: Work) -> Step:
    """A loss weighting, whose gradients are sent once all are there."""
    return Step(work.together, volumes.plain(size))


def rows(size: Size, work: Work) -> Step:
    """A Gramian or Jacobian method, whole rows on every process."""
    return Step(work.by_task(size.tasks), volumes.rows(size))


def scattered_rows(size: Size, work: Work) -> Step:
    """A Gramian method, a part of each row on each process."""
    return Step(work.by_task(size.tasks), volumes.scattered_rows(size))


def features(size: Size, work: Work) -> Step:
    """A Gramian method that compares the gradients of features."""
    return Step(work.together, volumes.features(size))


def known_weights(size: Size, work: Work) -> Step:
    """A step between two times that a Gramian method is asked."""
    return Step(work.together, volumes.known_weights(size))


def sharded_plain(size: Size, work: Work) -> Step:
    """A loss weighting on sharded parameters, in 24 layers."""
    return Step(work.by_layer(_LAYERS, 1), volumes.sharded_plain(size, _LAYERS))


def sharded_rows(size: Size, work: Work) -> Step:
    """A Gramian method on sharded parameters, in 24 layers, with one data set."""
    return Step(work.by_layer(_LAYERS, size.tasks), volumes.sharded_rows(size, _LAYERS))


def sharded_rows_gathered_once(size: Size, work: Work) -> Step:
    """The same where what is gathered is kept until the optimizer steps."""
    return Step(work.by_layer(_LAYERS, size.tasks), volumes.sharded_rows_gathered_once(size, _LAYERS))


def refreshed(asked: StepTime, between: StepTime, every: int) -> StepTime:
    """The mean of steps of which every n-th asks the method, as of ``refresh_every``.

    Args:
        asked: The time of a step that asks.
        between: The time of one that does not; see ``known_weights``.
        every: n.
    """
    share = 1 / every
    computing = share * asked.computing + (1 - share) * between.computing
    return StepTime(computing, share * asked.waiting + (1 - share) * between.waiting)
