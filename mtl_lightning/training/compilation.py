"""Compiling what is gone through more than once a step."""

import torch
import torch._functorch.config as functorch_config
from torch import nn


def compile_encoder(encoder: nn.Module) -> None:
    """Compiles an encoder whose graph is gone through once for each task, so that no buffer may be donated."""
    if functorch_config.donated_buffer:
        functorch_config.donated_buffer = False
        torch.compiler.config.cache_key_tag += "no donated buffers"
        torch.compiler.reset()
    encoder.compile(dynamic=True)
