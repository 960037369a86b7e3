"""Weights in 8 bits."""

import logging
from pathlib import Path


def quantise(path: Path) -> None:
    """Makes the weights of a graph integers of 8 bits, a scale a channel; those of embeddings too.

    Activations are quantised as they come (dynamic quantisation of ONNX Runtime).

    Args:
        path: Of the file, which is replaced.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = path.with_suffix(".int8")
    root = logging.getLogger()
    level = root.level
    try:
        root.setLevel(logging.ERROR)  # it recommends a step of its own
        quantize_dynamic(path, made, per_channel=True, weight_type=QuantType.QInt8)
    finally:
        root.setLevel(level)
    made.replace(path)
