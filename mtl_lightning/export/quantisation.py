"""Weights in 8 bits."""

import ast
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from mtl_lightning.export.quiet import errors_alone
from mtl_lightning.export.rounding import round_weights
from mtl_lightning.export.tables import quantise_tables
from mtl_lightning.exported.graph import Graph

_OPERATIONS = ["Conv", "LSTM", "MatMul"]
"""What ONNX Runtime quantises: all that it can, but for embeddings, see :mod:`.tables`, and for attention, whose
operation of ONNX it takes for one of its own; the weights around it count as products of matrices."""

_SCOPES = "pkg.torch.onnx.name_scopes"
"""What the exporter calls the names of the modules that a node is part of."""


def quantise(
    source: Path,
    target: Path,
    full: Collection[str] = (),
    inputs: Iterable[Mapping[str, np.ndarray]] | None = None,
    some: Iterable[Mapping[str, np.ndarray]] | None = None,
) -> None:
    """Makes the weights of a graph integers of 8 bits, a scale a channel; those of embeddings too.

    Activations are quantised as they come (dynamic quantisation of ONNX Runtime), or by the ranges that they have on
    some inputs (its static quantisation). Weights take 7 of the 8 bits: on
    processors without an instruction for such products (VNNI), two of them are added up in 16 bits, where larger ones
    saturate.

    Args:
        source: The file in full precision.
        target: The file to write.
        full: Names of tasks whose heads, and links to other tasks, stay in full precision.
        inputs: Batches that ranges are taken from; null: activations are quantised as they come.
        some: Batches on which weights are rounded so that products change least (:mod:`.rounding`); null: each is
            rounded to the nearest.
    """
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_dynamic, quantize_static

    left = head_nodes(source, full)
    settings: dict[str, Any] = {
        "op_types_to_quantize": _OPERATIONS,
        "per_channel": True,
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
        "nodes_to_exclude": left,
    }
    with TemporaryDirectory() as folder, errors_alone():  # it recommends a step of its own
        if some is not None:
            source = round_weights(source, Path(folder, "rounded.onnx"), some, left)
        source = quantise_tables(source, Path(folder, "tables.onnx"), left)
        if inputs is None:
            quantize_dynamic(source, target, **settings)
        else:
            settings |= {
                "activation_type": QuantType.QUInt8,  # the other one has no fast products on most CPUs
                "quant_format": QuantFormat.QOperator,
                "extra_options": {"MatMulConstBOnly": True},
            }
            quantize_static(source, target, _Batches(source, inputs), **settings)


class _Batches:
    """What calibration reads, a batch at a time.

    Args:
        source: The graph.
        inputs: Batches; what the graph does not read is left out.
    """

    def __init__(self, source: Path, inputs: Iterable[Mapping[str, np.ndarray]]) -> None:
        self._names = Graph(source).inputs
        self._inputs = iter(inputs)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; null: there is none."""
        batch = next(self._inputs, None)
        return None if batch is None else {name: batch[name] for name in self._names}


def head_nodes(path: Path, tasks: Collection[str]) -> list[str]:
    """Names of the nodes of some tasks' heads, and of their links to other tasks."""
    if not tasks:
        return []
    import onnx

    heads = {f"model.{part}.{task}" for task in tasks for part in ("heads", "chain.links")}
    nodes = onnx.load(path, load_external_data=False).graph.node
    found = [node.name for node in nodes if heads.intersection(_scopes(node))]
    return [*found, *(f"{name}_MatMul" for name in found)]  # what becomes of a Gemm before it is quantised


def _scopes(node: Any) -> list[str]:
    return [name for each in node.metadata_props if each.key == _SCOPES for name in ast.literal_eval(each.value)]
