"""Exported folders that are made in milliseconds, without torch's exporter: a graph of a few operations."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

from mtl_lightning import manifest
from mtl_lightning.decoding import LabelDecoder, NumberDecoder
from mtl_lightning.encoders.characters import character_tokenizer
from mtl_lightning.exported.description import DESCRIPTION, FORMAT, Description, Reading, write_description
from mtl_lightning.inputs.text_inputs import TextInputs
from mtl_lightning.rows.text_format import TextFormat

MAX_LENGTH = 32


def write(folder: Path) -> Path:
    """A model of two tasks on texts: the largest number of a token as ``size``, and a label, ``a`` or ``b``."""
    folder.mkdir(exist_ok=True)
    weights = numpy_helper.from_array(np.array([[1.0, -1.0]], dtype=np.float32), "weights")
    axis = numpy_helper.from_array(np.array([1], dtype=np.int64), "axis")
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMax", ["numbers", "axis"], ["largest"], keepdims=1),
        helper.make_node("MatMul", ["largest", "weights"], ["kind/logits"]),
        helper.make_node("Squeeze", ["largest", "axis"], ["size/values"]),
    ]
    outputs = {"kind": {"logits": "kind/logits"}, "size": {"values": "size/values"}}
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["B", "L"])],
        [
            helper.make_tensor_value_info("kind/logits", TensorProto.FLOAT, ["B", 2]),
            helper.make_tensor_value_info("size/values", TensorProto.FLOAT, ["B"]),
        ],
        [weights, axis],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), folder / "text.onnx")
    decoders = {"kind": LabelDecoder(("a", "b")), "size": NumberDecoder(0.0, 1.0)}
    readings = [Reading({"text": "text"}, TextFormat(), "text.onnx", outputs, ["kind"])]
    write_description(folder, Description(TextInputs(character_tokenizer(), MAX_LENGTH), decoders, readings), {})
    manifest.seal(folder, FORMAT)
    return folder


def reseal(folder: Path, change: Callable[[Any], Any]) -> None:
    """Changes the description of a folder, and makes the checksums fit, as somebody would who means harm."""
    (folder / DESCRIPTION).write_text(json.dumps(change(json.loads((folder / DESCRIPTION).read_text()))))
    found = json.loads((folder / manifest.NAME).read_text())
    found["files"][DESCRIPTION] = hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()
    (folder / manifest.NAME).write_text(json.dumps(found))
