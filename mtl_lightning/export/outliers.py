"""Activations that 8 bits hold better: channels far larger than others are made smaller, and their weights larger."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.exported.graph import Graph

_FAR = (4.0, 2.5, 1.5)
"""Times the median channel's largest activation that a channel's may be: what is tried, beside leaving all as it is."""

_WORTH = 0.5
"""Of the squared error of a product, what may be left where its channels are divided, which takes a pass over them."""

_ROWS = 256
"""Activations of as many places in a text, at most, are multiplied to see which is best."""

_ACTIVATION_STEPS, _WEIGHT_STEPS = 255, 63
"""From the least to the largest activation, and from 0 to the largest weight, as ``quantise`` has them."""


class _Seen(NamedTuple):
    """Activations of a graph.

    Attributes:
        least: Of each channel [K].
        largest: Of each channel [K].
        rows: Some of them [R, K].
    """

    least: np.ndarray
    largest: np.ndarray
    rows: np.ndarray

    def and_of(self, values: np.ndarray) -> "_Seen":
        """These and others [..., K]."""
        flat = values.reshape(-1, values.shape[-1])
        rows = np.concatenate([self.rows, flat[: max(_ROWS - len(self.rows), 0)]])
        return _Seen(
            np.minimum(self.least, flat.min(0, initial=0)), np.maximum(self.largest, flat.max(0, initial=0)), rows
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
    products = _products(model.graph)
    if not products:
        return
    weights = {each.name: each for each in model.graph.initializer}
    scales: dict[str, np.ndarray] = {}
    for name, seen in _activations(model, list(products), inputs).items():
        read = np.concatenate([onnx.numpy_helper.to_array(weights[of]) for of in products[name].values()], axis=1)
        if (scale := _best_scale(seen, read)) is not None:
            scales[name] = scale
    nodes = []
    for node in model.graph.node:
        name = node.input[0] if node.input else ""
        if name in scales and node.output[0] in products[name]:
            if node.output[0] == next(iter(products[name])):
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


def _best_scale(seen: _Seen, weights: np.ndarray) -> np.ndarray | None:
    """What channels are divided by [K], 1 for most; null: they are best left alone."""
    largest = np.maximum(seen.largest, -seen.least)
    alive = largest[largest > 0]
    if not alive.size or not np.isfinite(largest).all():
        return None
    tried = [np.maximum(largest / (far * np.median(alive)), 1).astype(np.float32) for far in _FAR]
    best = min(tried, key=lambda scale: _error(seen, weights, scale))
    return best if _error(seen, weights, best) < _WORTH * _error(seen, weights, np.ones_like(best)) else None


def _error(seen: _Seen, weights: np.ndarray, scale: np.ndarray) -> float:
    """Mean squared error of the products in 8 bits."""
    step = float((seen.largest / scale).max() - (seen.least / scale).min()) / _ACTIVATION_STEPS
    larger = weights * scale[:, None]
    steps = np.maximum(np.abs(larger).max(0), np.finfo(np.float32).tiny) / _WEIGHT_STEPS
    found = (np.round(seen.rows / scale / step) * step) @ (np.round(larger / steps) * steps)
    return float(np.square(found - seen.rows @ weights).mean())


def _products(graph: Any) -> dict[str, dict[str, str]]:
    """Of what is multiplied, by name: the products, and the weights [K, N] of each, which nothing else reads."""
    dims = {each.name: each.dims for each in graph.initializer if each.data_type == each.FLOAT}
    uses = Counter(_read(graph))
    found: dict[str, dict[str, str]] = {}
    for node in graph.node:
        if node.op_type == "MatMul" and len(dims.get(node.input[1], ())) == 2 and uses[node.input[1]] == 1:
            found.setdefault(node.input[0], {})[node.output[0]] = node.input[1]
    return {name: of for name, of in found.items() if name not in dims}


def _read(graph: Any) -> Iterator[str]:
    """Names that nodes read, those of graphs within a graph too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _read(inner)


def _activations(model: Any, names: Sequence[str], inputs: Iterable[Mapping[str, np.ndarray]]) -> Mapping[str, _Seen]:
    """What is seen of activations [..., K], by name."""
    import onnx

    probed = onnx.ModelProto.FromString(model.SerializeToString())
    known = {each.name for each in (*probed.graph.output, *probed.graph.input)}
    probed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    given = {each.name for each in probed.graph.input}
    asked = [name for name in names if name not in given]
    found: dict[str, _Seen] = {}
    with TemporaryDirectory() as folder:
        onnx.save(probed, Path(folder, "probed.onnx"))
        graph = Graph(Path(folder, "probed.onnx"))
        for batch in (each for each in inputs if each.keys() >= set(graph.inputs)):
            computed = graph.run(batch, asked) if asked else {}
            for name, values in {**computed, **{name: batch[name] for name in names if name in given}}.items():
                zero = np.zeros(values.shape[-1], np.float32)
                found[name] = found.get(name, _Seen(zero, zero, zero[None][:0])).and_of(values)
    return found
