"""Which rows each step of an evaluation reads: of all of it, or of a fair part."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from types import MappingProxyType

import numpy as np
from torch.utils.data import DistributedSampler

from mtl_lightning.data.episodes import EpisodeList
from mtl_lightning.data.sampler import Plan, Rows

_PADDING = 256


class SequentialSampler(DistributedSampler[Plan]):
    """Plans an evaluation: each example once, longest first, the data sets in turn.

    A batch also ends before it would hold 256 tokens of padding: one step more costs less. Processes take turns and may
    differ by one example; one that has none left, or never had any, takes an empty step in which the others have one.
    So all take equally many, at least one, and none waits for another that has left the loop.

    With a ``limit`` below the number of steps, the same fraction of each data set is read, in one step at least as long
    as there are enough: a systematic sample of its examples in the order of their lengths, from a random one on.
    Seed and epoch play no part in it: every evaluation by as many processes sees the same examples.

    Args:
        lengths: Length of each example [N], by data set; examples of one length keep their order.
        batch_sizes: Most examples a step, by data set.
        rank: Of this process.
        num_replicas: Number of processes.
        limit: How many steps are read, or which fraction of them; see Lightning's ``limit_val_batches``.
        episodes: Those that other data sets are evaluated on, by name; of these, the first ones are read.
    """

    def __init__(
        self,
        lengths: Mapping[str, np.ndarray],
        batch_sizes: Mapping[str, int],
        rank: int = 0,
        num_replicas: int = 1,
        limit: int | float = 1.0,
        episodes: Mapping[str, EpisodeList] = MappingProxyType({}),
    ) -> None:
        self._episodes = episodes
        drawn = {name: each.batches(batch_sizes[name], rank, num_replicas) for name, each in episodes.items()}
        orders = {name: np.argsort(-length, kind="stable") for name, length in lengths.items()}
        edges = {
            name: _edges(lengths[name][order[::num_replicas]], batch_sizes[name]) for name, order in orders.items()
        }
        numbers = {name: len(each) - 1 for name, each in edges.items()} | {n: len(each) for n, each in drawn.items()}
        self._most = sum(numbers.values())
        most = int(self._most * limit) if isinstance(limit, float) else limit
        batches = []
        for seed, (name, number) in enumerate(_apportioned(numbers, most).items()):
            if name in drawn:
                batches.append([{name: rows} if len(rows) else {} for rows in drawn[name][:number]])
                continue
            places, ends = _sample(edges[name], number, seed)
            mine = orders[name][rank::num_replicas]
            parts = np.split(mine[places[places < len(mine)]], ends)
            batches.append([{name: rows} if len(rows) else {} for rows in parts])
        self.batches = [batch for turn in zip_longest(*batches) for batch in turn if batch is not None]

    def __len__(self) -> int:
        """Number of steps of the whole, of which Lightning takes the limit."""
        return self._most

    def __iter__(self) -> Iterator[Plan]:
        for batch in self.batches:
            yield {name: self._rows(name, rows.tolist()) for name, rows in batch.items()}

    def _rows(self, name: str, indices: list[int]) -> Rows:
        if name not in self._episodes:
            return Rows(indices, {})
        episodes = self._episodes[name]
        supports = {other: Rows(rows, {}) for other, rows in episodes.supports(indices).items()}
        return Rows(indices, {}, form=episodes.form, supports=supports)

    def set_epoch(self, epoch: int) -> None:
        """Every epoch is the same."""


def _apportioned(numbers: Mapping[str, int], most: int) -> dict[str, int]:
    """How many of the steps each data set has: one, and of the others in proportion to its own (Webster's method).

    >>> _apportioned({"a": 8, "b": 2}, 6)
    {'a': 5, 'b': 1}
    """
    turns = [((turn and turn + 0.5) / number, name) for name, number in numbers.items() for turn in range(number)]
    taken = Counter(name for _, name in sorted(turns, key=lambda turn: turn[0])[:most])
    return {name: taken[name] for name in numbers if taken[name]}


def _sample(edges: np.ndarray, number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As much of some batches as fits into fewer of them.

    Args:
        edges: Where the batches start, and where the last one ends.
        number: Of batches to make of them.
        seed: Of the first place.

    Returns:
        The places that are taken, all with the same probability, and where among these batches end, but for the last.
        Of all batches, these are all places and the same ends.
    """
    steps, size = len(edges) - 1, int(edges[-1])
    kept = size * number // steps
    places = (np.random.default_rng(seed).random() + np.arange(kept)) * size // max(kept, 1)
    batch, part = np.divmod(np.arange(1, number) * steps, number)
    ends = (edges[batch] * number + np.diff(edges)[batch] * part) // steps
    return places.astype(np.int64), ends


def _edges(lengths: np.ndarray, most: int) -> np.ndarray:
    """Where batches of descending lengths start, and where the last one ends."""
    edges = [0]
    total = 0
    for position, length in enumerate(lengths.tolist()):
        size = position - edges[-1]
        if size == most or lengths[edges[-1]] * (size + 1) - (total + length) >= _PADDING:
            edges.append(position)
            total = 0
        total += length
    return np.array([*edges, len(lengths)])
