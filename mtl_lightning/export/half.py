"""Weights in 16 bits: half the size, computed with in 32 bits wherever a format can."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mtl_lightning.errors import UserError

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
"""By the name that ``--half`` takes."""

DEFAULT = "float16"
"""What ``--half`` alone means: it keeps three more bits of a weight than bfloat16."""

_LEAST = 256
"""Numbers of a tensor in a graph from which on it is made of 16 bits: smaller ones are biases and constants."""


def tolerance_of(precision: str) -> float:
    """How far outputs may move: sixteen times the gap between 1 and the next number, 0.016 for float16.

    A weight is off by half a gap at most, relative to itself; layers make more of it.

    Args:
        precision: A key of ``PRECISIONS``.
    """
    return 16 * torch.finfo(PRECISIONS[precision]).eps


def rounded(named: Iterable[tuple[str, Tensor]], precision: str) -> dict[str, Tensor]:
    """Numbers in 16 bits.

    Args:
        named: Tensors by name, those of integers among them, which stay.
        precision: A key of ``PRECISIONS``.

    Raises:
        UserError: If a number is too large for them.
    """
    kind, found = PRECISIONS[precision], {}
    for name, tensor in named:
        found[name] = tensor.to(kind) if tensor.is_floating_point() else tensor
        if not torch.equal(found[name].isfinite(), tensor.isfinite()):
            raise UserError(
                f"--half: `{name}` has a number that {precision} cannot hold, {float(tensor.abs().max()):.3g}; "
                "use --half bfloat16, or leave it out"
            )
    return found


def round_parameters(model: nn.Module, precision: str) -> dict[str, Tensor]:
    """The parameters of a model by name, in 16 bits; see :func:`rounded`."""
    return rounded(((name, parameter.detach()) for name, parameter in model.named_parameters()), precision)


def halve_graph(path: Path, precision: str) -> None:
    """Makes the weights of a graph of ONNX numbers of 16 bits, each widened where it is used.

    They are widened once, when the file is read, since ONNX Runtime has no arithmetic of 16 bits on most processors:
    the graph is as fast as before, and takes as much memory.

    Args:
        path: Of the file, which is replaced.
        precision: A key of ``PRECISIONS``.

    Raises:
        UserError: If a weight is too large.
    """
    import onnx

    model = onnx.load(path)
    graph = model.graph
    kinds = {"float16": onnx.TensorProto.FLOAT16, "bfloat16": onnx.TensorProto.BFLOAT16}
    casts: list[Any] = []
    for tensor in graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type != onnx.TensorProto.FLOAT or values.size < _LEAST:
            continue
        half = rounded([(tensor.name, torch.tensor(values))], precision)[tensor.name]
        casts.append(onnx.helper.make_node("Cast", [f"{tensor.name}/half"], [tensor.name], to=onnx.TensorProto.FLOAT))
        raw = half.view(torch.int16).numpy().tobytes()
        narrow = onnx.TensorProto(dims=tensor.dims, data_type=kinds[precision], raw_data=raw)
        narrow.name = f"{tensor.name}/half"
        tensor.CopyFrom(narrow)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.save(model, path)
