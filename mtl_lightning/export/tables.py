"""Embeddings in 8 bits."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from mtl_lightning.export.activations import names_read

_LARGEST = 127


def quantise_tables(source: Path, target: Path, full: Collection[str] = ()) -> Path:
    """Makes tables that rows are looked up in integers of 8 bits, a scale a column.

    ONNX Runtime's own way has one scale for a whole table, and 7 bits where products take 7, which costs MiniLM five
    times the error. What is looked up is the same row, and is scaled afterwards.

    Args:
        source: The file in full precision.
        target: The file to write.
        full: Names of nodes whose tables stay.

    Returns:
        ``target``.
    """
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(source)
    tables = _tables(model.graph, full)
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "Gather" and (table := node.input[0]) in tables:
            (found,) = node.output
            node.input[0], node.output[0] = f"{table}/8_bits", f"{found}/8_bits"
            scaled = [node.output[0], f"{table}/scale"]
            nodes.append(helper.make_node("DequantizeLinear", scaled, [found], f"{node.name}_scaled", axis=-1))
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    for name, tensor in tables.items():
        values = numpy_helper.to_array(tensor)
        scale = np.maximum(np.abs(values).max(0) / _LARGEST, np.finfo(np.float32).tiny).astype(np.float32)
        tensor.CopyFrom(numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{name}/8_bits"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}/scale"))
    onnx.save(model, target)
    return target


def _tables(graph: Any, full: Collection[str]) -> dict[str, Any]:
    """By name, tables [N, K] whose rows are looked up, and which nothing else reads."""
    looked_up = Counter(
        node.input[0]
        for node in graph.node
        if node.op_type == "Gather" and node.name not in full and not any(each.i for each in node.attribute)
    )
    uses = Counter(names_read(graph))
    return {
        each.name: each
        for each in graph.initializer
        if each.data_type == each.FLOAT and len(each.dims) == 2 and 0 < uses[each.name] == looked_up[each.name]
    }
