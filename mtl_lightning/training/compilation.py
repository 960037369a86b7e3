"""Compiling what is gone through more than once a step."""

from torch import nn

from mtl_lightning.backward import keep_buffers


def compile_encoder(encoder: nn.Module) -> None:
    """Compiles an encoder whose graph is gone through once for each task, so that no buffer may be donated."""
    keep_buffers()
    encoder.compile(dynamic=True)
