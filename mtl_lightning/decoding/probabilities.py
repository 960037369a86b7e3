"""Probabilities of scores, in the precision of the scores."""

from typing import cast

import numpy as np

from mtl_lightning.decoding.base import Array


def softmax(scores: Array) -> Array:
    """Probabilities that sum to 1 over the last dimension.

    >>> softmax(np.array([0.0, np.log(3)])).round(6).tolist()
    [0.25, 0.75]
    """
    with np.errstate(invalid="ignore", over="ignore"):  # of a model that diverged
        weights = np.exp(scores - scores.max(-1, keepdims=True))
    return cast(Array, weights / weights.sum(-1, keepdims=True))


def log_softmax(scores: Array) -> Array:
    """Logarithms of these."""
    with np.errstate(invalid="ignore", over="ignore"):
        moved = scores - scores.max(-1, keepdims=True)
    return cast(Array, moved - np.log(np.exp(moved).sum(-1, keepdims=True)))


def sigmoid(scores: Array) -> Array:
    """Probabilities of each by itself.

    >>> sigmoid(np.array([0.0, -1000.0])).tolist()
    [0.5, 0.0]
    """
    with np.errstate(over="ignore"):
        return cast(Array, 1 / (1 + np.exp(-scores)))
