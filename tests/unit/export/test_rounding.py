"""Weights that are rounded for the activations that they meet: products change less, and 8 bits hold them exactly."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mtl_lightning.export import rounding
from mtl_lightning.export.quantisation import quantise
from mtl_lightning.export.rounding import round_weights

WIDTH, COLUMNS = 96, 24


def product(path: Path, weights: np.ndarray) -> Path:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"], "product")],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", COLUMNS])],
        [numpy_helper.from_array(weights, "weights")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def weights_of(path: Path, name: str = "weights") -> np.ndarray:
    (found,) = [each for each in onnx.load(path).graph.initializer if each.name == name]
    array: np.ndarray = numpy_helper.to_array(found)
    return array


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, and correlated activations of two samples."""
    draw = np.random.default_rng(0)
    mixed = draw.normal(size=(12, WIDTH))
    seen, others = (draw.normal(size=(400, 12)) @ mixed + draw.normal(size=(400, WIDTH)) / 10 for _ in range(2))
    return draw.normal(size=(WIDTH, COLUMNS)).astype(np.float32), seen.astype(np.float32), others.astype(np.float32)


def test_products_of_other_activations_change_less(
    tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    weights, seen, others = drawn
    path = product(tmp_path / "full.onnx", weights)
    steps = np.abs(weights).max(0) / 64
    nearest = np.round(weights / steps) * steps
    found = weights_of(round_weights(path, tmp_path / "rounded.onnx", [{"x": seen[:200]}, {"x": seen[200:]}]))
    error, plain = (np.square(others @ (each - weights)).mean() for each in (found, nearest))
    assert error < plain / 4
    np.testing.assert_allclose(found / steps, np.round(found / steps), atol=1e-3)


def test_8_bits_hold_rounded_weights_exactly(tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, seen, _ = drawn
    path = product(tmp_path / "full.onnx", weights)
    rounded = weights_of(round_weights(path, tmp_path / "rounded.onnx", [{"x": seen}]))
    quantise(path, tmp_path / "small.onnx", some=[{"x": seen}])
    held = weights_of(tmp_path / "small.onnx", "weights_quantized") * weights_of(
        tmp_path / "small.onnx", "weights_scale"
    )
    np.testing.assert_allclose(held, rounded, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, np.inf])
def test_activations_that_say_nothing_leave_the_nearest(
    value: float, tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    weights = drawn[0]
    weights[:, 3] = 0
    path = product(tmp_path / "full.onnx", weights)
    x = np.full((4, WIDTH), value, np.float32)
    found = weights_of(round_weights(path, tmp_path / "rounded.onnx", [{"x": x}]))
    assert np.abs(found - weights).max() <= np.abs(weights).max() / 128 + 1e-6
    assert not found[:, 3].any()


def test_weights_of_full_precision_stay(tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    weights, seen, _ = drawn
    path = product(tmp_path / "full.onnx", weights)
    kept = round_weights(path, tmp_path / "rounded.onnx", [{"x": seen}], ["product"])
    np.testing.assert_array_equal(weights_of(kept), weights)


def test_moments_that_are_held_one_after_the_other_round_alike(
    tmp_path: Path, drawn: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, seen, _ = drawn
    square = (np.linalg.qr(np.random.default_rng(1).normal(size=(WIDTH, WIDTH)))[0]).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "square"], ["h"]), helper.make_node("MatMul", ["h", "weights"], ["y"])],
        "products",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", COLUMNS])],
        [numpy_helper.from_array(square, "square"), numpy_helper.from_array(weights, "weights")],
    )
    path = tmp_path / "full.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    at_once = round_weights(path, tmp_path / "at_once.onnx", iter([{"x": seen}]))
    monkeypatch.setattr(rounding, "_HELD", 1)
    in_turn = round_weights(path, tmp_path / "in_turn.onnx", iter([{"x": seen}]))
    for name in ("square", "weights"):
        assert np.abs(weights_of(at_once, name) - weights_of(path, name)).max() > 0
        np.testing.assert_array_equal(weights_of(in_turn, name), weights_of(at_once, name))
