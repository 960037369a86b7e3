"""Activations that 8 bits hold better: channels far larger than others are made smaller, and their weights larger."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mtl_lightning.export.activations import activations, products

_FAR = (4.0, 2.5, 1.5)
"""Times the median channel's largest activation that a channel's may be: what is tried, beside leaving all as it is."""

_WORTH = 0.5
"""Of the squared error of a product, what may be left where its channels are divided, which takes a pass over them."""

_ACTIVATION_STEPS, _WEIGHT_STEPS = 255, 64
"""From the least to the largest activation, and from 0 to the largest weight, as ``quantise`` has them."""


_ROWS = 256
"""Activations of as many places in a text, at most, are kept."""


class Seen(NamedTuple):
    """What was seen of activations.

    Attributes:
        least: Of each channel [K].
        largest: Of each channel [K].
        rows: Some of them [R, K].
    """

    least: np.ndarray
    largest: np.ndarray
    rows: np.ndarray

    @classmethod
    def nothing(cls, channels: int) -> "Seen":
        """None yet; zero is within the range of all."""
        zero = np.zeros(channels, np.float32)
        return cls(zero, zero, zero[None][:0])

    def and_of(self, values: np.ndarray) -> "Seen":
        """These and others [..., K]."""
        flat = values.reshape(-1, values.shape[-1])
        return Seen(
            np.minimum(self.least, flat.min(0, initial=0)),
            np.maximum(self.largest, flat.max(0, initial=0)),
            np.concatenate([self.rows, flat[: max(_ROWS - len(self.rows), 0)]]),
        )


def spread_outliers(path: Path, inputs: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Divides channels of what products of matrices read by some numbers, and multiplies their weights by them.

    A graph computes the same as before. But in 8 bits all activations of a product share one scale, which follows from
    the largest: in transformers, a channel or two of the first token are ten times as large as the rest.

    That is SmoothQuant (Xiao et al., ICML 2023, equation 3) with other numbers: only channels that stand out are
    divided, and by as much as makes the error of these products in 8 bits least, which may be not at all; the paper
    divides each channel by ``max|x|^a / max|w|^(1-a)``.

    Args:
        path: Of the graph, which is replaced.
        inputs: Batches that activations are looked at on.
    """
    import onnx

    model = onnx.load(path)
    read = products(model.graph)
    if not read:
        return
    weights = {each.name: each for each in model.graph.initializer}
    found: dict[str, Seen] = {}
    for name, values in activations(model, list(read), inputs):
        found[name] = found.get(name, Seen.nothing(values.shape[-1])).and_of(values)
    scales: dict[str, np.ndarray] = {}
    for name, seen in found.items():
        joined = np.concatenate([onnx.numpy_helper.to_array(weights[of]) for of in read[name].values()], axis=1)
        if (scale := _best_scale(seen, joined)) is not None:
            scales[name] = scale
    nodes = []
    for node in model.graph.node:
        name = node.input[0] if node.input else ""
        if name in scales and node.output[0] in read[name]:
            if node.output[0] == next(iter(read[name])):
                model.graph.initializer.append(onnx.numpy_helper.from_array(1 / scales[name], f"{name}/scale"))
                nodes.append(onnx.helper.make_node("Mul", [name, f"{name}/scale"], [f"{name}/spread"]))
            weight = weights[node.input[1]]
            larger = onnx.numpy_helper.to_array(weight) * scales[name][:, None]
            weight.CopyFrom(onnx.numpy_helper.from_array(larger, weight.name))
            node.input[0] = f"{name}/spread"
        nodes.append(onnx.NodeProto.FromString(node.SerializeToString()))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, path)


def _best_scale(seen: Seen, weights: np.ndarray) -> np.ndarray | None:
    """What channels are divided by [K], 1 for most; null: they are best left alone."""
    largest = np.maximum(seen.largest, -seen.least)
    alive = largest[largest > 0]
    if not alive.size or not np.isfinite(largest).all():
        return None
    tried = [np.maximum(largest / (far * np.median(alive)), 1).astype(np.float32) for far in _FAR]
    best = min(tried, key=lambda scale: _error(seen, weights, scale))
    return best if _error(seen, weights, best) < _WORTH * _error(seen, weights, np.ones_like(best)) else None


def _error(seen: Seen, weights: np.ndarray, scale: np.ndarray) -> float:
    """Mean squared error of the products in 8 bits."""
    step = float((seen.largest / scale).max() - (seen.least / scale).min()) / _ACTIVATION_STEPS
    larger = weights * scale[:, None]
    steps = np.maximum(np.abs(larger).max(0), np.finfo(np.float32).tiny) / _WEIGHT_STEPS
    found = (np.round(seen.rows / scale / step) * step) @ (np.round(larger / steps) * steps)
    return float(np.square(found - seen.rows @ weights).mean())
