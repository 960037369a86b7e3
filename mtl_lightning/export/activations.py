"""What products of matrices in a graph read."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mtl_lightning.exported.graph import Graph

_AT_ONCE = 4
"""Examples that are computed at once: the activations of all products are held."""


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


def activations(
    model: Any, names: Sequence[str], inputs: Iterable[Mapping[str, np.ndarray]]
) -> Iterator[tuple[str, np.ndarray]]:
    """Name after name, activations [..., K] of it on some examples; then on the next ones.

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
    with TemporaryDirectory() as folder:
        onnx.save(probed, Path(folder, "probed.onnx"))
        graph = Graph(Path(folder, "probed.onnx"))
        for batch in (part for each in inputs if each.keys() >= set(graph.inputs) for part in _parts(each)):
            yield from (graph.run(batch, asked) if asked else {}).items()
            yield from ((name, batch[name]) for name in names if name in given)


def _parts(batch: Mapping[str, np.ndarray]) -> Iterator[Mapping[str, np.ndarray]]:
    """A batch, some examples at a time; all of it where its inputs are not an example a row."""
    sizes = {len(array) for array in batch.values()}
    step = _AT_ONCE if len(sizes) == 1 else max(sizes)
    for start in range(0, max(sizes), max(step, 1)):
        yield {name: array[start : start + step] for name, array in batch.items()}
