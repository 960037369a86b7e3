"""What products of matrices in a graph read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from mtl_lightning.exported.graph import Graph

_AT_ONCE = 4
"""Examples that are computed at once: the activations of all products are held."""

_ROWS = 256
"""Activations of as many places in a text, at most, are kept."""


class Seen(NamedTuple):
    """Activations.

    Attributes:
        least: Of each channel [K].
        largest: Of each channel [K].
        moments: Sums of products of any two channels [K, K].
        rows: Some of them [R, K].
    """

    least: np.ndarray
    largest: np.ndarray
    moments: np.ndarray
    rows: np.ndarray

    @classmethod
    def nothing(cls, channels: int) -> "Seen":
        """None yet; zero is within the range of all."""
        zero = np.zeros(channels, np.float32)
        return cls(zero, zero, np.zeros((channels, channels)), zero[None][:0])

    def and_of(self, values: np.ndarray) -> "Seen":
        """These and others [..., K]."""
        flat = values.reshape(-1, values.shape[-1])
        return Seen(
            np.minimum(self.least, flat.min(0, initial=0)),
            np.maximum(self.largest, flat.max(0, initial=0)),
            self.moments + flat.T @ flat,
            np.concatenate([self.rows, flat[: max(_ROWS - len(self.rows), 0)]]),
        )


def products(graph: Any) -> dict[str, dict[str, str]]:
    """Of what is multiplied, by name: the products, and the weights [K, N] of each, which nothing else reads."""
    dims = {each.name: each.dims for each in graph.initializer if each.data_type == each.FLOAT}
    uses = Counter(names_read(graph))
    found: dict[str, dict[str, str]] = {}
    for node in graph.node:
        if node.op_type == "MatMul" and len(dims.get(node.input[1], ())) == 2 and uses[node.input[1]] == 1:
            found.setdefault(node.input[0], {})[node.output[0]] = node.input[1]
    return {name: of for name, of in found.items() if name not in dims}


def names_read(graph: Any) -> Iterator[str]:
    """Names that nodes read, those of graphs within a graph too."""
    for node in graph.node:
        yield from node.input
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from names_read(inner)


def activations(model: Any, names: Sequence[str], inputs: Iterable[Mapping[str, np.ndarray]]) -> Mapping[str, Seen]:
    """What is seen of activations [..., K], by name.

    Args:
        model: Of ONNX.
        names: Those wanted.
        inputs: Batches; one that lacks an input of the model is left out.
    """
    import onnx

    probed = onnx.ModelProto.FromString(model.SerializeToString())
    known = {each.name for each in (*probed.graph.output, *probed.graph.input)}
    probed.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names if name not in known)
    given = {each.name for each in probed.graph.input}
    asked = [name for name in names if name not in given]
    found: dict[str, Seen] = {}
    with TemporaryDirectory() as folder:
        onnx.save(probed, Path(folder, "probed.onnx"))
        graph = Graph(Path(folder, "probed.onnx"))
        for batch in (part for each in inputs if each.keys() >= set(graph.inputs) for part in _parts(each)):
            computed = graph.run(batch, asked) if asked else {}
            for name, values in {**computed, **{name: batch[name] for name in names if name in given}}.items():
                found[name] = found.get(name, Seen.nothing(values.shape[-1])).and_of(values)
    return found


def _parts(batch: Mapping[str, np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
    """A batch, some examples at a time; all of it where its inputs are not an example a row."""
    sizes = {len(array) for array in batch.values()}
    step = _AT_ONCE if len(sizes) == 1 else max(sizes)
    for start in range(0, max(sizes), max(step, 1)):
        yield {name: array[start : start + step] for name, array in batch.items()}
