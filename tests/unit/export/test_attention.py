"""Attention that finds its heads itself computes the same, by fewer operations."""

from collections import Counter
from typing import Any

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_lightning.export.attention import join_heads

HEADS, SIZE = 2, 4
WIDTH = HEADS * SIZE


def attention(heads_of_values: int = HEADS, also: str | None = None, perm: list[int] | None = None) -> onnx.ModelProto:
    """Attention as torch's exporter writes it, and maybe another output."""
    perm = perm or [0, 2, 1, 3]
    nodes, shapes = [], []
    for name, heads in (("q", HEADS), ("k", heads_of_values), ("v", heads_of_values)):
        nodes += [
            helper.make_node("Reshape", [name, f"{name}/apart"], [f"{name}/heads"]),
            helper.make_node("Transpose", [f"{name}/heads"], [f"{name}/moved"], perm=perm),
        ]
        shapes.append(helper.make_tensor_value_info(f"{name}/heads", TensorProto.FLOAT, ["B", f"L{name}", heads, SIZE]))
    nodes += [
        helper.make_node("Attention", ["q/moved", "k/moved", "v/moved", "mask"], ["y/moved"]),
        helper.make_node("Transpose", ["y/moved"], ["y/heads"], perm=perm),
        helper.make_node("Reshape", ["y/heads", "together"], ["y/joined"]),
        helper.make_node("Relu", ["y/joined"], ["y"]),
    ]
    shapes.append(helper.make_tensor_value_info("y/heads", TensorProto.FLOAT, ["B", "Lq", HEADS, SIZE]))
    shapes.append(helper.make_tensor_value_info("y/joined", TensorProto.FLOAT, ["B", "Lq", WIDTH]))
    widths = {"q": WIDTH, "k": heads_of_values * SIZE, "v": heads_of_values * SIZE}
    given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["B", f"L{n}", w]) for n, w in widths.items()]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", "Lq", WIDTH])]
    if also is not None:
        outputs.append(
            next((each for each in shapes if each.name == also), helper.make_tensor_value_info(also, 1, None))
        )
    sizes = {name: [0, 0, width // SIZE, SIZE] for name, width in widths.items()}
    tensors = [numpy_helper.from_array(np.array(size), f"{name}/apart") for name, size in sizes.items()]
    tensors.append(numpy_helper.from_array(np.array([0, 0, WIDTH]), "together"))
    mask = helper.make_tensor_value_info("mask", TensorProto.BOOL, ["B", 1, "Lq", "Lk"])
    graph = helper.make_graph(nodes, "attention", [*given, mask], outputs, tensors, value_info=shapes)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=11)


def joined(model: onnx.ModelProto) -> onnx.ModelProto:
    found = onnx_ir.from_proto(model)
    join_heads(found)
    proto: onnx.ModelProto = onnx_ir.to_proto(found)
    return proto


def operations(model: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in model.graph.node)


def computed(model: onnx.ModelProto, heads_of_values: int = HEADS) -> np.ndarray:
    draw = np.random.default_rng(0)
    widths = {"q": (5, WIDTH), "k": (7, heads_of_values * SIZE), "v": (7, heads_of_values * SIZE)}
    given: dict[str, Any] = {name: draw.normal(size=(3, *size)).astype(np.float32) for name, size in widths.items()}
    given["mask"] = (np.arange(7) < np.array([7, 2, 5])[:, None, None, None]).repeat(5, axis=2)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(["y"], given)[0]
    return found


@pytest.mark.parametrize("heads_of_values", [HEADS, 1])
def test_the_same_is_computed_without_moving_heads(heads_of_values: int) -> None:
    before = attention(heads_of_values)
    after = joined(before)
    assert operations(after) == {"Attention": 1, "Relu": 1}
    np.testing.assert_allclose(computed(after, heads_of_values), computed(before, heads_of_values), atol=1e-6)


@pytest.mark.parametrize(
    "changes", [{"also": "y/heads"}, {"also": "y/moved"}, {"also": "y/joined"}, {"perm": [0, 2, 3, 1]}]
)
def test_what_others_read_or_what_is_otherwise_stays(changes: dict[str, Any]) -> None:
    before = attention(**changes)
    assert operations(joined(before)) == operations(before)
