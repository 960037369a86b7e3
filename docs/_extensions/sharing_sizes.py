"""How large each sharing is, and what a forward pass through it costs, counted on a small example."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch.utils.flop_counter import FlopCounterMode

from experiments.benchmark.sharings import exported
from mtl_lightning.encoders import ConvolutionalEncoder
from mtl_lightning.sharing import Sharing

NUM_TASKS = 4
_TASKS = [f"task{i}" for i in range(NUM_TASKS)]
_INPUTS = {"image": torch.zeros(8, 1, 28, 28)}


@dataclass(frozen=True)
class Size:
    """Encoder and sharing, without heads.

    Attributes:
        parameters: Their number.
        flops: Of a forward pass for all tasks.
        flops_of_one: For the first one.
        terms: Names of the loss terms that it adds.
    """

    parameters: int
    flops: int
    flops_of_one: int
    terms: tuple[str, ...]


@cache
def size(name: str) -> Size:
    """With the defaults of a class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = ConvolutionalEncoder()
        made = exported()[name](_TASKS, encoder)
        made(_INPUTS, _TASKS)
        terms = tuple(made.terms())
    held = dict.fromkeys([*encoder.parameters(), *made.parameters()])
    flops, flops_of_one = (_flops(made, encoder, tasks) for tasks in (_TASKS, _TASKS[:1]))
    return Size(sum(parameter.numel() for parameter in held), flops, flops_of_one, terms)


def _flops(made: Sharing, encoder: ConvolutionalEncoder, tasks: Sequence[str]) -> int:
    made.eval()
    encoder.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        made(_INPUTS, tasks)
    return int(counter.get_total_flops())
