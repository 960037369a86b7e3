"""The best path and the marginal probabilities of a linear-chain conditional random field."""

from typing import NamedTuple, cast

import numpy as np

from mtl_lightning.decoding.base import Array
from mtl_lightning.decoding.probabilities import softmax


class Chain(NamedTuple):
    """Scores of steps: from the start [C], from tag to tag [C, C], to the end [C]."""

    first: Array
    steps: Array
    last: Array

    @classmethod
    def of(cls, transitions: Array) -> "Chain":
        """From scores [C + 1, C + 1], of which the last row is from the start and the last column to the end."""
        return cls(transitions[-1, :-1], transitions[:-1, :-1], transitions[:-1, -1])


def best_paths(emissions: Array, mask: Array, chain: Chain) -> Array:
    """The path with the highest score of each sentence [B, L], by Viterbi's algorithm.

    Positions without a word repeat the last word's tag.

    Args:
        emissions: Scores of tags [B, L, C].
        mask: True at words [B, L], which come before padding.
        chain: Scores of steps.
    """
    stay, rows = np.arange(emissions.shape[-1]), np.arange(len(emissions))
    scores, origins = chain.first + emissions[:, 0], []
    for step in range(1, emissions.shape[1]):
        candidates = scores[:, :, None] + chain.steps
        word = mask[:, step, None]
        scores = np.where(word, candidates.max(1) + emissions[:, step], scores)
        origins.append(np.where(word, candidates.argmax(1), stay))
    tags = [(scores + chain.last).argmax(-1)]
    for origin in reversed(origins):
        tags.append(origin[rows, tags[-1]])
    return np.stack(tags[::-1], 1)


def marginals(emissions: Array, mask: Array, chain: Chain) -> Array:
    """Probability of each tag at each word [B, L, C], by the forward-backward algorithm; arguments as above."""
    return softmax(_forward(emissions, mask, chain) + _backward(emissions, mask, chain))


def _forward(emissions: Array, mask: Array, chain: Chain) -> Array:
    """Log of the weight of all beginnings of paths that end in each tag at each word [B, L, C]."""
    sums, steps = [chain.first + emissions[:, 0]], _Steps.of(chain.steps)
    for step in range(1, emissions.shape[1]):
        found = steps.after(sums[-1]) + emissions[:, step]
        sums.append(np.where(mask[:, step, None], found, sums[-1]))
    return np.stack(sums, 1)


def _backward(emissions: Array, mask: Array, chain: Chain) -> Array:
    """Log of the weight of all ends of paths that follow each tag at each word [B, L, C]."""
    sums, steps = [np.broadcast_to(chain.last, emissions[:, 0].shape)], _Steps.of(chain.steps.T)
    for step in range(emissions.shape[1] - 1, 0, -1):
        found = steps.after(emissions[:, step] + sums[-1])
        sums.append(np.where(mask[:, step, None], found, sums[-1]))
    return np.stack(sums[::-1], 1)


class _Steps(NamedTuple):
    """Steps as weights [C, C], of which the largest to each tag is 1, and the logarithms of these [C]."""

    weights: Array
    largest: Array

    @classmethod
    def of(cls, scores: Array) -> "_Steps":
        largest = scores.max(0)
        return cls(np.exp(scores - largest), largest)

    def after(self, sums: Array) -> Array:
        r"""Log of the sum over tags i of :math:`\exp(a_i + s_{ij})` [B, C], from a [B, C]."""
        top = sums.max(1, keepdims=True)
        found = np.exp(sums - top) @ self.weights
        return cast(Array, np.log(np.maximum(found, np.finfo(found.dtype).tiny)) + top + self.largest)
