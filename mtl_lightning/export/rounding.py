"""Weights that 8 bits hold exactly, rounded so that products change least."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

import numpy as np

from mtl_lightning.export.activations import activations, products

_LARGEST = 64
"""Steps from 0 to the largest weight of a column, as ``quantise`` has them."""

_DAMPED = 0.01
"""Of the mean square of a channel, what is added to all of them: what was seen is a sample."""

_BLOCK = 64
"""Rows of weights that are rounded before the others hear of it, which makes it faster and changes nothing."""


def round_weights(
    source: Path, target: Path, inputs: Iterable[Mapping[str, np.ndarray]], full: Collection[str] = ()
) -> Path:
    """Rounds the weights of products to what 8 bits can be, one row after the other, each making up for those before.

    Rounding each weight to the nearest makes the error of weights least, not that of products, whose channels are
    correlated. This is GPTQ (Frantar et al., ICLR 2023, algorithm 1) with one scale a column, whose largest weight
    stays, so that the scale does.

    Args:
        source: The file in full precision.
        target: The file to write, in full precision, too.
        inputs: Batches that activations are looked at on.
        full: Names of nodes whose weights stay.

    Returns:
        ``target``.
    """
    import onnx

    model = onnx.load(source)
    kept = {output for node in model.graph.node if node.name in full for output in node.output}
    weights = {each.name: each for each in model.graph.initializer}
    found = products(model.graph)
    for name, seen in activations(model, list(found), inputs).items():
        for product, of in found[name].items():
            if product not in kept:
                exact = onnx.numpy_helper.to_array(weights[of])
                weights[of].CopyFrom(onnx.numpy_helper.from_array(_rounded(exact, seen.moments), of))
    onnx.save(model, target)
    return target


def _rounded(weights: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """Weights [K, N] for activations with these moments [K, K]."""
    largest = np.abs(weights).max(0)
    steps = np.maximum(largest / _LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
    nearest = np.round(weights / steps)
    if not (np.isfinite(moments).all() and moments.any()):
        return np.asarray(nearest * steps)
    order = np.argsort(-moments.diagonal(), kind="stable")
    moments, weights, nearest = moments[np.ix_(order, order)], weights[order], nearest[order]
    damping = _DAMPED * moments.diagonal().mean()
    upper = np.linalg.cholesky(np.linalg.inv(moments + damping * np.eye(len(moments)))).T
    left, found, stays = weights.astype(np.float64), np.empty_like(nearest), np.abs(nearest) == _LARGEST
    for start in range(0, len(left), _BLOCK):
        rows = range(start, min(start + _BLOCK, len(left)))
        errors = np.empty((len(rows), left.shape[1]))
        for row in rows:
            taken = np.clip(np.round(left[row] / steps), -_LARGEST, _LARGEST)
            found[row] = np.where(stays[row], nearest[row], taken)
            errors[row - start] = (left[row] - found[row] * steps) / upper[row, row]
            left[row + 1 : rows.stop] -= np.outer(upper[row, row + 1 : rows.stop], errors[row - start])
        left[rows.stop :] -= upper[rows.start : rows.stop, rows.stop :].T @ errors
    return np.asarray(found[np.argsort(order)] * steps, np.float32)
