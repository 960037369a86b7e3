"""Random numbers of a step, and undoing and repeating a forward pass: running statistics and dropout as they were."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class RandomState(NamedTuple):
    """States of the global random number generators.

    Attributes:
        host: Of the host.
        device: Of the device, if it is another one.
        where: The device.
    """

    host: Tensor
    device: Tensor | None
    where: torch.device


def seed_batch(seed: int, epoch: int, batch: int, rank: int, device: torch.device) -> None:
    """Seeds the global generators for one batch, so that a run that goes on draws what it would have drawn.

    Args:
        seed: Of the run.
        epoch: Number of the epoch.
        batch: Number of the batch in it.
        rank: Of the process; each has dropout masks of its own.
        device: Where the model is. On the host no other device is seeded, which takes torch half a millisecond where
            there is none.
    """
    words = np.random.SeedSequence([seed, epoch, batch, rank]).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(words[0])
    of_torch = torch.default_generator if device.type == "cpu" else torch
    of_torch.manual_seed(int(words[1]) << 32 | int(words[0]))


Buffers = list[tuple[Tensor, Tensor]]
"""Buffers, each with a copy of what it held."""


def random_state(device: torch.device) -> RandomState:
    """The present state; reading it does not make the host wait for the device."""
    on_device = None if device.type == "cpu" else torch.get_device_module(device).get_rng_state(device)
    return RandomState(torch.get_rng_state(), on_device, device)


def copied_buffers(modules: Iterable[nn.Module]) -> Buffers:
    """What a forward pass may change: buffers, such as the running statistics of BatchNorm."""
    return copied(buffer for module in modules for buffer in module.buffers())


def copied(buffers: Iterable[Tensor]) -> Buffers:
    """Buffers with copies of what they hold."""
    return [(buffer, buffer.clone()) for buffer in buffers]


def restore(buffers: Buffers) -> None:
    """Puts back what buffers held."""
    with torch.no_grad():
        for buffer, copy in buffers:
            buffer.copy_(copy)


@contextmanager
def same_again(modules: Sequence[nn.Module], state: RandomState) -> Iterator[None]:
    """Computes inside with the random numbers of ``state``, and afterwards leaves them and the buffers as they were."""
    now, buffers = random_state(state.where), copied_buffers(modules)
    _set(state)
    try:
        yield
    finally:
        _set(now)
        restore(buffers)


def _set(state: RandomState) -> None:
    torch.set_rng_state(state.host)
    if state.device is not None:
        torch.get_device_module(state.where).set_rng_state(state.device, state.where)
