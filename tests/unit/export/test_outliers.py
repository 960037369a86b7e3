"""Channels of activations that stand out are made smaller before weights take 8 bits, and nothing else changes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_lightning.export.outliers import spread_outliers
from mtl_lightning.export.quantisation import quantise

WIDTH = 32


def written(path: Path, weights: dict[str, np.ndarray], nodes: list[onnx.NodeProto]) -> Path:
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, ["batch", None]) for node in nodes[-2:]],
        [numpy_helper.from_array(each, name) for name, each in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def computed(path: Path, x: np.ndarray) -> list[np.ndarray]:
    found: list[np.ndarray] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"x": x})
    return found


@pytest.fixture
def drawn() -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights of two layers, and inputs of which one channel is large now and then."""
    draw = np.random.default_rng(0)
    weights = {name: draw.normal(size=(WIDTH, WIDTH)).astype(np.float32) for name in ("a", "b", "c")}
    x = draw.normal(size=(40, WIDTH)).astype(np.float32)
    x[::8, 3] = 90
    for each in weights.values():
        each[3] /= 40  # as in trained models: what is always large needs no large weights
    return weights, x


LAYERS = [
    helper.make_node("MatMul", ["x", "a"], ["of_a"]),
    helper.make_node("Relu", ["of_a"], ["h"]),
    helper.make_node("MatMul", ["x", "b"], ["of_b"]),
    helper.make_node("MatMul", ["h", "c"], ["of_c"]),
]


def test_the_graph_computes_the_same_and_loses_less_in_8_bits(
    tmp_path: Path, drawn: tuple[dict[str, np.ndarray], np.ndarray]
) -> None:
    weights, x = drawn
    path = written(tmp_path / "full.onnx", weights, LAYERS)
    wanted = computed(path, x)

    def error() -> np.ndarray:
        quantise(path, tmp_path / "small.onnx")
        pairs = zip(computed(tmp_path / "small.onnx", x), wanted, strict=True)
        return np.array([np.abs(found - right).mean() for found, right in pairs])

    before = error()
    spread_outliers(path, [{"x": x, "more": x}, {"more": x}])
    for found, right in zip(computed(path, x), wanted, strict=True):
        np.testing.assert_allclose(found, right, rtol=1e-4, atol=1e-3)
    assert (error() < [before[0] / 4, before[1]]).all()
    assert [node.op_type for node in onnx.load(path).graph.node].count("Mul") <= 2, "one for all that read the same"


def test_channels_that_do_not_stand_out_and_weights_that_others_read_stay(
    tmp_path: Path, drawn: tuple[dict[str, np.ndarray], np.ndarray]
) -> None:
    weights, x = drawn
    even = np.clip(x, -1, 1)
    path = written(tmp_path / "full.onnx", weights, [LAYERS[2], helper.make_node("MatMul", ["x", "c"], ["y"])])
    before = path.read_bytes()
    spread_outliers(path, [{"x": even}])
    assert onnx.load(path).graph == onnx.load_from_string(before).graph
    spread_outliers(path, [{"x": np.zeros_like(x)}])
    assert onnx.load(path).graph == onnx.load_from_string(before).graph
    shared = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("MatMul", ["h", "a"], ["y"])]
    path = written(tmp_path / "shared.onnx", weights, shared)
    wanted = computed(path, x)
    spread_outliers(path, [{"x": x}])
    for found, right in zip(computed(path, x), wanted, strict=True):
        np.testing.assert_array_equal(found, right)
