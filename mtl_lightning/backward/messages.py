"""Parts of sums over processes, and the gathering of parts, in messages from each process to each other one.

gloo adds up the whole where a part of a sum is asked for, and takes longer to gather parts than their messages take.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

_UNDER_WAY: set["Messages"] = set()
"""Kept until they have arrived: one that is let go of, with a step that is discarded, breaks the connection."""


class Messages:
    """What this process and others send to each other, on its way."""

    def __init__(self) -> None:
        self._works: list[dist.Work | None] = []
        _UNDER_WAY.add(self)

    def exchange(self, other: int, sent: Iterable[Tensor], received: Iterable[Tensor]) -> None:
        """Begins to send to another process, and to write what it sends.

        Args:
            other: Its rank.
            sent: Pieces, to be left alone until ``wait``.
            received: As many and as long as those that it sends.
        """
        self._works += [dist.irecv(piece, other) for piece in received]
        self._works += [dist.isend(piece, other) for piece in sent]

    def wait(self) -> None:
        """Waits for all of it."""
        for work in self._works:
            assert work is not None, "this process belongs to the group"
            work.wait()
        _UNDER_WAY.discard(self)


class PartOfSum:
    """This process's part of a sum over N processes, on its way.

    Args:
        pieces: The vector of this process [P], in pieces that are as long as those of other processes.
        part: Where the part is written [P / N].
    """

    def __init__(self, pieces: Sequence[Tensor], part: Tensor) -> None:
        parts, others = cut(pieces, len(part)), other_ranks()
        self._own, self._messages = parts[dist.get_rank()], Messages()
        self._received = [part, *part.new_empty(len(others) - 1, len(part))]
        for other, received in zip(others, self._received, strict=True):
            self._messages.exchange(other, parts[other], self._like_own(received))

    def wait(self) -> None:
        """Waits for what other processes add."""
        self._messages.wait()
        part, *received = self._received
        for piece, own in zip(self._like_own(part), self._own, strict=True):
            piece += own
        for other in received:
            part += other

    def _like_own(self, part: Tensor) -> tuple[Tensor, ...]:
        return torch.split(part, [len(piece) for piece in self._own])


def gather(part: Tensor, parts: Sequence[Tensor]) -> None:
    """Writes each process's part into the one of ``parts`` that belongs to it."""
    messages = Messages()
    for other in other_ranks():
        messages.exchange(other, [part], [parts[other]])
    parts[dist.get_rank()].copy_(part)
    messages.wait()


def other_ranks() -> list[int]:
    """Of the other processes, the next one first: no two processes begin with the same."""
    here, number = dist.get_rank(), dist.get_world_size()
    return [(here + distance) % number for distance in range(1, number)]


def cut(pieces: Sequence[Tensor], length: int) -> list[list[Tensor]]:
    """A vector in parts of one length, which divides its own.

    Args:
        pieces: The vector, one piece after the other.
        length: Of a part.

    >>> cut([torch.tensor([1, 2, 3]), torch.tensor([4])], 2)
    [[tensor([1, 2])], [tensor([3]), tensor([4])]]
    """
    parts: list[list[Tensor]] = []
    room = 0
    for piece in pieces:
        while len(piece):
            if not room:
                parts.append([])
                room = length
            parts[-1].append(piece[:room])
            piece, room = piece[room:], room - len(parts[-1][-1])
    return parts
