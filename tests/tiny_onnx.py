"""A tiny exported model, written without torch: words are looked up, and averaged for a label or read one by one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save_model
from tokenizers import Tokenizer, models, pre_tokenizers

from mtl_lightning import manifest
from mtl_lightning.decoding import LabelDecoder, NumberDecoder
from mtl_lightning.exported.description import Description, Reading, write_description
from mtl_lightning.inputs.plain_tokenizer import PlainTokenizer
from mtl_lightning.inputs.text_inputs import TextInputs
from mtl_lightning.rows.text_format import TextFormat

WORDS = ("[UNK]", "sad", "glad", "day")
LABELS = ("sad", "glad")
_VECTORS = np.array([[0.0, 0.0], [2.0, -2.0], [-2.0, 2.0], [0.0, 0.0]], np.float32)


def write(folder: Path) -> Path:
    """A folder with the tasks `mood` (labels) and `stars` (a number), of `text`, or of `text` with `text_pair`."""
    folder.mkdir(parents=True, exist_ok=True)
    save_model(_model(), str(folder / "text.onnx"))
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    known = {"model_input_names": ["input_ids"], "pad_token_id": 0, "truncation_side": "right"}
    inputs = TextInputs(PlainTokenizer(tokenizer, known), max_length=64)
    outputs = {"mood": {"logits": "logits"}, "stars": {"values": "value"}}
    pairs = Reading({"text": "a", "text_pair": "b"}, TextFormat(), "text.onnx", {"mood": outputs["mood"]})
    alone = Reading({"text": "a"}, TextFormat(), "text.onnx", outputs)
    decoders = {"mood": LabelDecoder(LABELS), "stars": NumberDecoder(mean=3.0, std=1.0)}
    write_description(folder, Description(inputs, decoders, [pairs, alone]), {})
    manifest.seal(folder, "onnx")
    return folder


def _model() -> Any:
    nodes = [
        helper.make_node("Gather", ["vectors", "input_ids"], ["found"]),
        helper.make_node("ReduceMean", ["found", "second"], ["logits"], keepdims=0),
        helper.make_node("ReduceMax", ["logits", "second"], ["value"], keepdims=0),
    ]
    weights = [numpy_helper.from_array(_VECTORS, "vectors"), numpy_helper.from_array(np.array([1], np.int64), "second")]
    given = [_value("input_ids", TensorProto.INT64, ["B", "L"])]
    made = [_value("logits", TensorProto.FLOAT, ["B", 2]), _value("value", TensorProto.FLOAT, ["B"])]
    graph = helper.make_graph(nodes, "tiny", given, made, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def _value(name: str, kind: int, shape: Sequence[Any]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def columns(**values: str) -> Mapping[str, list[str]]:
    """One example."""
    return {name: [value] for name, value in values.items()}
