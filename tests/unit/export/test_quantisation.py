"""Weights in 8 bits: products are right on processors that add two of them up in 16 bits."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_lightning.export.quantisation import quantise


@pytest.mark.parametrize("is_calibrated", [False, True])
def test_large_products_do_not_saturate(is_calibrated: bool, tmp_path: Path) -> None:
    weights = np.where(np.arange(64)[:, None] % 8, 1, -1).repeat(32, axis=1).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 32])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    source, target = tmp_path / "full.onnx", tmp_path / "small.onnx"
    onnx.save(model, source)
    x = np.linspace(0.9, 1, 128, dtype=np.float32).reshape(2, 64)
    quantise(source, target, inputs=[{"x": x, "more": x}] if is_calibrated else None)
    session = onnxruntime.InferenceSession(target, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"x": x})
    np.testing.assert_allclose(found, x @ weights, rtol=0.02)
    dynamic = {"DynamicQuantizeLinear"}
    assert dynamic.isdisjoint(node.op_type for node in onnx.load(target).graph.node) == is_calibrated
