"""Passes over one data set: shuffled, cut into batches of similar length, without end."""

from collections.abc import Iterator, Sequence

import numpy as np

_SIGNIFICANT_BITS = 5


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
    ) -> None:
        self.num_replicas = num_replicas
        self.stretch = batch_size * num_replicas * bucket
        self.max_tokens = max_tokens
        self.lengths = lengths if max_tokens is None else np.minimum(rounded_up(lengths), max_tokens)
        self.sizes = self._sizes(batch_size, drop_last)
        self.lent = _lent(self.sizes, 2 * num_replicas)
        if self.lent:
            self.sizes[-2:] += [-self.lent, self.lent]

    def draws(self, sizes: Sequence[int], skip: int, key: Sequence[int]) -> Iterator[np.ndarray]:
        """What is drawn in an epoch, pass after pass, each shuffled anew.

        Batches that are drawn at once are neighbours in length, so that they are padded little when they are joined.

        Args:
            sizes: Number of batches of each draw, at least 1.
            skip: Number of draws to leave out at the start.
            key: Of the random numbers.

        Yields:
            The rows of a draw.
        """
        ends = np.cumsum(sizes)
        edges = _edges(ends, len(self.sizes))
        after = np.searchsorted(edges, ends)
        first = after[skip - 1] if skip else 0
        pieces = self._pieces(edges, first, key)
        for num_pieces in np.diff(after[skip:], prepend=first):
            yield np.concatenate([next(pieces) for _ in range(num_pieces)])

    def _pieces(self, edges: np.ndarray, first: int, key: Sequence[int]) -> Iterator[np.ndarray]:
        """The rows between one edge and the next, from edge number ``first`` on."""
        length = len(self.sizes)
        for turn in range(edges[first] // length, edges[-1] // length):
            random = np.random.default_rng([*key, turn])
            rows, starts = self._shuffled(random)
            low, high = np.searchsorted(edges, [turn * length, (turn + 1) * length])
            sizes = np.diff(edges[low : high + 1])
            order = random.permutation(len(sizes))
            begins = np.empty_like(sizes)
            begins[order] = np.cumsum(sizes[order]) - sizes[order]
            for i in range(max(first - low, 0), len(sizes)):
                yield rows[starts[begins[i]] : starts[begins[i] + sizes[i]]]

    def _shuffled(self, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
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
        return rows, np.concatenate([[0], np.cumsum(sizes)])

    def _sizes(self, batch_size: int, drop_last: bool) -> np.ndarray:
        """Cut from the longest to the shortest, so that the sizes fit as well where rows are left out."""
        longest_first, sizes, start = np.sort(self.lengths)[::-1], [], 0
        while (left := len(longest_first) - start) >= self.num_replicas:
            size = batch_size
            if self.max_tokens is not None:
                size = min(batch_size, self.max_tokens // max(int(longest_first[start]), 1))
            if drop_last and left < size * self.num_replicas:
                break
            sizes.append(min(size * self.num_replicas, left))
            start += sizes[-1]
        return np.array(sizes, dtype=np.int64)


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


def _edges(ends: np.ndarray, length: int) -> np.ndarray:
    """Where passes and draws end, counted in batches from 0; what is left of the last pass goes batch by batch."""
    stop = -(-ends[-1] // length) * length
    return np.unique(np.concatenate([np.arange(0, stop + 1, length), ends, np.arange(ends[-1], stop)]))
