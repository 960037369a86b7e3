"""What the executor does between processes. On one process, nothing."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import get_error_handler
from torch.nn.parallel import DistributedDataParallel

from mtl_lightning.backward.messages import PartOfSum, gather
from mtl_lightning.backward.shards import is_sharded
from mtl_lightning.backward.traffic import TRAFFIC

_FAKE = "fake"
_LEAST_PART = {"nccl": 1 << 17, _FAKE: 1 << 17, "gloo": 1 << 21}
"""Bytes that are worth a message of their own, by backend: as many as are sent in the time that an empty one takes."""

_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
"""Their names since torch 2.13."""


def num_processes() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that says what all have found."""
    return num_processes() == 1 or dist.get_rank() == 0


def mean_over_processes(values: Tensor) -> Tensor:
    """Writes the mean over all processes into ``values``."""
    if (number := num_processes()) > 1:
        TRAFFIC.count("all_reduce", values.nbytes, number)
        dist.all_reduce(values)
        values /= number
    return values


def summed(values: Tensor) -> Tensor:
    """Writes the sum over all processes into ``values``."""
    sums = Sums()
    sums.start(values)
    sums.wait()
    return values


def gathered(part: Tensor) -> Tensor:
    """All processes' parts [P / N], the first one's first [P]."""
    number = num_processes()
    values = part.new_empty(number * len(part))
    TRAFFIC.count("all_gather", values.nbytes, number)
    if takes_pieces():
        gather(part, torch.split(values, len(part)))
    else:
        _all_gather(values, part)
    return values


def adds_up_parts_sooner(bytes_in_all: int, device: torch.device) -> bool:
    """Whether it pays to leave each process a part of a sum over processes, and to gather what is made of the parts.

    That sends about half as many bytes. It takes as many messages as there are other processes, though, where a whole
    sum takes few, so that parts have to be of some size. gloo sends messages between hosts alone.
    """
    number = num_processes()
    if number == 1 or (backend := dist.get_backend()) not in _LEAST_PART:
        return False
    return bytes_in_all / number >= _LEAST_PART[backend] and (device.type == "cpu" or not takes_pieces())


def takes_pieces() -> bool:
    """Whether parts are exchanged in messages, so that what is sent may lie in pieces; see ``messages``."""
    return bool(dist.get_backend() == "gloo")


@contextmanager
def imagined(number: int) -> Iterator[None]:
    """A group of so many processes on GPUs, of which this one alone is there: what it exchanges gets nowhere."""
    import torch.testing._internal.distributed.fake_pg as fake  # which makes the kind of group known

    dist.init_process_group(_FAKE, rank=0, world_size=number, store=fake.FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


class Sums:
    """Sums over all processes that are on their way while this process computes."""

    def __init__(self) -> None:
        self._works: list[dist.Work | PartOfSum] = []

    def start(self, *values: Tensor) -> None:
        """Begins to write the sums over all processes into ``values``, which must be left alone until ``wait``."""
        if (number := num_processes()) > 1:
            for value in values:
                TRAFFIC.count("all_reduce", value.nbytes, number)
                work = dist.all_reduce(value, async_op=True)
                assert work is not None, "this process belongs to the group"
                self._works.append(work)

    def start_parts(self, pieces: Sequence[Tensor], part: Tensor) -> None:
        """Begins to write this process's part [P / N] of the sums over N processes of a vector into ``part``.

        Args:
            pieces: The vector [P], one piece after the other; more than one where ``takes_pieces``.
            part: Where to write.
        """
        TRAFFIC.count("reduce_scatter", sum(piece.nbytes for piece in pieces), num_processes())
        if takes_pieces():
            self.wait()  # messages follow each other anyway; this way, those of one vector at most take memory
            self._works.append(PartOfSum(pieces, part))
            return
        (values,) = pieces
        work = _reduce_scatter(part, values, async_op=True)
        assert work is not None, "this process belongs to the group"
        self._works.append(work)

    def wait(self) -> None:
        """Waits for all that was started; on a GPU, its stream does."""
        for work in self._works:
            work.wait()
        self._works.clear()


class Agreement:
    """Lets all processes know one step later what one of them wants. It works on hosts alone: no device waits."""

    def __init__(self) -> None:
        self._group = dist.new_group(backend="gloo") if num_processes() > 1 else None
        self._sent: tuple[dist.Work, Tensor] | None = None

    def exchange(self, wish: int) -> int:
        """Hands in this process's wish, and returns the greatest of those that were handed in the time before.

        Args:
            wish: 0 for none. On a single process it is returned at once.
        """
        if self._group is None:
            return wish
        agreed = 0
        if self._sent is not None:
            work, value = self._sent
            work.wait()
            agreed = int(value)
        value = torch.tensor(wish)
        work = dist.all_reduce(value, dist.ReduceOp.MAX, group=self._group, async_op=True)
        assert work is not None, "this process belongs to the group"
        self._sent = work, value
        return agreed


def any_process(flags: Sequence[bool], like: Tensor) -> list[bool]:
    """Element by element, whether a process has a true flag.

    Args:
        flags: One for each question.
        like: A tensor on the device through which processes talk.
    """
    return [value > 0 for value in mean_over_processes(like.new_tensor([float(flag) for flag in flags])).tolist()]


def take_over_reduction(model: object) -> None:
    """Switches DDP's own gradient reduction off, since the executor does it.

    DDP allows one backward pass a step, waits for parameters that a step does not use, and does not see gradients that
    ``torch.autograd.grad`` returns.
    """
    if isinstance(model, DistributedDataParallel):
        model.require_backward_grad_sync = False


def synchronise_buffers(modules: Iterable[nn.Module]) -> None:
    """Gives all processes the first one's floating-point buffers (running statistics of BatchNorm), as DDP would."""
    if (number := num_processes()) > 1:
        for buffer in (buffer for module in modules for buffer in module.buffers()):
            if buffer.is_floating_point():
                TRAFFIC.count("broadcast", buffer.nbytes, number)
                dist.broadcast(buffer, src=0)


def synchronise_parameters(parameters: Iterable[nn.Parameter]) -> None:
    """Gives all processes the first one's values, as DDP does when training starts, of parameters that came later.

    Sharded ones are left alone: each process holds values of its own.
    """
    if num_processes() > 1:
        for parameter in parameters:
            if not is_sharded(parameter):
                dist.broadcast(parameter.data, src=0)


class Board:
    """A few short texts that all processes can read, whatever else they wait for; see :class:`.stopping.pulse.Board`.

    It is the store through which the processes have found each other, by a connection of its own, which waits long.
    """

    def __init__(self) -> None:
        self._store = dist.distributed_c10d._get_default_store().clone()  # type: ignore[attr-defined]  # no stub
        self._store.set_timeout(timedelta(days=1))

    def write(self, key: str, text: str) -> None:
        """Puts a text there."""
        self._store.set(_PREFIX + key, text)

    def write_first(self, key: str, text: str) -> None:
        """Puts a text there unless there is one."""
        self._store.compare_set(_PREFIX + key, "", text)

    def read(self, key: str) -> str | None:
        """A text; null: there is none."""
        return self._store.get(_PREFIX + key).decode() if self._store.check([_PREFIX + key]) else None


_PREFIX = "mtl_lightning/"

WAITS_IN = ("torch.distributed", __name__, PartOfSum.__module__)
"""Modules whose functions wait for other processes."""


def rank() -> int:
    """Number of this process among those that train together."""
    return dist.get_rank() if num_processes() > 1 else 0


def abandon(error: BaseException) -> None:
    """Of a process that fails: tells ``torchrun`` why, and breaks off what a GPU has begun with other processes.

    What waits on the GPU for a process that does not come would keep this one from ending.
    """
    if "TORCHELASTIC_ERROR_FILE" in os.environ:
        get_error_handler().record_exception(error)
    if num_processes() > 1 and dist.get_backend() == "nccl":
        with suppress(RuntimeError):
            dist.distributed_c10d._abort_process_group()
