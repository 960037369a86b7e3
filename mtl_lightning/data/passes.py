"""Passes over one data set: shuffled, cut into batches of similar length, without end."""

from collections.abc import Iterator, Sequence
from copy import copy
from itertools import islice
from typing import NamedTuple

import numpy as np

_SIGNIFICANT_BITS = 5


class Rest(NamedTuple):
    """What is left of a pass.

    Attributes:
        turn: Number of the pass, from 0.
        rows: That are left of it, in ascending order.
    """

    turn: int
    rows: np.ndarray


class Passes:
    """Batches of all processes together; a pass shows no example twice.

    The sizes of the batches of a pass are those of every other pass. A last batch with fewer rows than processes is
    left out; which rows that concerns, fewer than ``num_replicas``, differs from pass to pass. A last batch of which a
    process would get a single row, which batch normalisation refuses, takes rows of the one before it: of 17 rows in
    batches of 8, the last two have 7 and 2. Only where that one has none to spare (``batch_size`` 2, say) it stays.

    Without ``max_tokens``, each stretch of ``bucket`` batches of a permutation is sorted by length and cut into batches
    of ``batch_size`` rows a process. With it, all rows are sorted by their lengths rounded up to 5 significant bits,
    the longest first and those that are equal in random order, and each batch takes as many as ``batch_size`` and
    ``max_tokens`` let every process have. Either way the batches come in random order.

    Args:
        lengths: Length of each example [N], at most ``max_tokens``.
        batch_size: Largest number of rows of a batch that a process gets.
        num_replicas: Number of processes.
        bucket: Number of batches to sort together.
        max_tokens: Largest padded size of what a process gets of a batch; null: any.
        drop_last: Leave out a last batch that is not full, other rows in each pass.
        packed: Whether ``max_tokens`` is of the sum of lengths, since batches are packed and not padded.

    Attributes:
        sizes: Number of rows of each batch of a pass, of all processes.
        lent: Number of rows that the last batch takes of the one before it; it depends on the number of processes.
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        num_replicas: int,
        bucket: int,
        max_tokens: int | None,
        drop_last: bool = False,
        packed: bool = False,
    ) -> None:
        self.packed = packed
        self.num_replicas = num_replicas
        self.batch_size = batch_size
        self.stretch = batch_size * num_replicas * bucket
        self.max_tokens = max_tokens
        self.drop_last = drop_last
        self._take(
            np.arange(len(lengths)), lengths if max_tokens is None else np.minimum(rounded_up(lengths), max_tokens)
        )

    def _take(self, rows: np.ndarray, lengths: np.ndarray) -> None:
        self.rows, self.lengths = rows, lengths
        self.sizes = self._sizes(self.batch_size, self.drop_last)
        self.lent = _lent(self.sizes, 2 * self.num_replicas)
        if self.lent:
            self.sizes[-2:] += [-self.lent, self.lent]

    def _of(self, rows: np.ndarray) -> "Passes":
        """The same over some of the rows."""
        part = copy(self)
        part._take(rows, self.lengths[rows])
        return part

    def draws(
        self, sizes: Sequence[int], skip: int, key: Sequence[int], rest: Rest | None = None
    ) -> Iterator[np.ndarray]:
        """What is drawn in an epoch, pass after pass, each shuffled anew.

        Batches that are drawn at once are neighbours in length, so that they are padded little when they are joined.

        Args:
            sizes: Number of batches of each draw, at least 1.
            skip: Number of draws to leave out at the start.
            key: Of the random numbers.
            rest: What the epoch begins with, where its start was cut into other batches.

        Yields:
            The rows of a draw.
        """
        course = _Course(self, sizes, rest)
        after = np.searchsorted(course.edges, course.ends)
        first = int(after[skip - 1]) if skip else 0
        pieces = course.pieces(first, key)
        for num_pieces in np.diff(after[skip:], prepend=first):
            yield np.concatenate([next(pieces) for _ in range(num_pieces)])

    def rest(self, sizes: Sequence[int], number: int, key: Sequence[int], rest: Rest | None = None) -> Rest:
        """What is left of the pass under way after some draws.

        Args:
            sizes: As of :meth:`draws`.
            number: Of draws.
            key: As of :meth:`draws`.
            rest: As of :meth:`draws`.
        """
        if number == 0:
            return rest or Rest(0, self.rows)
        course = _Course(self, sizes, rest)
        end = int(course.ends[number - 1])
        turn = course.turn_at(end)
        first, last = np.searchsorted(course.edges, [course.starts(turn), end])
        seen = [np.empty(0, dtype=np.int64), *islice(course.pieces(int(first), key), last - first)]
        return Rest(course.turn + turn, np.setdiff1d(course.passes(turn).rows, np.concatenate(seen)))

    def shuffled(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """All rows of a pass, similar lengths next to each other, and where each batch starts, with the end."""
        sizes = self.sizes
        rows = random.permutation(len(self.lengths))[: sizes.sum()]
        if self.max_tokens is None:
            stretch = np.arange(len(rows)) // self.stretch
            lengths = np.where(stretch % 2, -self.lengths[rows], self.lengths[rows])  # up and down: no jumps in between
            rows = rows[np.lexsort((lengths, stretch))]
            sizes = np.roll(sizes, random.integers(len(sizes)) + 1)  # the smaller batch, if any, has rows of any length
        else:
            rows = rows[np.argsort(-self.lengths[rows], kind="stable")]
        return self.rows[rows], np.concatenate([[0], np.cumsum(sizes)])

    def _sizes(self, batch_size: int, drop_last: bool) -> np.ndarray:
        """Cut from the longest to the shortest, so that the sizes fit as well where rows are left out."""
        longest_first, sizes, start = np.sort(self.lengths)[::-1], [], 0
        while (left := len(longest_first) - start) >= self.num_replicas:
            size = self._most(longest_first[start : start + batch_size * self.num_replicas], batch_size)
            if drop_last and left < size * self.num_replicas:
                break
            sizes.append(min(size * self.num_replicas, left))
            start += sizes[-1]
        return np.array(sizes, dtype=np.int64)

    def _most(self, lengths: np.ndarray, batch_size: int) -> int:
        """How many of some rows, the longest first, a process may get in a batch; the first one gets the longest."""
        if self.max_tokens is None:
            return batch_size
        if self.packed:
            fit = np.cumsum(lengths[:: self.num_replicas]) <= self.max_tokens
            return batch_size if fit.all() else int(fit.sum())
        return min(batch_size, self.max_tokens // max(int(lengths[0]), 1))


class _Course:
    """The passes of an epoch, one after the other; the first may be what is left of one.

    Args:
        whole: Every pass but the first.
        sizes: Number of batches of each draw.
        rest: What the first one has; null: all.

    Attributes:
        turn: Number of the first one.
        ends: Where draws end, counted in batches.
        edges: Where passes and draws end.
    """

    def __init__(self, whole: Passes, sizes: Sequence[int], rest: Rest | None) -> None:
        self._whole = whole
        self._first = whole if rest is None else whole._of(rest.rows)
        self.turn = 0 if rest is None else rest.turn
        self.ends = np.cumsum(sizes)
        self.edges = _edges(self.ends, len(self._first.sizes), len(whole.sizes))

    def passes(self, turn: int) -> Passes:
        """The pass of a number, from 0."""
        return self._whole if turn else self._first

    def starts(self, turn: int) -> int:
        """Where a pass starts."""
        return len(self._first.sizes) + (turn - 1) * len(self._whole.sizes) if turn else 0

    def turn_at(self, batch: int) -> int:
        """The pass that a batch belongs to."""
        first = len(self._first.sizes)
        return 0 if batch < first else 1 + (batch - first) // len(self._whole.sizes)

    def pieces(self, first: int, key: Sequence[int]) -> Iterator[np.ndarray]:
        """The rows between one edge and the next, from edge number ``first`` on."""
        for turn in range(self.turn_at(self.edges[first]), self.turn_at(self.edges[-1])):
            random = np.random.default_rng([*key, self.turn + turn])
            low, high = np.searchsorted(self.edges, [self.starts(turn), self.starts(turn + 1)])
            if low == high:
                continue
            rows, starts = self.passes(turn).shuffled(random)
            sizes = np.diff(self.edges[low : high + 1])
            order = random.permutation(len(sizes))
            begins = np.empty_like(sizes)
            begins[order] = np.cumsum(sizes[order]) - sizes[order]
            for i in range(max(first - low, 0), len(sizes)):
                yield rows[starts[begins[i]] : starts[begins[i] + sizes[i]]]


def _lent(sizes: np.ndarray, least: int) -> int:
    """How many rows the last of some batches takes of the one before it to have ``least``; 0 if that has too few.

    That the rows which it takes are longer than its own does not matter: at least as many of them fitted into the batch
    that they come from.

    >>> _lent(np.array([8, 8, 1]), 2)
    1
    """
    lent = max(least - int(sizes[-1]), 0) if len(sizes) > 1 else 0
    return lent if lent and sizes[-2] - lent >= least else 0


def rounded_up(lengths: np.ndarray) -> np.ndarray:
    """Lengths rounded up to 5 significant bits, that is by 6 % at most.

    >>> rounded_up(np.array([0, 31, 33, 65, 126, 130]))
    array([  0,  31,  34,  68, 128, 136])
    """
    _, bits = np.frexp(lengths)
    steps = 1 << np.maximum(bits - _SIGNIFICANT_BITS, 0)
    return np.asarray(-(-lengths // steps) * steps)


def _edges(ends: np.ndarray, first: int, length: int) -> np.ndarray:
    """Where passes and draws end, counted in batches from 0; what is left of the last pass goes batch by batch.

    Args:
        ends: Where draws end.
        first: Length of the first pass.
        length: Of each other pass.
    """
    stop = first + max(-(-(ends[-1] - first) // length), 0) * length
    return np.unique(np.concatenate([[0], np.arange(first, stop + 1, length), ends, np.arange(ends[-1], stop)]))
