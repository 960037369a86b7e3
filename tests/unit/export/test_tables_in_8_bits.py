"""Embeddings in 8 bits: a scale a column, and nothing but tables that are looked up."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from mtl_lightning.export.tables import quantise_tables

ROWS, WIDTH = 50, 8


def written(path: Path, nodes: list[onnx.NodeProto], **tensors: np.ndarray) -> Path:
    graph = helper.make_graph(
        nodes,
        "tables",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, ["batch", "length"])],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in nodes],
        [numpy_helper.from_array(tensor, name) for name, tensor in tensors.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def drawn() -> np.ndarray:
    """A table of which one column is far larger than the others, and one is zero."""
    table = np.random.default_rng(0).normal(size=(ROWS, WIDTH)).astype(np.float32)
    return table * np.array([1, 1000, 0, 1, 1, 1, 1, 1], np.float32)


def test_a_large_column_costs_the_others_nothing(tmp_path: Path) -> None:
    table = drawn()
    path = written(tmp_path / "full.onnx", [helper.make_node("Gather", ["table", "ids"], ["y"])], table=table)
    small = quantise_tables(path, tmp_path / "small.onnx")
    ids = np.arange(ROWS).reshape(5, 10)
    (found,) = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"]).run(None, {"ids": ids})
    assert (np.abs(found - table[ids]) <= np.abs(table).max(0) / 127 / 2 + 1e-6).all()
    (kept,) = [each for each in onnx.load(small).graph.initializer if len(each.dims) == 2]
    assert kept.data_type == TensorProto.INT8


def test_other_tables_stay(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["left", "ids"], ["a"], "left_alone"),
        helper.make_node("Gather", ["columns", "ids"], ["b"], axis=1),
        helper.make_node("Gather", ["shared", "ids"], ["c"]),
        helper.make_node("MatMul", ["c", "shared"], ["d"]),
        helper.make_node("Gather", ["vector", "ids"], ["e"]),
    ]
    tensors = {"left": drawn(), "columns": drawn(), "shared": np.eye(WIDTH, dtype=np.float32), "vector": drawn()[0]}
    path = written(tmp_path / "full.onnx", nodes, **tensors)
    small = quantise_tables(path, tmp_path / "small.onnx", ["left_alone"])
    assert onnx.load(small).graph == onnx.load(path).graph
