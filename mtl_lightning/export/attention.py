"""Attention that reads and writes features as they lie: operations that move heads to and fro are left out."""

from typing import Any

_APART = [0, 2, 1, 3]
"""How ``[B, L, H, D]`` becomes ``[B, H, L, D]``, and back."""


def join_heads(model: Any) -> None:
    """Lets operations of attention find their heads themselves; the model computes the same.

    torch moves the heads of queries, keys and values [B, L, H·D] to the front, and those of the result back. ONNX's
    operation reads and writes ``[B, L, H·D]`` as well, which saves eight operations a layer.

    Args:
        model: Of onnx_ir, which is changed.
    """
    from onnx_ir import AttrInt64
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    for node in list(model.graph):
        if node.op_type != "Attention" or len(node.outputs) != 1 or len(node.inputs) > 4:
            continue
        sources, target = [_joined(value) for value in node.inputs[:3]], _joined_after(node.outputs[0])
        if target is None or None in sources:
            continue
        for name, value in zip(("q_num_heads", "kv_num_heads"), node.inputs[:2], strict=True):
            node.attributes[name] = AttrInt64(name, value.producer().inputs[0].shape[2])
        for place, source in enumerate(sources):
            node.replace_input_with(place, source)
        node.outputs[0].shape, node.outputs[0].type = target.shape, target.type
        target.replace_all_uses_with(node.outputs[0])
    RemoveUnusedNodesPass()(model)


def _joined(value: Any) -> Any | None:
    """What heads ``[B, H, L, D]`` were made of, where it is ``[B, L, H·D]``."""
    apart = _moved(value.producer())
    made = apart.producer() if apart is not None else None
    if made is None or made.op_type != "Reshape" or not _same_but_for_heads(made.inputs[0], apart):
        return None
    return made.inputs[0]


def _joined_after(value: Any) -> Any | None:
    """What heads ``[B, H, L, D]`` become, where it is ``[B, L, H·D]`` and nothing else reads them."""
    for op_type in ("Transpose", "Reshape"):
        uses = list(value.uses())
        if len(uses) != 1 or uses[0].node.op_type != op_type or value.is_graph_output():
            return None
        if op_type == "Transpose" and _moved(uses[0].node) is None:
            return None
        before, value = value, uses[0].node.outputs[0]
    return value if _same_but_for_heads(value, before) and not value.is_graph_output() else None


def _moved(node: Any) -> Any | None:
    """What a transposition of heads reads."""
    if node is None or node.op_type != "Transpose" or list(node.attributes["perm"].as_ints()) != _APART:
        return None
    return node.inputs[0]


def _same_but_for_heads(joined: Any, apart: Any) -> bool:
    """Whether shapes are ``[B, L, H·D]`` and ``[B, L, H, D]``."""
    if joined.shape is None or apart.shape is None or len(joined.shape) != 3 or len(apart.shape) != 4:
        return False
    sizes = [joined.shape[2], *apart.shape[2:]]
    return (
        joined.shape[:2] == apart.shape[:2]
        and all(isinstance(size, int) for size in sizes)
        and sizes[0] == sizes[1] * sizes[2]
    )
