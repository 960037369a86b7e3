"""Weights that 8 bits hold exactly, rounded so that products change least."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.export.activations import activations, products

_LARGEST = 64
"""Steps from 0 to the largest weight of a column, as ``quantise`` has them."""

_DAMPED = 0.01
"""Of the mean square of a channel, what is added to all of them: what was seen is a sample."""

_BLOCK = 64
"""Rows of weights that are rounded before the others hear of it, which makes it faster and changes nothing."""


_HELD = 512 * 2**20
"""Bytes of moments that are held at once; a model that has more is run once more for each time as many."""


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
    rounded = {name: [of for product, of in uses.items() if product not in kept] for name, uses in found.items()}
    widths = {name: weights[of[0]].dims[0] for name, of in rounded.items() if of}
    groups = list(_groups(widths))
    inputs = list(inputs) if len(groups) > 1 else inputs
    made: dict[str, np.ndarray] = {}
    for names in groups:
        for name, moments in _moments(model, names, inputs).items():
            made |= {of: _rounded(onnx.numpy_helper.to_array(weights[of]), moments) for of in rounded[name]}
    for of, values in made.items():
        weights[of].CopyFrom(onnx.numpy_helper.from_array(values, of))
    onnx.save(model, target)
    return target


def _groups(widths: Mapping[str, int]) -> Iterator[list[str]]:
    """Names of activations, by their numbers of channels, whose moments are held at once."""
    group: list[str] = []
    held = 0
    for name, width in widths.items():
        size = 8 * width**2
        if group and held + size > _HELD:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    if group:
        yield group


def _moments(model: Any, names: list[str], inputs: Iterable[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Sums of products of any two channels [K, K] of activations, by name."""
    found: dict[str, np.ndarray] = {}
    for name, values in activations(model, names, inputs):
        flat = values.reshape(-1, values.shape[-1])
        total = found.setdefault(name, np.zeros((flat.shape[1], flat.shape[1])))
        total += flat.T @ flat
    return found


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
