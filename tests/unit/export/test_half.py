"""Weights in 16 bits, in each format."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from exporting import TASKS, checkpoint, export
from safetensors.torch import load_file
from transformers import pipeline

import mtl_lightning
from mtl_lightning.errors import UserError
from mtl_lightning.export.half import halve_graph, rounded, tolerance_of
from mtl_lightning.training.module import MultiTaskModule

TEXTS = ["so good", "not my taste at all, I fear", "x"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: Any) -> Path:
    found: Path = tmp_path_factory.mktemp("half") / "model.ckpt"
    return found


@pytest.fixture(scope="module")
def model(path: Path) -> MultiTaskModule:
    return checkpoint(path, {"tasks": {name: TASKS[name] for name in ("mood", "stars")}})


@pytest.mark.parametrize(("given", "kind"), [((), torch.float16), (("bfloat16",), torch.bfloat16)])
def test_a_checkpoint_of_half_the_size_predicts_nearly_the_same(
    model: MultiTaskModule, path: Path, tmp_path: Path, given: tuple[str, ...], kind: torch.dtype
) -> None:
    export("--ckpt_path", str(path), "--format=torch", "--output", str(tmp_path / "out"), "--half", *given)
    state = load_file(tmp_path / "out" / "model.safetensors")
    names = dict(model.named_parameters())
    assert names and {state[name].dtype for name in names} == {kind}
    loaded = mtl_lightning.load(tmp_path / "out")
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
    for found, wanted in zip(loaded.predict({"text": TEXTS}), model.predict({"text": TEXTS}), strict=True):
        assert found["mood"]["probability"] == pytest.approx(
            wanted["mood"]["probability"], abs=20 * torch.finfo(kind).eps
        )
        assert found != wanted


def test_transformers_loads_it_in_16_bits(model: MultiTaskModule, path: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    export("--ckpt_path", str(path), "--format=huggingface", "--output", out, "--tasks=mood", "--half=bfloat16")
    classifier = pipeline("text-classification", out, trust_remote_code=True)
    assert classifier.model.dtype == torch.bfloat16
    for found, wanted in zip(classifier(TEXTS), model.predict({"text": TEXTS}), strict=True):
        assert found["score"] == pytest.approx(wanted["mood"]["probability"], abs=0.15)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_graph_computes_with_widened_weights(tmp_path: Path, precision: str) -> None:
    path, helper = tmp_path / "a.onnx", onnx.helper
    weights = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
    bias = np.arange(32, dtype=np.float32) + 0.1234567
    values = [helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["b", s]) for n, s in (("x", 16), ("y", 32))]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Add", ["h", "bias"], ["y"])]
    held = [onnx.numpy_helper.from_array(weights, "w"), onnx.numpy_helper.from_array(bias, "bias")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], held)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    before = path.stat().st_size
    halve_graph(path, precision)
    assert path.stat().st_size < 0.65 * before
    onnx.checker.check_model(path)
    x = np.ones((2, 16), np.float32)
    (found,) = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(["y"], {"x": x})
    kind = torch.bfloat16 if precision == "bfloat16" else torch.float16
    np.testing.assert_allclose(found, x @ torch.tensor(weights).to(kind).float().numpy() + bias, rtol=1e-5)
    assert np.abs(found - (x @ weights + bias)).max() > 1e-5


def test_a_number_that_is_too_large_is_refused() -> None:
    named = {"encoder.weight": torch.tensor([1.0, 7e4]), "numbers": torch.tensor([10**9])}
    with pytest.raises(
        UserError, match=r"--half: `encoder\.weight` has a number that float16 cannot hold, 7e\+04; use"
    ):
        rounded(named.items(), "float16")
    assert rounded(named.items(), "bfloat16")["numbers"].dtype == torch.int64
    assert tolerance_of("float16") == pytest.approx(0.0156, abs=1e-4)


def test_half_and_int8_exclude_each_other(
    model: MultiTaskModule, path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = ("--format=onnx", "--int8=true", "--half", "--output", str(tmp_path / "out"))
    assert "weights have 8 bits with --int8" in export("--ckpt_path", str(path), *both, capsys=capsys)
