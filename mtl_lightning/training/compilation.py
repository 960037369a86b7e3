"""Compiling what is gone through more than once a step."""

from mtl_lightning.backward import keep_buffers
from mtl_lightning.sharing import Sharing

_GRAPHS = 8
"""Of a part and a task: in training and evaluation, at one example and at several, and the like."""


def compile_encoder(sharing: Sharing) -> None:
    """Compiles what a sharing runs of the encoder; its graph is gone through once for each task, so that no buffer may
    be donated.
    """
    keep_buffers()
    from torch._dynamo import config  # takes a second to import

    parts = sharing.compiled_parts()
    number = _GRAPHS * len(parts) * len(sharing.tasks)  # of code that all parts have in common
    config.recompile_limit = max(config.recompile_limit, number)
    sharing.encoder.recompute_in(None)  # what a graph depends on is part of it, and torch traces no context
    for part in parts:
        part.compile(dynamic=True)
