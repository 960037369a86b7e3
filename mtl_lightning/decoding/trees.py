"""Dependency trees over the words of a sentence: the best ones under scores, and what is predicted of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.decoding.base import Array, Arrays, Decoder, InputWords, array_of
from mtl_lightning.decoding.probabilities import softmax
from mtl_lightning.decoding.words import beside_words

ROOT = 0
"""The head of the word that is the root; words are numbered from 1."""

_LARGEST = 3.4e38
"""What stands for infinity: the sum over a sentence's words is finite."""

_FAR = -1e12
"""What an arc costs at most beside the best one, so that small differences count in sums with it."""


@dataclass(frozen=True)
class TreeDecoder(Decoder):
    """``heads``, ``relations`` and their ``probabilities`` of words, of the best tree with one root.

    From ``scores`` of all heads of each word [B, L, L + 1], the most probable of the ``relations`` to each head, its
    number, its ``probabilities``, both of this shape, and ``mask`` [B, L].

    Attributes:
        labels: Names of the relations.
    """

    labels: tuple[str, ...]

    def decode(self, arrays: Arrays) -> list[dict[str, Any]]:
        scores, mask = array_of(arrays, "scores"), array_of(arrays, "mask").astype(bool)
        heads = best_trees(scores, mask)
        probabilities = _at(softmax(scores), heads) * _at(array_of(arrays, "probabilities"), heads)
        relations = _at(array_of(arrays, "relations"), heads)
        columns = (each.tolist() for each in (heads, relations, probabilities, mask.sum(1)))
        return [
            {"heads": h[:number], "relations": [self.labels[i] for i in r[:number]], "probabilities": p[:number]}
            for h, r, p, number in zip(*columns, strict=True)
        ]

    def place(self, decoded: dict[str, Any], words: InputWords) -> dict[str, Any]:
        return beside_words(decoded, words, list(decoded))


def best_trees(scores: Array, mask: Array) -> Array:
    """The trees with one root whose arcs have the highest sum of scores: the head of each word [B, L].

    Where the best head of each word makes a tree, that is it; only of other sentences a maximum spanning tree is
    searched. Words that are padding have head 0.

    Args:
        scores: Of each of the heads 0, …, L for each word [B, L, L + 1].
        mask: True where there is a word [B, L].
    """
    heads = np.where(mask, scores.argmax(-1), ROOT)
    for row in (~_are_trees(heads, mask)).nonzero()[0].tolist():
        number = int(mask[row].sum())
        heads[row, :number] = spanning_tree(
            np.nan_to_num(scores[row, :number, : number + 1], posinf=_LARGEST, neginf=-_LARGEST)
        )
    return heads


def spanning_tree(scores: Array) -> list[int]:
    """The heads of n words that make the best tree with one root, by Edmonds' algorithm.

    If the best tree has several roots, each arc from the root is made to cost more than all others can be worth.

    Args:
        scores: Of each of the heads 0, …, n for each word [n, n + 1], finite; that of a word for itself is not read.

    Reference: J. Edmonds, Optimum branchings, 1967; M. Stanojević & S. Cohen, A root of a problem: optimizing
    single-root dependency parsing, EMNLP 2021, section 3 (the reweighting).

    >>> spanning_tree(np.array([[0.0, 0.0, 9.0], [1.0, 9.0, 0.0]]))
    [2, 0]
    """
    losses = np.full((len(scores) + 1,) * 2, -np.inf)
    losses[1:] = scores
    np.fill_diagonal(losses, -np.inf)
    losses[1:] -= losses[1:].max(1, keepdims=True)
    np.maximum(losses[1:], _FAR, out=losses[1:])
    np.fill_diagonal(losses, -np.inf)
    heads = _arborescence(losses)
    if heads.count(ROOT) > 1:
        losses[:, ROOT] += losses[1:].min(1, where=losses[1:] > -np.inf, initial=0.0).sum() - 1
        heads = _arborescence(losses)
    return heads


def cycle_of(heads: Sequence[int | None]) -> list[int]:
    """The words of a cycle, from its lowest number; none if there is none.

    Args:
        heads: Number of the head of each word; None: it is not known.

    >>> cycle_of([0, 3, 2])
    [2, 3]
    """
    seen = [False] * (len(heads) + 1)
    for start in range(1, len(heads) + 1):
        path: list[int] = []
        word: int | None = start
        while word and not seen[word]:
            seen[word] = True
            path.append(word)
            word = heads[word - 1]
        if word in path:
            cycle = path[path.index(word) :]
            first = cycle.index(min(cycle))
            return cycle[first:] + cycle[:first]
    return []


def _arborescence(scores: Array) -> list[int]:
    """The heads of n words that make the best tree, with any number of roots.

    Args:
        scores: Of heads for words [n + 1, n + 1], both from 0; minus infinity for a word itself and in row 0.
    """
    contracted = []
    while cycle := cycle_of((heads := scores.argmax(1).tolist())[1:]):
        contracted.append(_Contracted.of(scores, heads, cycle))
        scores = contracted[-1].scores
    for each in reversed(contracted):
        heads = each.expanded(heads)
    return list(heads[1:])


class _Contracted(NamedTuple):
    """A graph in which the words of a cycle are one node, the last.

    Attributes:
        scores: As those of a graph.
        outside: The other words, R of them, by their numbers before.
        cycle: The words of the cycle, by the same numbers.
        heads: The best head of each word, with which those make a cycle.
        entry: The word of the cycle that is best given another head, for each of R heads.
        exit: The head in the cycle that is best for each of R words.
    """

    scores: Array
    outside: Array
    cycle: Array
    heads: list[int]
    entry: Array
    exit: Array

    @classmethod
    def of(cls, scores: Array, heads: list[int], words: list[int]) -> "_Contracted":
        cycle, size = np.array(words), len(scores) - len(words)
        outside = np.delete(np.arange(len(scores)), cycle)
        entering = scores[np.ix_(cycle, outside)] - scores[cycle, [heads[word] for word in words]][:, None]
        leaving = scores[np.ix_(outside, cycle)]
        small = np.full((size + 1, size + 1), -np.inf)
        small[:size, :size] = scores[np.ix_(outside, outside)]
        small[size, :size], small[:size, size] = entering.max(0), leaving.max(1)
        return cls(small, outside, cycle, heads, cycle[entering.argmax(0)], cycle[leaving.argmax(1)])

    def expanded(self, heads: list[int]) -> list[int]:
        """The heads in the graph before, of those in this one."""
        found, new = list(self.heads), [*self.outside.tolist(), -1]
        for place, word in enumerate(self.outside.tolist()):
            found[word] = int(self.exit[place]) if new[heads[place]] < 0 else new[heads[place]]
        found[int(self.entry[heads[-1]])] = new[heads[-1]]
        return found


def _are_trees(heads: Array, mask: Array) -> Array:
    """Whether the heads [B, L] make a tree with one root [B]; those of no word do."""
    above = np.pad(heads, ((0, 0), (1, 0)))
    for _ in range(heads.shape[1].bit_length()):
        above = np.take_along_axis(above, above, 1)  # twice as far up each time
    reach = (above[:, 1:] == ROOT).all(1)
    return np.asarray(reach & (((heads == ROOT) & mask).sum(1) == mask.any(1)))


def _at(values: Array, heads: Array) -> Array:
    """The values [B, L] of the heads [B, L], of those of all [B, L, L + 1]."""
    return np.take_along_axis(values, heads[..., None], -1)[..., 0]
