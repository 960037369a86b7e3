"""Compiled models whose graph is gone through more than once a step."""

import sys

import torch
import torch._functorch.config as functorch_config


def keep_buffers() -> None:
    """From now on, no graph that ``torch.compile`` makes frees its buffers in the first backward pass.

    What has been compiled before is compiled again when it is next called.
    """
    if functorch_config.donated_buffer:
        functorch_config.donated_buffer = False
        torch.compiler.config.cache_key_tag += "no donated buffers"
        if "torch._dynamo" in sys.modules:
            torch.compiler.reset()
